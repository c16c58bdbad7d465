"""Runs a mutation once, however often a client that lost its connection asks for it.

Answers are kept under the client's session and request, in the transaction of the mutation itself.
Source: get-convex/convex-backend, ``crates/model/src/session_requests``.
"""

from __future__ import annotations

import sqlite3

from sync_tool.sandbox.calls import Call, Outcome
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.sync import wire


def run_once(instance: Instance, client: str, request_id: int, call: Call) -> bytes:
    """Run a mutation unless it was answered before; return the answer. For the writer's thread only.

    Args:
        instance: the deployment.
        client: session id; empty if there is none.
        request_id: the client's number of the request.
        call: the mutation.
    """
    known = instance.engine.recall(client, request_id)
    if known is not None:
        return known
    redact = instance.options.redacts

    def answer(outcome: Outcome) -> bytes:
        return wire.response("Mutation", request_id, outcome, call.path.module, redact=redact)

    def record(connection: sqlite3.Connection, outcome: Outcome, ts: int) -> None:
        outcome.ts = ts
        row = (client, request_id, ts, answer(outcome))
        connection.execute("INSERT INTO requests VALUES (?, ?, ?, ?)", row)

    return answer(instance.caller.mutation(call, record if client else None))
