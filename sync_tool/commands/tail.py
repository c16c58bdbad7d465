"""``tail``: follows one session live."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from sync_tool.commands.opening import Openable, opened_deployment
from sync_tool.deployment.deployment import Deployment
from sync_tool.deployment.functions import MODULE
from sync_tool.errors import Refused, UsageError
from sync_tool.keywords import strict_keywords
from sync_tool.rows.model import Row
from sync_tool.rows.ports import SILENT, Progress
from sync_tool.text import one_line

SILENCE = 60.0


@strict_keywords()
def tail(
    place: Openable,
    session: str,
    *,
    last: int = 0,
    wait: bool = False,
    silence: float = SILENCE,
    progress: Progress | None = None,
) -> Iterator[Row]:
    """Yield the messages of a session as they come, each once, in the order in which they become visible.

    Does not end by itself, and reconnects after a restart of the deployment.

    Args:
        place: a deployment that has `convexMsgs.ts`: its address, or what `connect` returned.
        session: its id.
        last: existing messages to begin with.
        wait: the session does not need to exist yet.
        silence: seconds without a message after which key and functions are checked over HTTP.
        progress: receives notes on an unreachable deployment or a failed live connection.

    Raises:
        UsageError: no such session.
        NotSupported: no deployment.
        Refused: the functions are not deployed, or the key is refused, at the start or later.
        Unreachable: no answer at the start.
    """
    if last < 0 or silence <= 0:
        raise UsageError("the number of messages to begin with, and the seconds of silence, are not negative.")
    with opened_deployment(place, "only a deployment can be followed.") as deployment:
        yield from _follow(deployment, session, last=last, wait=wait, silence=silence, progress=progress or SILENT)


def _follow(
    deployment: Deployment, session: str, *, last: int, wait: bool, silence: float, progress: Progress
) -> Iterator[Row]:
    from sync_tool.deployment.live import Follower
    from sync_tool.rows.selection import unknown_session

    progress.note(f"{deployment.title} · table {deployment.names.table} · session {one_line(session)}")
    if not deployment.has_functions:
        raise Refused(
            f"{MODULE} is not deployed on {deployment.title}, or not for this key: there is nothing to subscribe to.",
            hint=[
                ("to add it", "convex-msgs init"),
                ("without it", f"convex-msgs export -s {shlex.quote(session)} --after 1h"),
            ],
        )
    if not wait and not deployment.reader.has_session(session):
        error = unknown_session(session, deployment.reader.neighbours(session))
        raise UsageError(error.message, hint=[("not begun yet?", "--wait")])
    follower = Follower(deployment.client, deployment.key.secret, deployment.names, session)
    newest = follower.begin(last)
    progress.note("following; Ctrl-C ends it.")
    yield from newest
    yield from follower.follow(silence, progress)
