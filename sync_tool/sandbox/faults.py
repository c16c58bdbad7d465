"""Failures of a call.

A *function failure* (an exception, a ConvexError, wrong arguments, a limit) is answered with HTTP 200 and
``status: "error"``. A *system failure* refuses the request, with a status of its own and ``{code, message}``.
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
    """System failure: HTTP status, Convex's error code, and a text."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class NoData:
    """Type of `NO_DATA`."""


NO_DATA: Final = NoData()  # No ConvexError: None is a value that a ConvexError can carry


class FunctionError(Exception):
    """Function failure.

    Attributes:
        message: text as in Convex, without request id.
        data: data of a ConvexError, else `NO_DATA`.
        thrown: raised inside JavaScript, so the text ends in a stack trace.
    """

    def __init__(self, message: str, *, data: Value | NoData = NO_DATA, thrown: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
        self.thrown = thrown

    def text(self, module: str, *, redact: bool) -> str:
        """Return the ``errorMessage`` for a client; `redact` hides all but the request id, as production does."""
        head = f"[Request ID: {secrets.token_hex(8)}] Server Error"
        if redact:
            return head
        trace = f"    at handler (../convex/{module.removesuffix('.js')}.ts)\n" if self.thrown else ""
        return f"{head}\n{self.message}\n{trace}"


def developer_error(message: str) -> FunctionError:
    """Return an error that the backend raises inside a function: a limit, a bad document, a bad index."""
    return FunctionError(f"Uncaught Error: {message}", thrown=True)


def convex_error(data: Value) -> FunctionError:
    """Return the failure of ``throw new ConvexError(data)``."""
    text = data if isinstance(data, str) else json.dumps(_javascript(data), separators=(",", ":"))
    return FunctionError(f"Uncaught ConvexError: {text[:_MAX_DATA_TEXT]}", data=data, thrown=True)


def _javascript(value: Value) -> Json:
    """Convert a value to JSON as JSON.stringify does: ``5``, not ``5.0``."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _javascript(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_javascript(item) for item in value]
    return encode_clean(value)


def refusal(code: str, message: str, **details: Value) -> FunctionError:
    """Return a ConvexError in the shape of ``convexMsgs``."""
    return convex_error({"code": code, "message": message, **details})


def bad_request(code: str, message: str) -> ServerError:
    """Return a ServerError with status 400."""
    return ServerError(400, code, message)


def conflict() -> ServerError:
    """Return the error of a mutation that lost a conflict, also after the server's retries."""
    text = "Data read or written in this mutation changed while it was being run. Consider reducing the amount of data"
    return ServerError(503, "OptimisticConcurrencyControlFailure", f"{text} read by using indexed queries.")


def internal_error(status: int = 500) -> ServerError:
    """Return the generic error that hides its cause."""
    return ServerError(status, "InternalServerError", INTERNAL_ERROR_TEXT)
