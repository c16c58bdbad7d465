"""HTTP application of one instance.

Source: get-convex/convex-backend, ``crates/local_backend/src``: ``dashboard.rs`` and ``deployment_info.rs``.
"""

from __future__ import annotations

from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sync_tool.sandbox.faults import bad_request
from sync_tool.sandbox.http.functions import FunctionApi
from sync_tool.sandbox.http.imports import ImportApi
from sync_tool.sandbox.http.requests import (
    Handler,
    UrlForKeyBody,
    failure_response,
    guard,
    json_response,
    read_body,
    token_of,
)
from sync_tool.sandbox.http.stream import StreamApi
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.keys import Token, allowed_operations, is_admin, must_be_admin, without_type
from sync_tool.sandbox.sync.session import sync_routes

VERSION: Final = "0.0.0-convex-msgs-sandbox"


class DeploymentApi:
    """Handlers that describe one instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers of GET requests by path."""
        return {
            "/": _text("This Convex deployment is running."),
            "/version": _text(VERSION),
            "/instance_version": _text(VERSION),
            "/instance_name": _text(self._instance.options.name),
            "/api/check_admin_key": self.check_admin_key,
            "/api/v1/deployment_info": self.deployment_info,
        }

    async def url_for_key(self, request: Request) -> Response:
        """POST /api/deployment/url_for_key: the answer of Convex's provisioning host."""
        body = await read_body(request, UrlForKeyBody)
        is_admin(Token("admin", without_type(body.deploy_key)), self._instance.key)
        return json_response(self._instance.url)

    async def team_and_project(self, request: Request) -> Response:
        """POST /api/deployment/team_and_project_for_key: names that the official command line prints."""
        body = await read_body(request, UrlForKeyBody)
        is_admin(Token("admin", without_type(body.deploy_key)), self._instance.key)
        name = self._instance.options.name
        return json_response({"team": name, "project": name, "teamId": 1, "projectId": 1})

    async def check_admin_key(self, request: Request) -> Response:
        """GET /api/check_admin_key."""
        self._require_admin(request)
        return json_response(
            {"success": True, "allowedOps": allowed_operations(self._instance.options), "isReadOnly": False}
        )

    async def deployment_info(self, request: Request) -> Response:
        """GET /api/v1/deployment_info."""
        self._require_admin(request)
        options = self._instance.options
        if not options.is_cloud:
            return json_response({"kind": "selfHosted"})
        return json_response(
            {
                "kind": "cloud",
                "teamId": 1,
                "projectId": 1,
                "projectName": options.name,
                "projectSlug": options.name,
                "id": 1,
                "deploymentType": options.type,
                "reference": None,
            }
        )

    def _require_admin(self, request: Request) -> None:
        must_be_admin(is_admin(token_of(request), self._instance.key), self._instance.options.name)


def _text(text: str) -> Handler:
    async def answer(_request: Request) -> Response:
        return PlainTextResponse(text)

    return answer


def http_app(instance: Instance) -> Starlette:
    """Return the application; browsers may call it from any origin, as they may a deployment."""
    latency = instance.options.latency
    deployment = DeploymentApi(instance)
    stream = StreamApi(instance)
    post = {
        **FunctionApi(instance).handlers(),
        **ImportApi(instance).handlers(),
        **stream.handlers(),
        "/api/deployment/url_for_key": deployment.url_for_key,
        "/api/deployment/team_and_project_for_key": deployment.team_and_project,
    }
    get = {
        **deployment.handlers(),
        "/api/test_streaming_export_connection": stream.test_connection,
    }
    routes = [
        *(Route(path, guard(handler, latency), methods=["POST"]) for path, handler in post.items()),
        *(Route(path, guard(handler, latency), methods=["GET"]) for path, handler in get.items()),
    ]
    cors = Middleware(
        CORSMiddleware,
        allow_origin_regex=".*",
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        allow_headers=["*"],
        allow_credentials=True,
        max_age=86_400,
    )
    app = Starlette(routes=[*routes, *sync_routes(instance)], middleware=[cors])
    app.router.default = _fallback(app.router.default)
    return app


def _fallback(not_found: ASGIApp) -> ASGIApp:
    """Answer what a deployment has and the sandbox has not with a 400, which clients do not retry, unlike a 404."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        if scope["type"] != "http" or not path.startswith("/api/"):
            await not_found(scope, receive, send)
            return
        failure = bad_request("NotInSandbox", f"The sandbox has no {scope['method']} {path}.")
        await failure_response(failure)(scope, receive, send)

    return answer
