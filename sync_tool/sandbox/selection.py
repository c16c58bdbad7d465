"""Which tables and columns a streaming export asks for.

Source: get-convex/convex-backend, ``crates/common/src/types/streaming_export/selection.rs`` (the form) and
``crates/database/src/streaming_export_selection.rs`` (the meaning).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sync_tool.encoding import canonical
from sync_tool.encoding.values import Json
from sync_tool.sandbox.faults import ServerError, bad_request
from sync_tool.sandbox.paths import is_identifier
from sync_tool.sandbox.store import Table

_OTHER = "_other"
_CHOICES = {"included": True, "incl": True, "excluded": False, "excl": False}


@dataclass(frozen=True)
class Columns:
    """The columns of one table that are asked for."""

    named: dict[str, bool] = field(default_factory=dict)
    others: bool = True

    def cut(self, body: bytes) -> bytes:
        """Return the canonical bytes of a document without the columns that are left out."""
        if self.others and not self.named:
            return body
        document = canonical.loads(body)
        return canonical.dumps({name: value for name, value in document.items() if self.named.get(name, self.others)})


@dataclass(frozen=True)
class Selection:
    """The tables of the root component that are asked for; the sandbox has no other component."""

    named: dict[str, Columns | None] = field(default_factory=dict)
    """None stands for a table that is left out."""
    others: bool = True

    def columns(self, table: str) -> Columns | None:
        """Return which columns of a table are asked for; None if the table is not."""
        if table in self.named:
            return self.named[table]
        return Columns() if self.others else None


EVERYTHING = Selection()
NOTHING = Selection(others=False)


def read_selection(json: Json) -> Selection:
    """Read the JSON form of a selection.

    Raises:
        ServerError: 400 `BadJsonBody`, it has not this form; 400 `InvalidDataSyncSelection`, it makes no sense.
    """
    if json is None:
        return EVERYTHING
    components, others = _level(json)
    if "" not in components:
        return EVERYTHING if others else NOTHING
    root = components[""]
    if _is_excluded(root):
        return NOTHING
    tables, other_tables = _level(root)
    for name in tables:
        if not is_identifier(name):
            raise invalid(f"invalid table name {name}")
    return Selection({name: _columns(choice) for name, choice in tables.items()}, other_tables)


def one_table(name: str) -> Selection:
    """Select one table with all of its columns."""
    return Selection({name: Columns()}, others=False)


def chosen(tables: Iterable[Table], selection: Selection) -> dict[str, Table]:
    """Return those tables that are asked for, by tablet."""
    return {table.tablet: table for table in tables if selection.columns(table.name) is not None}


def invalid(text: str) -> ServerError:
    """A selection that makes no sense."""
    return bad_request("InvalidDataSyncSelection", f"Invalid selection: {text}")


def _columns(json: Json) -> Columns | None:
    if _is_excluded(json):
        return None
    columns, others = _level(json)
    if not all(isinstance(choice, str) and choice in _CHOICES for choice in columns.values()):
        raise _malformed()
    named = {name: _CHOICES[choice] for name, choice in columns.items()}
    if not named.get("_id", others):
        raise invalid("`_id` must be included in the column selection")
    return Columns(named, others)


def _level(json: Json) -> tuple[dict[str, Json], bool]:
    """Take a level apart: what it names, and what is with everything else."""
    if not isinstance(json, dict) or json.get(_OTHER) not in tuple(_CHOICES):
        raise _malformed()
    return {name: choice for name, choice in json.items() if name != _OTHER}, _CHOICES[json[_OTHER]]


def _is_excluded(json: Json) -> bool:
    return isinstance(json, str) and _CHOICES.get(json) is False


def _malformed() -> ServerError:
    return bad_request(
        "BadJsonBody", "Failed to deserialize the JSON body into the target type: selection: no variant matched"
    )
