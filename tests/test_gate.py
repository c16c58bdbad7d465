"""How much of a deployment's strength a run takes."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from sync_tool.deployment import rates as gate
from sync_tool.deployment.rates import Gate, Throttle


def test_no_more_calls_at_a_time_than_the_limit() -> None:
    """However many threads ask, the limit is reached and never passed, and all of them get in at last."""
    door = Gate(3)
    inside = most = passed = 0
    lock = threading.Lock()
    meeting = threading.Barrier(3)

    def call() -> None:
        nonlocal inside, most, passed
        with door.passing():
            with lock:
                inside += 1
                most = max(most, inside)
            meeting.wait(timeout=30)  # three are really inside at once
            with lock:
                inside -= 1
                passed += 1

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, passed) == (3, 12)


def test_too_many_halves_and_good_answers_bring_it_back() -> None:
    """4, 2, 1, 1 on each 429; then one more for every fifty good answers, up to where it was."""
    door = Gate(4)
    limits = []
    for _ in range(3):
        door.too_many()
        limits.append(door.limit)
    for _ in range(250):
        door.went_well()
        limits.append(door.limit)
    assert limits[:3] == [2, 1, 1]
    assert limits[-1] == 4
    assert all(after - before in (0, 1) for before, after in pairwise(limits[2:]))


def test_the_throttle_keeps_an_average(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times 1 MB at 2 MB/s take five seconds of a clock that only sleeping moves."""
    now = 100.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(gate.time, "monotonic", lambda: now)
    monkeypatch.setattr(gate.time, "sleep", sleep)
    throttle = Throttle(2_000_000)
    for _ in range(10):
        throttle.wait(1_000_000)
    assert now == pytest.approx(105.0)
    throttle.wait(1)
    assert now > 105.0
    now = 105.0
    Throttle(None).wait(10**12)
    assert now == pytest.approx(105.0)
