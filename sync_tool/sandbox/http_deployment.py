"""What clients and tools ask about a deployment itself.

Source: get-convex/convex-backend, ``crates/local_backend/src``, ``dashboard.rs`` and ``deployment_info.rs``.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from sync_tool.sandbox.http_border import Handler, json_response
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.keys import Token, is_admin, must_be_admin, without_type
from sync_tool.sandbox.requests import UrlForKeyBody, read_body, token_of
from sync_tool.sandbox.rights import allowed_operations

VERSION: Final = "0.0.0-convex-msgs-sandbox"


class DeploymentApi:
    """The handlers that tell about one instance."""

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
        """POST /api/deployment/url_for_key: what Convex's provisioning host answers."""
        body = await read_body(request, UrlForKeyBody)
        is_admin(Token("admin", without_type(body.deploy_key)), self._instance.key)
        return json_response(self._instance.url)

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
