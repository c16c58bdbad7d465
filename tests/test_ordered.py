"""Several readers at once: their pages in order, within bounds, and no reader left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_tool.parallel.ordered import map_in_order
from sync_tool.rows.batch import Batch, Page
from sync_tool.rows.model import Names


def page(name: str, size: int) -> Page:
    """Return a page of one row."""
    return Page(Batch(Names(), [name], [0.0], [""], lines=b"{}\n"), size)


def piece(name: int, sizes: list[int]) -> Iterator[Page]:
    """Yield pages of given sizes, each with one row that says where it belongs."""
    for number, size in enumerate(sizes):
        yield page(f"{name}.{number}", size)


@given(
    st.lists(st.lists(st.integers(0, 100), max_size=5), max_size=12),
    st.integers(1, 5),
    st.integers(1, 120),
)
def test_pages_come_in_order(pieces: list[list[int]], workers: int, window: int) -> None:
    """Whatever the pieces, the workers and the memory, every page comes once and in order."""
    starts = [partial(piece, name, sizes) for name, sizes in enumerate(pieces)]
    found = [page.rows[0].id for page in map_in_order(starts, workers, waiting=window)]
    assert found == [f"{name}.{number}" for name, sizes in enumerate(pieces) for number in range(len(sizes))]


def test_memory_is_bounded() -> None:
    """Readers fill the window, each with one page more in hand, and make no page beyond that."""
    made = 0
    changed = threading.Condition()

    def endless() -> Iterator[Page]:
        nonlocal made
        while True:
            with changed:
                made += 10
                changed.notify_all()
            yield page("", 10)

    pages = map_in_order([endless] * 4, 4, waiting=100)
    for taken in range(10, 500, 10):
        next(pages)
        with changed:
            assert changed.wait_for(lambda full=taken + 100 + 4 * 10: made >= full, timeout=30)
            assert made <= taken + 100 + 4 * 10 + 10  # the reader that is waited for may go over by one page
    pages.close()  # type: ignore[attr-defined]


def test_an_error_in_a_reader_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of a reader is raised after the pages that came before it."""

    def broken() -> Iterator[Page]:
        yield page("1.0", 1)
        raise OSError("broken")

    pages = map_in_order([partial(piece, 0, [1]), broken], 1)
    assert [next(pages).rows[0].id for _ in range(2)] == ["0.0", "1.0"]
    with pytest.raises(OSError, match="broken"):
        next(pages)


def test_closing_stops_the_readers() -> None:
    """When the pages are no longer wanted, no thread goes on reading."""
    before = threading.active_count()
    pages = map_in_order([partial(piece, name, [1 << 30] * 100) for name in range(8)], 4)
    next(pages)
    readers = [thread for thread in threading.enumerate() if thread.daemon and "work" in thread.name]
    pages.close()  # type: ignore[attr-defined]
    for thread in readers:
        thread.join(timeout=30)
    assert threading.active_count() <= before
