"""Who a deployment is: its URL, type and name, and what its plan allows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from sync_tool.deployment.client import Client
from sync_tool.deployment.http import Http, Patience
from sync_tool.deployment.keys import Key
from sync_tool.deployment.settings import Target, clean_url
from sync_tool.errors import ConvexMsgsError, Refused, UsageError, only_this_refused


@dataclass(frozen=True, slots=True)
class Identity:
    """What ``deployment_info`` and the key say."""

    type: str
    """``prod``, ``dev``, ``preview``, ``custom`` or ``self-hosted``."""
    name: str
    """The deployment's name on Convex cloud, else its host."""

    @property
    def title(self) -> str:
        """How a person calls it, such as ``prod tall-forest-123``."""
        return f"{self.type} {self.name}"

    @property
    def cloud(self) -> bool:
        """True on Convex cloud."""
        return self.type != "self-hosted"


def find_url(target: Target, patience: Patience) -> str:
    """Return the deployment's URL; where only the key is known, ask Convex as the official CLI does.

    A custom domain or a region cannot be told from the key. Without an answer the common form is used.
    """
    if target.url:
        return target.url
    asked = Http(target.provisioning_host, f"Bearer {target.key.secret}", Patience(patience.connect, 10.0, 1))
    try:
        answer = asked.post("/api/deployment/url_for_key", json.dumps({"deployKey": target.key.secret}).encode())
        url = json.loads(answer.body)
        if answer.status == 200 and isinstance(url, str):
            return clean_url(url)
    except (ConvexMsgsError, ValueError, RecursionError):
        pass
    finally:
        asked.close()
    return f"https://{target.key.name}.convex.cloud"


def identify(client: Client, key: Key) -> Identity:
    """Ask the deployment who it is; this is also the first use of the key.

    Raises:
        Refused: the key is wrong.
        UsageError: the key belongs to another deployment than the one at this URL.
        Unreachable: no answer.
    """
    try:
        info = client.get("/api/v1/deployment_info")
    except Refused as error:
        if not only_this_refused(error):
            _refuse_other_instance(client, key)
            raise
        info = None
    if info is None and key.type:  # a backend older than deployment_info
        return Identity(key.type, key.name)
    if isinstance(info, dict) and info.get("kind") == "cloud":
        return Identity(str(info.get("deploymentType") or key.type or "cloud"), key.name)
    return Identity("self-hosted", urlsplit(client.url).netloc)


def _refuse_other_instance(client: Client, key: Key) -> None:
    """Explain a refused key where the deployment says that it goes by another name."""
    try:
        name = client.get("/instance_name", text=True)
    except ConvexMsgsError:
        return
    if isinstance(name, str) and name.strip() and name.strip() != key.name:
        raise UsageError(
            f"the key is of {key.label}, but {client.url} is {name.strip()}.",
            hint=[("either", "use the URL of the key's deployment"), ("or", f"use a key of {name.strip()}")],
        ) from None


def may_stream(client: Client) -> bool:
    """Tell whether the deployment's plan includes streaming export (Pro; always on self-hosted)."""
    try:
        answer = client.http.get("/api/test_streaming_export_connection")
    except ConvexMsgsError:
        return False
    return answer.status == 200 and answer.body.strip() == b"null"
