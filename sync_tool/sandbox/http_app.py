"""The HTTP application of one instance."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from sync_tool.sandbox.http_border import guard
from sync_tool.sandbox.http_deployment import DeploymentApi
from sync_tool.sandbox.http_functions import FunctionApi
from sync_tool.sandbox.http_imports import ImportApi
from sync_tool.sandbox.http_legacy import LegacyApi
from sync_tool.sandbox.http_stream import StreamApi
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.sync.endpoint import sync_routes


def http_app(instance: Instance) -> Starlette:
    """Return the application; browsers may call it from anywhere, as they may a deployment."""
    latency = instance.options.latency
    deployment = DeploymentApi(instance)
    stream = StreamApi(instance)
    legacy = LegacyApi(instance, stream)
    post = {
        **FunctionApi(instance).handlers(),
        **ImportApi(instance).handlers(),
        **stream.handlers(),
        **legacy.handlers(),
        "/api/deployment/url_for_key": deployment.url_for_key,
    }
    get = {
        **deployment.handlers(),
        **legacy.handlers(),
        "/api/json_schemas": legacy.json_schemas,
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
    return Starlette(routes=[*routes, *sync_routes(instance)], middleware=[cors])
