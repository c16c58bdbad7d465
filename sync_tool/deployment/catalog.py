"""What the deployment says about its tables, indexes and declared schema."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from sync_tool.deployment.client import Client
from sync_tool.errors import Refused, UsageError, only_this_refused
from sync_tool.rows.model import Names


@dataclass(frozen=True, slots=True)
class Catalog:
    """Tables and the active schema."""

    tables: tuple[str, ...]
    """User tables that exist, declared or not."""
    schema: dict[str, Any] | None
    """The active schema as pushed; None where none is declared."""

    def declared(self, table: str) -> dict[str, Any] | None:
        """Return the table's declaration; None where it has none."""
        tables = (self.schema or {}).get("tables", [])
        return next((found for found in tables if found.get("tableName") == table), None)

    def indexes(self, table: str) -> dict[str, list[str]]:
        """Return the table's indexes: name to fields, without the ``_creationTime`` that Convex appends."""
        declared = self.declared(table) or {}
        return {
            index["indexDescriptor"]: [field for field in index["fields"] if field != "_creationTime"]
            for index in declared.get("indexes", [])
        }


def read_catalog(client: Client) -> Catalog | None:
    """Ask the deployment for its catalog; None where it does not answer such questions (rights, age)."""
    try:
        schemas = client.query_value("_system/frontend/getSchemas", {})
        opts = {"paginationOpts": {"numItems": 1000.0, "cursor": None}}
        tables = client.query_value("_system/cli/tables", opts)
    except Refused as error:
        if not only_this_refused(error):
            raise
        return None
    active = schemas.get("active")
    return Catalog(
        tables=tuple(sorted(table["name"] for table in tables["page"])),
        schema=json.loads(active) if isinstance(active, str) else None,
    )


def table_numbers(client: Client) -> dict[int, str] | None:
    """Return which table has which number, the one that its ids begin with; None where the key may not know."""
    try:
        mapping = client.query_value("_system/frontend/getTableMapping", {})
    except Refused as error:
        if not only_this_refused(error):
            raise
        return None
    return {int(number): name for number, name in mapping.items()}


def check_names(catalog: Catalog, names: Names) -> None:
    """See that the table exists and that its index keeps sessions in time order.

    Raises:
        UsageError: no such table or index, or an index on other fields than exactly the session field.
    """
    if names.table not in catalog.tables and catalog.declared(names.table) is None:
        there = ", ".join(catalog.tables[:12]) or "none"
        raise UsageError(
            f"no table {names.table!r} in this deployment.",
            hint=[("tables", there), ("another?", "--table NAME")],
        )
    indexes = catalog.indexes(names.table)
    fields = indexes.get(names.index)
    if fields == [names.session_field]:
        return
    raise UsageError(_index_fault(names, fields), hint=_index_hint(names, indexes))


def _index_fault(names: Names, fields: list[str] | None) -> str:
    if fields is None:
        return f"table {names.table!r} has no index {names.index!r}."
    wanted = f"exactly [{names.session_field}]"
    return f"index {names.index!r} of table {names.table!r} is on [{', '.join(fields)}]; needed is {wanted}."


def _index_hint(names: Names, indexes: dict[str, list[str]]) -> list[tuple[str, str]]:
    hint = []
    usable = [name for name, fields in indexes.items() if fields == [names.session_field]]
    if usable:
        hint.append(("there is", " or ".join(f"--index {name}" for name in usable)))
    elif indexes:
        listed = ", ".join(f"{name} on [{', '.join(fields)}]" for name, fields in indexes.items())
        hint.append(("there is", f"{listed}   (--index NAME --session-field FIELD)"))
    hint.append(("to add it", f'.index("{names.index}", ["{names.session_field}"]) in convex/schema.ts'))
    return hint


# Which messages a declared schema takes, read from the validator that the deployment holds. Form of validators: get-
# convex/convex-backend, ``crates/common/src/schemas/json.rs``.

DOCUMENTED: Final = "documented"
LANGCHAIN: Final = "langchain"
OTHER: Final = "other"

_DOCUMENTED_FIELDS: Final = frozenset({"content", "role", "name", "additional_kwargs"})
_WRITTEN_FIELDS: Final = frozenset({
    "content", "role", "name", "additional_kwargs", "id", "response_metadata", "tool_calls",
    "invalid_tool_calls", "usage_metadata", "tool_call_id", "status", "artifact",
})  # fmt: skip
"""The fields of ``data`` that today's LangChain writes in ordinary use."""

Validator = dict[str, Any]


def schema_level(catalog: Catalog, names: Names) -> str:
    """Return the level that the active schema takes: ``langchain``, ``documented`` or ``other``."""
    schema = catalog.schema
    declared = catalog.declared(names.table)
    if not schema or not schema.get("schemaValidation", True) or not declared:
        return LANGCHAIN
    validators = _alternatives(declared.get("documentType"))
    levels = {_document_level(validator, names) for validator in validators}
    return next((level for level in (LANGCHAIN, DOCUMENTED) if level in levels), OTHER)


def _document_level(document: Validator, names: Names) -> str:
    if document.get("type") == "any":
        return LANGCHAIN
    messages = _field(document, names.message_field)
    if any(message.get("type") == "any" for message in messages):
        return LANGCHAIN
    fields = [_data_level(data) for message in messages for data in _field(message, "data")]
    return next((level for level in (LANGCHAIN, DOCUMENTED) if level in fields), OTHER)


def _data_level(data: Validator) -> str:
    if data.get("type") in ("any", "record"):
        return LANGCHAIN
    fields = data.get("value")
    if data.get("type") != "object" or not isinstance(fields, dict):
        return OTHER
    if fields.keys() >= _WRITTEN_FIELDS:
        return LANGCHAIN
    return DOCUMENTED if fields.keys() >= _DOCUMENTED_FIELDS else OTHER


def _field(validator: Validator, name: str) -> list[Validator]:
    """Return what a field of an object may be; nothing where objects of this kind do not have it."""
    fields = validator.get("value")
    if validator.get("type") != "object" or not isinstance(fields, dict):
        return []
    found = fields.get(name)
    return _alternatives(found.get("fieldType")) if isinstance(found, dict) else []


def _alternatives(validator: Validator | None) -> list[Validator]:
    """Return the members of a union, or the validator itself; no declaration takes anything."""
    if validator is None:
        return [{"type": "any"}]
    if validator.get("type") != "union":
        return [validator]
    return [found for member in validator.get("value", []) for found in _alternatives(member)]
