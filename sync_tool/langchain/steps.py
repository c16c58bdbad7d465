"""Calls in a row, said once for blocking and for asynchronous programs.

An operation is a generator that yields `Call`s, is sent their `Result`s, and returns what came of them.
"""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, Literal, TypeVar

from sync_tool.deployment.client import Call, Result
from sync_tool.deployment.functions import MODULE
from sync_tool.deployment.http import Pace
from sync_tool.errors import ConvexMsgsError, FunctionFailed, Refused, only_this_refused
from sync_tool.rows.model import Names

T = TypeVar("T")
Steps = Generator[Call, Result, T]

NOT_DEPLOYED: Final = "not_deployed"
"""Code of the `Refused` that says that a function of ours is not there."""
_MAX_BYTES: Final = 8.0 * 1024 * 1024


def drive(steps: Steps[T], call: Callable[[Call], Result]) -> T:
    """Run an operation to its end with blocking calls."""
    try:
        step = next(steps)
        while True:
            try:
                result = call(step)
            except ConvexMsgsError as error:
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as done:
        value: T = done.value
        return value


async def drive_async(steps: Steps[T], call: Callable[[Call], Awaitable[Result]]) -> T:
    """Run an operation to its end without blocking the event loop."""
    try:
        step = next(steps)
        while True:
            try:
                result = await call(step)
            except ConvexMsgsError as error:
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as done:
        value: T = done.value
        return value


class Functions:
    """The functions of ``convexMsgs`` on one deployment, and which of them are there as far as that is known."""

    def __init__(self) -> None:
        self._deployed: list[dict[str, Any]] | None = None

    def lacks(self, name: str) -> bool:
        """Tell whether a function is known to be missing."""
        return self._deployed is not None and not any(
            f.get("identifier") in (f"{MODULE}.js:{name}", f"{MODULE}:{name}") for f in self._deployed
        )

    def ask(
        self, kind: Literal["query", "mutation"], name: str, names: Names, args: dict[str, Any], pace: Pace | None
    ) -> Steps[Result]:
        """Call a function; with a pace, for fewer rows after a refusal.

        Raises:
            Refused: it is not deployed (`NOT_DEPLOYED`), or the key may not call it.
            FunctionFailed: it failed for another reason.
        """
        named = {"table": names.table, "index": names.index, "sessionField": names.session_field, **args}
        while True:
            rows = pace.rows if pace is not None else 0
            limit = {"limit": float(rows), "maxBytes": _MAX_BYTES} if pace is not None else {}
            try:
                result = yield Call(kind, f"{MODULE}:{name}", {**named, **limit})
            except FunctionFailed as error:
                if error.data is None and (yield from self._is_missing(name)):
                    raise _not_deployed(name) from None
                if pace is None:
                    raise with_advice(error, names) from None
                pace.refused(rows, with_advice(error, names))
                continue
            if pace is not None:
                pace.went_well()
            return result

    def _is_missing(self, name: str) -> Steps[bool]:
        """Find out whether a function that failed is there at all: in production the failure does not say so."""
        if self._deployed is None:
            try:
                self._deployed = (yield Call("query", "_system/cli/modules:apiSpec", {})).value
            except Refused as error:
                if not only_this_refused(error):
                    raise
                return False  # this key may not know
        return self.lacks(name)


def with_advice(error: FunctionFailed, names: Names) -> FunctionFailed:
    """Return a failure with the command that explains it: in production all that it says is "Server Error"."""
    if error.data is not None and error.code != "bad_filter":
        return error
    usual = Names()
    given = [("--table", names.table, usual.table), ("--index", names.index, usual.index),
             ("--session-field", names.session_field, usual.session_field)]  # fmt: skip
    flags = "".join(f" {flag} {shlex.quote(name)}" for flag, name, common in given if name != common)
    return FunctionFailed(error.message, data=error.data, hint=[("table, index, schema", f"convex-msgs doctor{flags}")])


def _not_deployed(name: str) -> Refused:
    return Refused(
        f"{MODULE}:{name} is not deployed there: reading works without it, writing does not.",
        code=NOT_DEPLOYED,
        hint=[("to add it", "convex-msgs init, then push it the way you always do (npx convex dev)")],
    )
