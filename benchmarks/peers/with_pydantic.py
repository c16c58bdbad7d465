"""Validates lines with pydantic: LangChain's fields as models, and Convex's rules for depth, keys and sizes by a walk.

with_pydantic.py FILE            how long it takes
with_pydantic.py FILE verdicts   prints a line with 1 for good and 0 for bad records
"""

import json
import re
import sys
import time
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
    model_validator,
)

DEPTH, FIELDS, ITEMS, BYTES = 16, 1024, 8192, 1 << 20
is_key = re.compile(r"(?!\$)(?!__proto__$)[\x20-\x7e]{0,1024}").fullmatch


def walk(value: Any, level: int) -> None:
    """Check that a value keeps Convex's rules; `level` is that of the array or object."""
    if type(value) is dict:
        if level > DEPTH or len(value) > FIELDS:
            raise ValueError("too deep or too many fields")
        for key, item in value.items():
            if not is_key(key):
                raise ValueError("bad key")
            if type(item) in (dict, list):
                walk(item, level + 1)
    elif type(value) is list:
        if level > DEPTH or len(value) > ITEMS:
            raise ValueError("too deep or too many items")
        for item in value:
            if type(item) in (dict, list):
                walk(item, level + 1)


def checked(value: Any) -> Any:
    """Walk a field of ``data``."""
    if value:
        walk(value, 4)
    return value


Anything = Annotated[Any, BeforeValidator(checked)]


class Data(BaseModel):
    """``data`` with every field that LangChain writes."""

    model_config = ConfigDict(extra="forbid")
    content: StrictStr | Annotated[list[StrictStr | dict[str, Any]], BeforeValidator(checked)]
    role: StrictStr = ""
    name: StrictStr | None = None
    id: StrictStr | None = None
    type: StrictStr = ""
    tool_call_id: StrictStr = ""
    status: StrictStr = ""
    example: StrictBool = False
    additional_kwargs: Anything = None
    tool_calls: Anything = None
    usage_metadata: Anything = None
    response_metadata: Anything = None
    invalid_tool_calls: Anything = None
    tool_call_chunks: Anything = None
    artifact: Anything = None
    metadata: Anything = None
    content_blocks: Anything = None
    chunk_position: Anything = None


class Message(BaseModel):
    """A stored message."""

    model_config = ConfigDict(extra="forbid")
    type: StrictStr
    data: Data


class Row(BaseModel):
    """A row of the table."""

    model_config = ConfigDict(extra="allow")
    id: StrictStr = Field("", alias="_id")
    time: Annotated[float, Field(strict=True, gt=0)] = Field(1.0, alias="_creationTime")
    session: StrictStr = Field(alias="sessionId")
    message: Message

    @model_validator(mode="after")
    def fields(self) -> "Row":
        """Check the user's own fields."""
        if self.model_extra:
            if any(key.startswith("_") for key in self.model_extra):
                raise ValueError("system field")
            walk(self.model_extra, 1)
        return self


def is_good(line: bytes) -> bool:
    """Return whether a line is a good record."""
    try:
        Row.model_validate_json(line)
    except ValidationError:
        return False
    return len(line) <= BYTES


with open(sys.argv[1], "rb") as file:
    began = time.perf_counter()
    verdicts = [is_good(line.rstrip(b"\n")) for line in file]
    seconds = time.perf_counter() - began
if sys.argv[2:]:
    print("".join("01"[verdict] for verdict in verdicts))
else:
    print(json.dumps({"rows": len(verdicts), "seconds": seconds, "bad": verdicts.count(False)}))
