"""Which messages a declared schema takes, told from the validator that a deployment holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sync_tool as cm
from running import deployment_of, running_sandbox
from sync_tool.deployment.catalog import Catalog, schema_level

NAMES = cm.Names()
ANY = {"type": "any"}
STRING = {"type": "string"}


def fields(**validators: Any) -> dict[str, Any]:
    """Return the validator of an object."""
    return {
        "type": "object",
        "value": {name: {"fieldType": kind, "optional": False} for name, kind in validators.items()},
    }


def catalog(document: Any, *, enforced: bool = True) -> Catalog:
    """Return the catalog of a deployment that declares one table."""
    table = {"tableName": "messages", "indexes": [], "documentType": document}
    return Catalog({"tables": [table], "schemaValidation": enforced})


def document(data: Any) -> dict[str, Any]:
    """Return the validator of a row whose message has this data."""
    return fields(sessionId=STRING, message=fields(type=STRING, data=data))


DOCUMENTED = fields(content=STRING, role=STRING, name=STRING, additional_kwargs=ANY)
WIDE = fields(
    **dict.fromkeys(
        [
            "content", "role", "name", "additional_kwargs", "id", "response_metadata", "tool_calls",
            "invalid_tool_calls", "usage_metadata", "tool_call_id", "status", "artifact",
        ],
        ANY,
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "level"),
    [
        (ANY, "langchain"),
        (document(ANY), "langchain"),
        (document(WIDE), "langchain"),
        (document(DOCUMENTED), "documented"),
        (document({"type": "union", "value": [DOCUMENTED, WIDE]}), "langchain"),
        ({"type": "union", "value": [document(DOCUMENTED), fields(other=STRING)]}, "documented"),
        (document(fields(content=STRING)), "other"),
        (fields(sessionId=STRING, message=STRING), "other"),
        (None, "langchain"),
    ],
)
def test_levels(declared: Any, level: str) -> None:
    """Open, wide, documented and other validators, alone and in unions."""
    assert schema_level(catalog(declared), NAMES) == level


def test_a_schema_that_is_not_enforced_takes_everything() -> None:
    """schemaValidation: false, no schema, and a table that is not declared refuse nothing."""
    assert schema_level(catalog(document(DOCUMENTED), enforced=False), NAMES) == "langchain"
    assert schema_level(Catalog(None), NAMES) == "langchain"


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("documented", "every message of @langchain/core 0.1.46 or newer is refused"),
        ("langchain", "schema level langchain"),
        ("any", "schema level langchain"),
    ],
)
def test_doctor_says_the_level(tmp_path: Path, flag: str, said: str) -> None:
    """A real declared schema of each kind is recognised through the deployment."""
    with running_sandbox(tmp_path, "--schema", flag) as sandbox, cm.connect(sandbox.url, key=sandbox.key) as history:
        document = {"sessionId": "a", "message": {"type": "human", "data": {"content": "x"}}}
        deployment_of(history).client.mutation_value("langchain/db:insert", {"table": "messages", "document": document})
        report = cm.doctor(history)
    assert report.exit_code == 0
    assert any(said in finding.text for finding in report.findings)
