"""Tables, indexes and the active schema of a deployment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from sync_tool.deployment.client import Client
from sync_tool.errors import Refused, UsageError, only_this_refused
from sync_tool.rows.model import Names


@dataclass(frozen=True, slots=True)
class Catalog:
    """The active schema."""

    schema: dict[str, Any] | None
    """As pushed; None if there is none."""

    def declared(self, table: str) -> dict[str, Any] | None:
        """Return the declaration of a table; None if the schema has none."""
        tables = (self.schema or {}).get("tables", [])
        return next((found for found in tables if found.get("tableName") == table), None)

    def indexes(self, table: str) -> dict[str, list[str]]:
        """Return the indexes of a table: name to fields, without the ``_creationTime`` that Convex appends."""
        declared = self.declared(table) or {}
        return {
            index["indexDescriptor"]: [field for field in index["fields"] if field != "_creationTime"]
            for index in declared.get("indexes", [])
        }


def read_catalog(client: Client) -> Catalog | None:
    """Return the catalog of a deployment; None if the key may not read it."""
    schemas = _query(client, "_system/frontend/getSchemas", {})
    if schemas is None:
        return None
    active = schemas.get("active")
    return Catalog(json.loads(active) if isinstance(active, str) else None)


def table_names(client: Client) -> tuple[str, ...]:
    """Return the user tables that exist, declared or not; empty if the key may not list them."""
    tables = _query(client, "_system/cli/tables", {"paginationOpts": {"numItems": 1000.0, "cursor": None}})
    return () if tables is None else tuple(sorted(table["name"] for table in tables["page"]))


def table_numbers(client: Client) -> dict[int, str] | None:
    """Return the table of each table number, with which its ids begin; None if the key may not list them."""
    mapping = _query(client, "_system/frontend/getTableMapping", {})
    return None if mapping is None else {int(number): name for number, name in mapping.items()}


def _query(client: Client, path: str, args: dict[str, Any]) -> Any:
    """Return the result of a system query; None if only this query is refused."""
    try:
        return client.query_value(path, args)
    except Refused as error:
        if not only_this_refused(error):
            raise
        return None


def check_names(client: Client, catalog: Catalog, names: Names) -> None:
    """Check that the table exists and that its index keeps sessions in time order.

    Raises:
        UsageError: no such table or index, or an index on other fields than exactly the session field.
    """
    indexes = catalog.indexes(names.table)
    fields = indexes.get(names.index)
    if fields == [names.session_field]:
        return
    if catalog.declared(names.table) is None:
        tables = table_names(client)
        if names.table not in tables:
            raise UsageError(
                f"no table {names.table!r} in this deployment.",
                hint=[("tables", ", ".join(tables[:12]) or "none"), ("another?", "--table NAME")],
            )
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


# Schema levels, read from the validators of the active schema. Their format: get-convex/convex-backend,
# ``crates/common/src/schemas/json.rs``.

DOCUMENTED: Final = "documented"
LANGCHAIN: Final = "langchain"
OTHER: Final = "other"

_DOCUMENTED_FIELDS: Final = frozenset({"content", "role", "name", "additional_kwargs"})
_WRITTEN_FIELDS: Final = frozenset({
    "content", "role", "name", "additional_kwargs", "id", "response_metadata", "tool_calls",
    "invalid_tool_calls", "usage_metadata", "tool_call_id", "status", "artifact",
})  # fmt: skip
"""The fields of ``data`` that the current LangChain writes in ordinary use."""

Validator = dict[str, Any]


def schema_level(catalog: Catalog, names: Names) -> str:
    """Return the level that the active schema accepts: ``langchain``, ``documented`` or ``other``."""
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
    """Return the validators that a field of an object may match; empty if the object does not have the field."""
    fields = validator.get("value")
    if validator.get("type") != "object" or not isinstance(fields, dict):
        return []
    found = fields.get(name)
    return _alternatives(found.get("fieldType")) if isinstance(found, dict) else []


def _alternatives(validator: Validator | None) -> list[Validator]:
    """Return the members of a union, or the validator itself; without a declaration, the one for any value."""
    if validator is None:
        return [{"type": "any"}]
    if validator.get("type") != "union":
        return [validator]
    return [found for member in validator.get("value", []) for found in _alternatives(member)]
