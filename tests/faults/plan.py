"""Faults by name, and plans that assign faults to requests.

A plan is data. It is made from a seed or from a list, prints as the flags that repeat it, and gives the
same fault for the same request whatever else happens.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

How = Literal["reset", "answer", "truncate", "stall", "stall-half", "drip", "cut-socket"]

_PAGE: Final = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
_PORTAL: Final = b"<!doctype html><title>Welcome to the hotel's network</title>"
_NOISE: Final = bytes(random.Random(0).randrange(128, 256) for _ in range(400))

CODES_OF_503: Final = (
    "OptimisticConcurrencyControlFailure",
    "InternalServerError",
    "CommitterFullError",
    "SubscriptionsWorkerFullError",
    "TableSummariesUnavailable",
    "ExpiredInQueue",
    "WorkerOverloaded",
    "IsolateNotClean",
    "InitialPermitTimeoutError",
    "ExecuteFullError",
    "UpstreamConnectError",
)
"""Codes that a function's caller can meet with 503 (get-convex/convex-backend, ``crates/errors/src/lib.rs``)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a request goes wrong."""

    name: str
    how: How
    reaches: bool = False
    """True if the target gets the request and answers it (so a write is committed) before anything goes wrong."""
    status: int = 200
    body: bytes = b""
    headers: tuple[str, ...] = ()
    pieces: int = 0
    """For ``cut-socket``: how many pieces from the target come through before the connection dies."""


def _said(status: int, code: str, *headers: str, reaches: bool = False, name: str = "") -> Fault:
    body = json.dumps({"code": code, "message": "injected"}).encode() if code else b""
    name = name or f"{status}{'-after' if reaches else ''}"
    return Fault(name, "answer", reaches, status, body, ("Content-Type: application/json", *headers))


_ALL: Final = (
    Fault("reset-before", "reset"),
    Fault("reset-after", "reset", reaches=True),
    _said(408, ""),
    _said(408, "", reaches=True),
    _said(429, "TooManyConcurrentRequests"),
    _said(429, "TooManyConcurrentRequests", "Retry-After: 0", name="429-retry-after"),
    _said(500, "InternalServerError"),
    _said(500, "InternalServerError", reaches=True),
    Fault("502", "answer", status=502, body=_PAGE, headers=("Content-Type: text/html",)),
    Fault("502-after", "answer", reaches=True, status=502, body=_PAGE, headers=("Content-Type: text/html",)),
    *(_said(503, code, name=f"503-{code}") for code in CODES_OF_503),
    Fault("504-after", "answer", reaches=True, status=504, body=_PAGE, headers=("Content-Type: text/html",)),
    Fault("truncated", "truncate", reaches=True),
    Fault("garbage", "answer", body=_PORTAL, headers=("Content-Type: text/html",)),
    Fault("garbage-after", "answer", reaches=True, body=_NOISE),
    Fault("empty", "answer"),
    Fault("empty-after", "answer", reaches=True),
    Fault("stall", "stall"),
    Fault("stall-after", "stall", reaches=True),
    Fault("stall-half", "stall-half", reaches=True),
    Fault("drip", "drip", reaches=True),
    Fault("cut", "cut-socket", reaches=True, pieces=1),
    Fault("cut-late", "cut-socket", reaches=True, pieces=8),
)

FAULTS: Final[Mapping[str, Fault]] = {fault.name: fault for fault in _ALL}
"""Every fault by its name. Names that end in ``-after`` let the target answer first."""

SOCKET_FAULTS: Final = tuple(fault.name for fault in _ALL if fault.how == "cut-socket")
"""For connections that have been upgraded to WebSocket; an ordinary request passes them unharmed."""

HTTP_FAULTS: Final = tuple(fault.name for fault in _ALL if fault.how != "cut-socket")
"""For any request."""

HARMLESS: Final = frozenset({"drip", *SOCKET_FAULTS})
"""Faults that only delay an HTTP request."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which request, counted from 1 in the order of arrival, meets which fault."""

    listed: tuple[tuple[int, str], ...] = ()
    """Request and fault."""
    stays: tuple[int, str] | None = None
    """The first of the requests that all meet this fault."""
    seed: int = 0
    rate: float = 0.0
    kinds: tuple[str, ...] = HTTP_FAULTS

    @classmethod
    def random(cls, seed: int, rate: float, kinds: tuple[str, ...] = HTTP_FAULTS) -> Plan:
        """Make a plan in which a request meets one of `kinds` with probability `rate`."""
        return cls(seed=seed, rate=rate, kinds=_known(kinds))

    @classmethod
    def of(cls, text: str) -> Plan:
        """Read a list such as ``3:502 4:stall 6+:empty``; ``6+`` means from the sixth request on."""
        listed: list[tuple[int, str]] = []
        stays = None
        for entry in text.split():
            found = re.fullmatch(r"([1-9]\d*)(\+?):(\S+)", entry)
            if found is None:
                raise ValueError(f"{entry!r} is not REQUEST:FAULT.")
            _known((found[3],))
            if found[2]:
                stays = (int(found[1]), found[3])
            else:
                listed.append((int(found[1]), found[3]))
        return cls(tuple(listed), stays)

    def fault(self, number: int) -> Fault | None:
        """Return what request `number` meets."""
        name = dict(self.listed).get(number)
        if name is None and self.stays is not None and number >= self.stays[0]:
            name = self.stays[1]
        if name is None and self.rate:
            chance = random.Random(f"{self.seed}:{number}")  # of the number alone, whatever came before
            name = chance.choice(self.kinds) if chance.random() < self.rate else None
        return None if name is None else FAULTS[name]

    def flags(self) -> list[str]:
        """Return the flags of ``python -m faults.proxy`` that repeat this plan."""
        if self.rate:
            kinds = [] if self.kinds == HTTP_FAULTS else ["--kinds", ",".join(self.kinds)]
            return ["--seed", str(self.seed), "--rate", str(self.rate), *kinds]
        entries = [f"{number}:{name}" for number, name in self.listed]
        if self.stays is not None:
            entries.append(f"{self.stays[0]}+:{self.stays[1]}")
        return ["--plan", " ".join(entries)] if entries else []

    def __str__(self) -> str:
        return " ".join(f"'{flag}'" if " " in flag else flag for flag in self.flags()) or "no faults"


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in FAULTS]
    if unknown or not names:
        raise ValueError(f"no fault {', '.join(unknown)!r}; there are {', '.join(FAULTS)}.")
    return names
