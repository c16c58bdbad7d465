"""DynamoDB: one item a session, its messages in one list.

Layouts: langchain-community 0.4.2 ``chat_message_histories/dynamodb.py`` (attribute ``History`` with
``{type, data}`` maps); @langchain/community 1.1.29 ``stores/message/dynamodb`` (attribute ``messages`` with
``{type, text, role?, additional_kwargs}`` maps, the last a JSON text).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from sync_tool.errors import ConvexMsgsError, Refused, Unreachable, UsageError
from sync_tool.messages.records import Record
from sync_tool.stores.addresses import Address
from sync_tool.stores.store import Builder, Facts, missing_extra, number
from sync_tool.text import one_line

SCHEMES: Final = ("dynamodb",)
_PYTHON: Final = "History"
_JAVASCRIPT: Final = "messages"
_DENIED: Final = ("AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException",
                  "ExpiredTokenException", "MissingAuthenticationToken")  # fmt: skip
_LOST_PYTHON: Final = (
    "when messages were written",
    "messages beyond history_size, and sessions that had a time to live and expired, where the app set those",
)
_LOST_JAVASCRIPT: Final = (
    "when messages were written",
    "all but content, role, additional_kwargs: tool_calls, tool_call_id, name, id, response_metadata, usage_metadata",
)

Item = Mapping[str, Mapping[str, Any]]
"""An item as the wire has it: attribute to type and value, such as ``{"SessionId": {"S": "a"}}``."""


class DynamoItems:
    """The items of one table.

    Args:
        address: the region as its host (that of the AWS settings if empty), the table as its path. Credentials
            come from where AWS's own tools take them.

    Raises:
        UsageError: boto3 is not installed, no table is named, or there is no such table.
        Unreachable: no answer.
        Refused: no credentials, or no right to read.
    """

    def __init__(self, address: Address) -> None:
        region, _, table = address.place.partition("/")
        self._table = table.strip("/") or (address.part or "")
        if not self._table:
            raise UsageError("no table is named.", hint=[("like", "dynamodb://eu-central-1/TABLE")])
        self.title = one_line(f"dynamodb {region}, table {self._table}" if region else f"dynamodb, table {self._table}")
        self.method = "Scan with consistent reads, a page of at most 1 MB at a time"
        self._client = _client(region or None, self.title)
        try:
            self._hash, self._range, self._count = self._described()
            self._javascript = self._look()
        except ConvexMsgsError:
            self.close()
            raise

    def facts(self) -> Facts:
        """Count the items and name the layout."""
        notes = ["the number of sessions is DynamoDB's own count, up to six hours old"]
        if self._range is not None:
            notes.append(f"session ids are {self._hash}/{self._range}: the table has a sort key")
        language = "JavaScript" if self._javascript else "Python"
        return Facts(
            product="DynamoDB",
            dialect=f"{language} dialect, oldest first",
            sessions=self._count,
            unit="item",
            lost=_LOST_JAVASCRIPT if self._javascript else _LOST_PYTHON,
            notes=tuple(notes),
        )

    def records(self) -> Iterator[Record]:
        """Yield the messages; see `Store.records`."""
        builder = Builder()
        for item in self._items():
            yield from self._of_item(builder, item)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _described(self) -> tuple[str, str | None, int]:
        """Return partition key, sort key and number of items as the table's description has them."""
        with dynamodb_errors(self.title):
            found = self._client.describe_table(TableName=self._table)["Table"]
        keys = {key["KeyType"]: str(key["AttributeName"]) for key in found["KeySchema"]}
        return keys["HASH"], keys.get("RANGE"), int(found.get("ItemCount", 0))

    def _look(self) -> bool:
        """Return True for JavaScript's layout, by the first item that has an attribute of either."""
        for item in self._items():
            if _PYTHON in item or _JAVASCRIPT in item:
                return _PYTHON not in item
        if self._count:
            raise UsageError(f"{self.title} holds no chat history of LangChain: no item has History or messages.")
        return False

    def _items(self) -> Iterator[Item]:
        more: dict[str, Any] = {}
        while True:
            with dynamodb_errors(self.title):
                page = self._client.scan(TableName=self._table, ConsistentRead=True, **more)
            yield from page["Items"]
            if not page.get("LastEvaluatedKey"):
                return
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _of_item(self, builder: Builder, item: Item) -> Iterator[Record]:
        session = self._session(item)
        name = _PYTHON if _PYTHON in item else _JAVASCRIPT
        messages = item.get(name, {}).get("L")
        if messages is None:
            if name in item:
                yield builder.unreadable(session, repr(item[name]), f"{session} {name}", "unreadable", "no list")
            return
        for index, attribute in enumerate(messages):
            where = f"{session} {name}[{index}]"
            try:
                message = _plain(attribute)
                if name == _JAVASCRIPT:
                    message = _from_javascript(message)
            except (ValueError, RecursionError) as error:
                yield builder.unreadable(session, repr(attribute), where, "unreadable", str(error))
            else:
                yield builder.value(session, message, where)

    def _session(self, item: Item) -> str:
        """Return the partition key, with the sort key behind it where that tells sessions apart."""
        session = str(_plain(item[self._hash]))
        if self._range is None:
            return session
        behind = str(_plain(item[self._range]))
        return session if behind == self._range else f"{session}/{behind}"  # JavaScript stores the key's own name


@contextmanager
def dynamodb_errors(title: str) -> Iterator[None]:
    """Turn what boto3 raises into errors of this tool."""
    from botocore import exceptions

    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise Refused(
            f"{title}: no AWS credentials.", hint=[("give them", "as to AWS's own tools: AWS_PROFILE, aws configure")]
        ) from None
    except exceptions.NoRegionError:
        raise UsageError("no AWS region is named.", hint=[("like", "dynamodb://eu-central-1/TABLE")]) from None
    except exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code == "ResourceNotFoundException":
            raise UsageError(f"{title}: there is no such table in that region.") from None
        hint = [("needed", "dynamodb:DescribeTable and dynamodb:Scan")] if code in _DENIED else []
        said = one_line(str(error.response.get("Error", {}).get("Message", "")))
        raise Refused(f"{title} refused: {code} {said}".rstrip(". ") + ".", code=code, hint=hint) from None
    except exceptions.BotoCoreError as error:
        raise Unreachable(f"{title} does not answer: {one_line(str(error))}") from None


def _client(region: str | None, title: str) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise missing_extra("dynamodb", "boto3") from None
    with dynamodb_errors(title):
        return boto3.Session().client(
            "dynamodb",
            region_name=region,
            config=Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard"}),
        )


def _plain(attribute: Mapping[str, Any]) -> Any:
    """Return an attribute value as JSON has it.

    Raises:
        ValueError: a type that no LangChain writes.
    """
    ((kind, value),) = attribute.items()
    if kind in ("S", "BOOL"):
        return value
    if kind == "N":
        return number(value)
    if kind == "NULL":
        return None
    if kind == "L":
        return [_plain(item) for item in value]
    if kind == "M":
        return {key: _plain(item) for key, item in value.items()}
    if kind == "SS":
        return list(value)
    raise ValueError(f"an attribute of type {kind}")


def _from_javascript(message: Any) -> Any:
    """Return ``{type, data}``, as JavaScript's own reader does; anything but its writer's form as it is.

    Raises:
        ValueError: additional_kwargs is not the JSON text that it is written as.
    """
    if not isinstance(message, dict) or not isinstance(message.get("text"), str) or "data" in message:
        return message
    data = {"content": message["text"]}
    if "role" in message:
        data["role"] = message["role"]
    if isinstance(message.get("additional_kwargs"), str):
        data["additional_kwargs"] = msgspec.json.decode(message["additional_kwargs"])
    return {"type": message.get("type"), "data": data}
