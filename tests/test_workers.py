"""Work in other processes: as if it were done here, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from sync_tool.errors import Damaged, UsageError
from sync_tool.parallel.processes import in_processes, processes_for

SCRIPT = """
import os, sys
from sync_tool.parallel.processes import in_processes
held = os.open(sys.argv[1], os.O_RDWR)
try:
    for done in in_processes(eval, ["1"] * 4 + [f"open({sys.argv[1]!r}).read()"] * 9, 2):
        print(done, flush=True)
except KeyboardInterrupt:
    sys.exit(130)
"""
"""Its work lasts until it is gone: it reads a named pipe that only the script holds open.

It has no ``if __name__ == "__main__"``, as scripts of users have none.
"""


def _tripled(by: int, number: int) -> int:
    return number * by


def _refused_at(bad: int, number: int) -> int:
    if number == bad:
        raise Damaged(f"line {number}", hint=[("do", "this")])
    return number


def _killed_at(bad: int, number: int) -> int:
    if number == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _failed(number: int) -> float:
    return 1 / number


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(processes: int) -> None:
    """Any number of processes gives what the function gives here, item by item."""
    assert list(in_processes(partial(_tripled, 3), range(50), processes)) == list(range(0, 150, 3))


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_is_raised_at_its_turn(processes: int) -> None:
    """Results before an error are yielded before it is raised, hint and class as they were."""
    found = []
    with pytest.raises(Damaged, match="line 7") as error:  # noqa: PT012
        for number in in_processes(partial(_refused_at, 7), range(50), processes):
            found.append(number)  # noqa: PERF402  # what came before the error counts
    assert found == list(range(7))
    assert error.value.hint == "do  this"


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_the_items_waits_for_its_turn(processes: int) -> None:
    """If the items themselves raise, the results of earlier ones are yielded, or raised, first."""

    def items(count: int) -> Iterator[int]:
        yield from range(count)
        raise UsageError("cut off")

    found = []
    with pytest.raises(UsageError, match="cut off"):  # noqa: PT012
        for number in in_processes(partial(_tripled, 1), items(3), processes):
            found.append(number)  # noqa: PERF402  # what came before the error counts
    assert found == [0, 1, 2]
    with pytest.raises(Damaged):
        list(in_processes(partial(_refused_at, 2), items(3), processes))


def test_a_fault_says_where_it_was() -> None:
    """An error that is none of the tool's own carries the traceback of the other process."""
    with pytest.raises(ZeroDivisionError) as error:
        list(in_processes(_failed, [0], 2))
    assert "_failed" in error.value.__notes__[0]


def test_a_killed_worker_is_an_error() -> None:
    """A worker that the system kills is neither waited for nor passed over."""
    with pytest.raises(UsageError, match="signal 9"):
        list(in_processes(partial(_killed_at, 5), range(50), 2))


def test_few_items_are_taken_ahead() -> None:
    """However many items there are, only a few for each process are under way."""
    items = iter(range(1000))
    with closing(in_processes(partial(_tripled, 3), items, 2)) as results:
        assert next(results) == 0
    assert next(items) <= 6


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_that_started_them(tmp_path: Path, number: signal.Signals) -> None:
    """After kill -9 and after Ctrl-C no process is left that holds standard error, and none wrote there."""
    os.mkfifo(tmp_path / "pipe")
    path = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "pipe")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == "1\n"
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.kill()
        _, errors = process.communicate(timeout=60)  # returns when the last of them has closed it
    assert errors == ""
    assert process.returncode == (130 if number == signal.SIGINT else -9)


def test_small_work_stays_here() -> None:
    """Without being asked no process is started for little work; who asks gets what was asked for."""
    assert processes_for(1000) == 1
    assert processes_for(1000, 3) == 3
    with pytest.raises(UsageError):
        processes_for(1000, 0)
