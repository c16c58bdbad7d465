"""Which messages a declared schema takes, read from the validator that the deployment holds.

Form of validators: get-convex/convex-backend, ``crates/common/src/schemas/json.rs``.
"""

from __future__ import annotations

from typing import Any, Final

from sync_tool.deployment.catalog import Catalog
from sync_tool.model import Names

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
