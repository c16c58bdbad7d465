"""The fault proxy as a process of its own, for tests and harnesses."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from faults.plan import HARMLESS, Plan
from running import clean_environment

TESTS = Path(__file__).parent.parent
_LONGEST = 120.0


@dataclass(frozen=True, slots=True)
class Event:
    """A request that the proxy saw."""

    number: int
    method: str
    path: str
    same: str
    """Equal for requests that ask the same."""
    fault: str | None

    @property
    def hurts(self) -> bool:
        """True if the client cannot have got a usable answer."""
        return self.fault is not None and self.fault not in HARMLESS


def in_vain(events: list[Event]) -> int:
    """Return how often in a row, at most, the last tries of one and the same request met a fault."""
    rows: dict[str, int] = {}
    for event in events:
        rows[event.same] = rows.get(event.same, 0) + 1 if event.hurts else 0
    return max(rows.values(), default=0)


@dataclass
class RunningProxy:
    """A fault proxy that stands in front of a target."""

    url: str
    plan: Plan
    process: subprocess.Popen[str]
    _events: list[Event] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _echoed: int = 0
    _asked: int = 0

    def events(self) -> list[Event]:
        """Return every request so far; none that has been answered is missing."""
        assert self.process.stdin is not None
        with self._changed:
            self._asked += 1
            self.process.stdin.write(".\n")
            self.process.stdin.flush()
            self._changed.wait_for(lambda: self._echoed >= self._asked)
            return list(self._events)

    def wait_for_fault(self, client: subprocess.Popen[bytes]) -> bool:
        """Wait until a fault has been injected; False if the client ended before."""

        def watch() -> None:
            client.wait()
            with self._changed:
                self._changed.notify_all()

        threading.Thread(target=watch, daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: self._met() or client.returncode is not None, _LONGEST)
            return self._met()

    def listen(self) -> None:
        """Take the proxy's lines until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                if line == ".\n":
                    self._echoed += 1
                else:
                    number, method, path, same, fault = line.split()
                    self._events.append(Event(int(number), method, path, same, None if fault == "-" else fault))
                self._changed.notify_all()

    def _met(self) -> bool:
        return any(event.fault for event in self._events)


@contextmanager
def running_proxy(target: str, plan: Plan | None = None) -> Iterator[RunningProxy]:
    """Run a proxy on a free port until the block ends; it also ends when this process dies."""
    plan = plan or Plan()
    command = [sys.executable, "-m", "faults.proxy", "--with-parent", "--target", target, *plan.flags()]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=TESTS,
        env=clean_environment({"PYTHONPATH": str(TESTS)}),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ready = process.stdout.readline().split()
        assert ready[:3] == ["proxy", "ready", "at"], ready
        proxy = RunningProxy(ready[3], plan, process)
        listener = threading.Thread(target=proxy.listen, daemon=True)
        listener.start()
        try:
            yield proxy
        finally:
            process.stdin.close()
            listener.join()
            process.wait()
