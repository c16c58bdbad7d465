"""The two ways a call can fail, and how each looks from outside.

A *function failure* is the function's own doing (an exception, a ConvexError, wrong arguments, a limit) and
is answered with HTTP 200 and ``status: "error"``. A *system failure* is the server's refusal of the request
and is answered with a status of its own and ``{code, message}``.

Source: get-convex/convex-backend, ``crates/errors/src/lib.rs``, ``crates/application/src/redaction.rs``.
"""

from __future__ import annotations

import json
import secrets
from typing import Final

from sync_tool.encoding.values import Json, Value, encode_clean

INTERNAL_ERROR_TEXT: Final = "Your request couldn't be completed. Try again later."

_MAX_DATA_TEXT: Final = 16_384


class ServerError(Exception):
    """The server refuses the request.

    Attributes:
        status: HTTP status.
        code: Convex's short name of the error.
        message: text for people.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class NoData:
    """The type of `NO_DATA`."""


NO_DATA: Final = NoData()
"""Stands for "not a ConvexError"; None is a value that a ConvexError can carry."""


class FunctionError(Exception):
    """A function ran, or should have run, and failed.

    Attributes:
        message: text as Convex words it, without request id.
        data: the data of a ConvexError, else `NO_DATA`.
        thrown: raised inside JavaScript, so that the text ends in a stack trace.
    """

    def __init__(self, message: str, *, data: Value | NoData = NO_DATA, thrown: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
        self.thrown = thrown

    def text(self, module: str, *, redact: bool) -> str:
        """Return the ``errorMessage`` that a client gets.

        Args:
            module: path of the function's module, for the stack trace.
            redact: hide everything but the request id, as production deployments do.
        """
        head = f"[Request ID: {secrets.token_hex(8)}] Server Error"
        if redact:
            return head
        trace = f"    at handler (../convex/{module.removesuffix('.js')}.ts)\n" if self.thrown else ""
        return f"{head}\n{self.message}\n{trace}"


def developer_error(message: str) -> FunctionError:
    """An error that the backend raises inside a function: a limit, a bad document, a bad index."""
    return FunctionError(f"Uncaught Error: {message}", thrown=True)


def convex_error(data: Value) -> FunctionError:
    """What ``throw new ConvexError(data)`` does."""
    text = data if isinstance(data, str) else json.dumps(_javascript(data), separators=(",", ":"))
    return FunctionError(f"Uncaught ConvexError: {text[:_MAX_DATA_TEXT]}", data=data, thrown=True)


def _javascript(value: Value) -> Json:
    """Spell a value as JSON.stringify does: ``5``, not ``5.0``."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _javascript(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_javascript(item) for item in value]
    return encode_clean(value)


def refusal(code: str, message: str, **details: Value) -> FunctionError:
    """A ConvexError in the shape that all functions of ``convexMsgs`` throw."""
    return convex_error({"code": code, "message": message, **details})


def bad_request(code: str, message: str) -> ServerError:
    """A 400."""
    return ServerError(400, code, message)


def internal_error(status: int = 500) -> ServerError:
    """The generic error that hides its cause."""
    return ServerError(status, "InternalServerError", INTERNAL_ERROR_TEXT)
