"""Where HTTP requests come in and answers go out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sync_tool.encoding.values import Json
from sync_tool.sandbox.faults import ServerError, internal_error
from sync_tool.sandbox.functions.results import to_json_bytes
from sync_tool.sandbox.http.requests import JSON_TYPE, parse_client

Handler = Callable[[Request], Awaitable[Response]]

_log = logging.getLogger(__name__)


def json_bytes(body: bytes) -> Response:
    """Answer with JSON text."""
    return Response(body, media_type=JSON_TYPE)


def json_response(json: Json) -> Response:
    """Answer with JSON."""
    return json_bytes(to_json_bytes(json))


def failure_response(failure: ServerError) -> Response:
    """Answer with a system failure."""
    body = to_json_bytes({"code": failure.code, "message": failure.message})
    return Response(body, failure.status, media_type=JSON_TYPE)


def guard(handler: Handler, latency: float) -> Handler:
    """Wrap a handler: latency before it, failures turned into answers after it."""

    async def guarded(request: Request) -> Response:
        if latency:
            await asyncio.sleep(latency)
        try:
            response = await handler(request)
        except ServerError as failure:
            response = failure_response(failure)
        except ClientDisconnect:  # nobody is left to answer
            response = Response(status_code=408)
        except Exception:  # noqa: BLE001  # the border: a bug must look as on a deployment
            _log.exception("%s %s", request.method, request.url.path)
            response = failure_response(internal_error())
        _add_warning(request, response)
        return response

    return guarded


def _add_warning(request: Request, response: Response) -> None:
    """Tell outdated clients that they are."""
    try:
        warning = parse_client(request.headers.get("convex-client")).warning
    except ServerError:
        return
    if warning is not None:
        response.headers["x-convex-deprecation-state"] = warning[0]
        response.headers["x-convex-deprecation-message"] = warning[1]
