"""What stays the same about a deployment whatever its address, and its clock."""

from __future__ import annotations

import base64
import binascii

from sync_tool.deployment.client import Client
from sync_tool.errors import Unreachable

_NS_A_MS = 1_000_000


def instance_name(client: Client, otherwise: str) -> str:
    """Return the name a deployment was given when it was made; `otherwise` where it does not say.

    Source: get-convex/convex-backend, ``crates/local_backend/src/router.rs`` (``GET /instance_name``).
    """
    name = client.get("/instance_name", text=True)
    return name if isinstance(name, str) and name else otherwise


def newest_moment(client: Client) -> float:
    """Return the deployment's newest readable moment, ms since 1970: all that was committed before can be read.

    Source: ``crates/local_backend/src/public_api.rs`` (``POST /api/query_ts``): base64 of 8 bytes, little-endian, ns.

    Raises:
        Unreachable: no usable answer.
    """
    answer = client.post("/api/query_ts", {})
    try:
        data = base64.b64decode(answer["ts"], validate=True)
    except (KeyError, TypeError, binascii.Error):
        raise Unreachable(f"{client.url} does not say its time as a Convex deployment does.") from None
    return int.from_bytes(data, "little") / _NS_A_MS
