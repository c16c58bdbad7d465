"""A function applied to many items in other processes, the results in the order of the items.

A worker is a fresh Python started by `subprocess`, with pickles over its pipes. A fork is not safe once there are
threads, ``multiprocessing`` imports the caller's ``__main__`` in every process it spawns, and loky's processes stay
behind, waiting, when the one that started them is killed. Here the end of the pipe is the end of the worker.
"""

from __future__ import annotations

import gc
import os
import pickle
import secrets
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import IO, Any, Final, TypeVar, cast

from sync_tool.errors import ConvexMsgsError, UsageError

T = TypeVar("T")
R = TypeVar("R")

_WORTH: Final = 64 << 20
"""Bytes of JSON from which processes pay: their start costs as much time of a core as 16 MiB, each."""
_MOST: Final = 4
"""Workers that are started unasked: one process hands out and takes in, which keeps it busy with about as many."""
_AHEAD: Final = 2
"""Items under way for each worker, so that none waits for the next."""
_PIPE_BYTES: Final = 1 << 20
_OBJECTS_BETWEEN_COLLECTIONS: Final = 200_000
"""As in `sync_tool.cli.main`."""
_ALONE: Final = [("without helpers", "--processes 1")]
_KEPT_FROM_WORKERS: Final = {signal.SIGINT, signal.SIGTERM}


def processes_for(size: int, asked: int | None = None) -> int:
    """Return how many processes shall do a work: 1 where no worker is worth its start.

    Args:
        size: how many bytes of JSON there are to work on, about.
        asked: how many the user wants; None to choose by size and by the cores that this process may use.

    Raises:
        UsageError: `asked` is less than 1.
    """
    if asked is not None:
        if asked < 1:
            raise UsageError(f"{asked} processes cannot do anything.", hint=[("give", "--processes 1, or more")])
        return asked
    if size < _WORTH or not sys.executable:
        return 1
    return min(usable_cores(), _MOST)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_processes(function: Callable[[T], R], items: Iterable[T], processes: int) -> Generator[R]:
    """Yield what a function returns for each item, in the order of the items.

    With one process the function is called here. With more there are as many workers, which start at once, and items
    are taken ahead: two for each worker. The items are taken in the caller's thread. Closing the generator ends the
    workers. `hash` of a text is the same in all of them.

    Args:
        function: of a module, not a lambda, or a `functools.partial` of one; what it is bound to is sent once.
        items: what can be pickled.
        processes: how many workers.

    Raises:
        UsageError: a worker was killed, or cannot be started.
        Exception: whatever the function raised, when it is the turn of its item.
    """
    results = _results(function, items, processes)
    next(results)
    return cast("Generator[R]", results)


def _results(function: Callable[[T], R], items: Iterable[T], processes: int) -> Generator[R | None]:
    """Yield None when the workers have been started, and then what `in_processes` yields."""
    if processes <= 1:
        yield None
        yield from map(function, items)
        return
    waiting: deque[Future[R]] = deque()
    with _pool(function, processes) as call:
        yield None
        for item in _to_the_end(items):
            waiting.append(call(item) if not isinstance(item, _Failed) else item.as_result())
            if len(waiting) > processes * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@dataclass(frozen=True, slots=True)
class _Failed:
    """Stands where there would have been the next item."""

    error: ConvexMsgsError

    def as_result(self) -> Future[Any]:
        """Return what raises the error when it is its turn, after the results of the items before."""
        result: Future[Any] = Future()
        result.set_exception(self.error)
        return result


def _to_the_end(items: Iterable[T]) -> Generator[T | _Failed]:
    try:
        yield from items
    except ConvexMsgsError as error:
        yield _Failed(error)


@contextmanager
def _pool(function: Callable[[T], R], processes: int) -> Generator[Callable[[T], Future[R]]]:
    """Run workers; yield a call that gives an item to one of them."""
    idle: SimpleQueue[_Worker] = SimpleQueue()
    seed = str(secrets.randbelow(1 << 32))
    threads = ThreadPoolExecutor(processes, "worker")

    def call(item: T) -> R:
        worker = idle.get()
        try:
            return cast("R", worker.call(item))
        finally:
            idle.put(worker)

    with ExitStack() as at_end:
        at_end.callback(threads.shutdown, cancel_futures=True)
        for _ in range(processes):
            worker = _Worker(function, seed)
            at_end.callback(worker.end)
            idle.put(worker)
        yield lambda item: threads.submit(call, item)


class _Worker:
    """A process that calls one function."""

    def __init__(self, function: Callable[[Any], Any], seed: str) -> None:
        paths = [str(path) for path in sys.path if path]  # the empty one is the folder that the user is in
        code = f"import sys; sys.path[:] = {paths!r}; from sync_tool.parallel.processes import serve; serve()"
        try:
            with _signals_held():
                self._process = subprocess.Popen(  # noqa: S603  # our own program
                    [sys.executable, "-P", "-c", code],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, "PYTHONHASHSEED": seed},
                )
        except OSError as error:
            why = error.strerror or error
            raise UsageError(f"a process that helps with the work cannot be started: {why}.", hint=_ALONE) from None
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)
        for pipe in (self._requests, self._answers):
            _widen(pipe)
        with suppress(OSError):  # it is gone already, which `call` says
            pickle.dump(function, self._requests, pickle.HIGHEST_PROTOCOL)
            self._requests.flush()

    def call(self, item: Any) -> Any:
        """Return what the function returns, or raise what it raised.

        Raises:
            UsageError: the process is gone.
        """
        try:
            pickle.dump(item, self._requests, pickle.HIGHEST_PROTOCOL)
            self._requests.flush()
            error, result = pickle.load(self._answers)  # noqa: S301  # from our own process
        except (EOFError, OSError, pickle.UnpicklingError):
            raise self._gone() from None
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):  # what was not sent yet
                pipe.close()

    def _gone(self) -> UsageError:
        self._process.kill()
        code = self._process.wait()
        how = f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"
        return UsageError(
            f"a process that helped with the work {how}; the system does that where memory is short.",
            hint=_ALONE,
        )


@contextmanager
def _signals_held() -> Generator[None]:
    """Let a process that is started inherit that Ctrl-C and SIGTERM do not reach it: it ends with this one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _KEPT_FROM_WORKERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _widen(pipe: IO[bytes]) -> None:
    """Make room in a pipe, where the system can, so that the other side seldom waits."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # a bound for all pipes of the user
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def serve() -> None:
    """Run a worker: answer the requests on standard input until it ends."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 20, 100)
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints does not get between the answers
    with suppress(EOFError, OSError, pickle.UnpicklingError):  # the parent process is gone
        function = pickle.load(requests)  # noqa: S301  # from the process that started this one
        while True:
            item = pickle.load(requests)  # noqa: S301
            pickle.dump(_outcome(function, item), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
    os._exit(0)  # nothing here needs to be tidied up, and nobody waits for it


def _outcome(function: Callable[[Any], Any], item: Any) -> tuple[Exception | None, Any]:
    try:
        return None, function(item)
    except Exception as error:  # noqa: BLE001  # raised again where the result is asked for
        if not isinstance(error, ConvexMsgsError):
            error.add_note(traceback.format_exc())  # where it was raised does not travel with it
        return error, None
