"""Declared schema: tables, indexes and validators.

Levels: ``any`` accepts every document (`defineTable(v.any())`: apps add fields of their own), ``documented`` the
four fields of LangChain's documentation, ``langchain`` all fields that LangChain is known to write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sync_tool.encoding.validators import ANY, BOOLEAN, NULL, STRING, Validator, array, obj, optional, union
from sync_tool.encoding.values import Json, Value
from sync_tool.sandbox.database.store import Declared
from sync_tool.sandbox.faults import developer_error
from sync_tool.sandbox.options import Naming, SchemaLevel

_OPTIONAL_ANY: Final = (
    "additional_kwargs",
    "artifact",
    "chunk_position",
    "content_blocks",
    "invalid_tool_calls",
    "metadata",
    "response_metadata",
    "tool_call_chunks",
    "tool_calls",
    "usage_metadata",
)
_OPTIONAL_TEXT: Final = ("role", "status", "tool_call_id", "type")

_DATA: Final[dict[SchemaLevel, Validator]] = {
    "documented": obj(
        {
            "content": STRING,
            "role": optional(STRING),
            "name": optional(STRING),
            "additional_kwargs": optional(ANY),
        }
    ),
    "langchain": obj(
        {
            "content": union(STRING, array(ANY)),
            "name": optional(union(STRING, NULL)),
            "id": optional(union(STRING, NULL)),
            "example": optional(BOOLEAN),
            **dict.fromkeys(_OPTIONAL_ANY, optional(ANY)),
            **dict.fromkeys(_OPTIONAL_TEXT, optional(STRING)),
        }
    ),
}


@dataclass(frozen=True)
class TableSchema:
    """Declared table."""

    document: Validator
    indexes: Mapping[str, tuple[str, ...]]  # Index to fields, without the appended ones


@dataclass(frozen=True)
class Schema:
    """All declared tables."""

    tables: Mapping[str, TableSchema]

    @property
    def declared(self) -> Declared:
        """Declared indexes."""
        return {name: dict(table.indexes) for name, table in self.tables.items()}

    def enforce(self, table: str, document: dict[str, Value]) -> None:
        """Raise FunctionError if a document does not match the schema."""
        if table not in self.tables or self.tables[table].document is ANY:
            return
        fields = {name: item for name, item in document.items() if name not in ("_id", "_creationTime")}
        fault = self.tables[table].document.explain(fields)
        if fault is not None:
            raise developer_error(
                f'Failed to insert or update a document in table "{table}" because it does not match the'
                f" schema: {fault}"
            )

    def text(self) -> str:
        """Return the schema as JSON in a deployment's form, with `_creationTime` appended to every index."""
        tables = [_table_json(name, table) for name, table in sorted(self.tables.items())]
        return json.dumps({"tables": tables, "schemaValidation": True}, separators=(",", ":"))


def _table_json(name: str, table: TableSchema) -> Json:
    return {
        "tableName": name,
        "indexes": [
            {"indexDescriptor": index, "fields": [*fields, "_creationTime"]} for index, fields in table.indexes.items()
        ],
        "stagedDbIndexes": [],
        "searchIndexes": [],
        "stagedSearchIndexes": [],
        "vectorIndexes": [],
        "stagedVectorIndexes": [],
        "documentType": table.document.json,
    }


def chat_schema(naming: Naming, level: SchemaLevel) -> Schema:
    """Return the schema of a LangChain app."""
    document = ANY
    if level != "any":
        document = obj({naming.session_field: STRING, "message": obj({"type": STRING, "data": _DATA[level]})})
    indexes = {naming.index: (naming.session_field,)}
    return Schema({naming.table: TableSchema(document, indexes)})
