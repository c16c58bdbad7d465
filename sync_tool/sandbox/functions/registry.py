"""How a function is described, and the table of those that are deployed."""

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
    """What functions may know about the deployment that runs them."""

    options: SandboxOptions
    schema: Schema
    cursors: Cursors
    functions: Mapping[str, Function]
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when the deployment is about to stop: who waits should wait no longer."""


@dataclass
class Context:
    """What a function gets besides its arguments.

    Attributes:
        db: the database: a `Transaction`, in mutations a `WriteTransaction`, in actions a caller.
        facts: the deployment.
        log: lines the function logged.
    """

    db: Any
    facts: Facts
    log: list[str]


Handler = Callable[[Context, dict[str, Value]], Value]


@dataclass(frozen=True)
class Function:
    """One function."""

    kind: Kind
    visibility: Visibility
    args: Validator
    handler: Handler

    def spec(self, path: str) -> Json:
        """How ``modules:apiSpec`` lists it."""
        return {
            "identifier": path,
            "functionType": self.kind,
            "visibility": {"kind": self.visibility},
            "args": self.args.json,
            "returns": ANY.json,
        }


def internal_query(args: dict[str, Validator], handler: Handler) -> Function:
    """A query that only an admin key can call."""
    return Function("Query", "internal", obj(args), handler)


def internal_mutation(args: dict[str, Validator], handler: Handler) -> Function:
    """A mutation that only an admin key can call."""
    return Function("Mutation", "internal", obj(args), handler)
