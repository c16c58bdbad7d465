"""Descriptions of functions, and their context."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sync_tool.encoding.validators import ANY, Validator, obj
from sync_tool.encoding.values import Json, Value
from sync_tool.sandbox.database.cursors import Cursors
from sync_tool.sandbox.database.schema import Schema
from sync_tool.sandbox.options import SandboxOptions

Kind = Literal["Query", "Mutation", "Action"]
Visibility = Literal["public", "internal"]


@dataclass(frozen=True)
class Facts:
    """Properties of the deployment that its functions can use."""

    options: SandboxOptions
    schema: Schema
    cursors: Cursors
    functions: Mapping[str, Function]
    # Set when the deployment is about to stop; waiting functions return
    closing: threading.Event = field(default_factory=threading.Event)


@dataclass
class Context:
    """Context of a function: a `Transaction`, `WriteTransaction` or `ActionRunner`, the deployment, and log lines."""

    db: Any
    facts: Facts
    log: list[str]


Handler = Callable[[Context, dict[str, Value]], Value]


@dataclass(frozen=True)
class Function:
    """Function with its validator and handler."""

    kind: Kind
    visibility: Visibility
    args: Validator
    handler: Handler

    def spec(self, path: str) -> Json:
        """Return its entry in ``modules:apiSpec``."""
        return {
            "identifier": path,
            "functionType": self.kind,
            "visibility": {"kind": self.visibility},
            "args": self.args.json,
            "returns": ANY.json,
        }


def internal_query(args: dict[str, Validator], handler: Handler) -> Function:
    """Return a query that needs the admin key."""
    return Function("Query", "internal", obj(args), handler)


def internal_mutation(args: dict[str, Validator], handler: Handler) -> Function:
    """Return a mutation that needs the admin key."""
    return Function("Mutation", "internal", obj(args), handler)
