"""The contract of `sync_tool.rows.ports.Source`, sentence by sentence, on every source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

import sync_tool as cm
from conformance.conftest import Subject
from running import running_sandbox
from sync_tool.deployment.deployment import Deployment
from sync_tool.encoding.order import sort_key
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Row, Selection
from sync_tool.rows.stored import StoredRows

EVERYTHING = Selection()


def rows_of(pages: Iterator[Page]) -> list[Row]:
    """Return the rows of pages."""
    return [row for page in pages for row in page.rows]


def raws(pages: Iterator[Page]) -> list[bytes]:
    """Return the bytes of the rows of pages."""
    return [row.raw for row in rows_of(pages)]


def collect(pages: Iterator[Page], found: list[bytes]) -> None:
    """Add the bytes of rows to a list as they come."""
    for page in pages:
        found += [row.raw for row in page.rows]


def text_sessions(subject: Subject) -> list[str]:
    """Return the ids that are text, in order."""
    return list(dict.fromkeys(row.session for row in subject.rows if isinstance(row.session, str)))


def test_rows_come_in_order_and_numbered_each_time(subject: Subject) -> None:
    """Two readings give the same rows by session, time and id, numbered within the session from 1."""
    first, second = rows_of(subject.source.pages(EVERYTHING)), rows_of(subject.source.pages(EVERYTHING))
    assert [row.raw for row in first] == [row.raw for row in second] == [row.raw for row in subject.rows]
    keys = [sort_key(row.session) for row in first]
    assert keys == sorted(keys)
    for _, group in groupby(first, key=lambda row: sort_key(row.session)):
        rows = list(group)
        assert [row.n for row in rows] == list(range(1, len(rows) + 1))
        places = [(row.time, row.id) for row in rows if not math.isnan(row.time)]
        assert places == sorted(places) or not subject.exact


def test_a_reading_may_be_left_early(subject: Subject) -> None:
    """A closed iterator disturbs neither the next reading nor one that is under way."""
    pages, other = subject.source.pages(EVERYTHING), subject.source.pages(EVERYTHING)
    next(pages)
    first = next(other, None)
    pages.close()  # type: ignore[attr-defined]
    rest = rows_of(other)
    assert [row.raw for row in (*(first.rows if first else ()), *rest)] == [row.raw for row in subject.rows]
    assert raws(subject.source.pages(EVERYTHING)) == [row.raw for row in subject.rows]


def test_a_selection_selects(subject: Subject) -> None:
    """By id, by pattern, by exclusion: exactly those rows, numbered as in the whole session."""
    one, *_, other = text_sessions(subject)
    for selection, chosen in (
        (Selection(sessions=(other, one)), {one, other}),
        (Selection(match=(f"{other[:2]}*",)), {name for name in text_sessions(subject) if name.startswith(other[:2])}),
    ):
        found = rows_of(subject.source.pages(selection))
        assert [row.raw for row in found] == [row.raw for row in subject.rows if row.session in chosen]
    without = rows_of(subject.source.pages(Selection(exclude=(one,))))
    assert [row.raw for row in without] == [row.raw for row in subject.rows if row.session != one]


def test_reading_continues_after_a_position(subject: Subject) -> None:
    """With the position of any row, exactly the rows after it come; rows without creation times have no position."""
    if not subject.exact:
        assert any(math.isnan(row.time) or not row.id for row in subject.rows)
        return
    for place in (0, len(subject.rows) // 2, len(subject.rows) - 1):
        found = raws(subject.source.pages(EVERYTHING, subject.rows[place].position))
        assert found == [row.raw for row in subject.rows[place + 1 :]]


def test_a_session_that_is_not_there_is_refused_before_the_first_row(subject: Subject) -> None:
    """The error names the nearest ids; with `missing_ok` only the others come."""
    one = text_sessions(subject)[0]
    selection = Selection(sessions=(one, f"{one} and nothing else"))
    with pytest.raises(cm.UsageError, match="Nearest ids"):
        next(subject.source.pages(selection))
    found = raws(subject.source.pages(selection, missing_ok=True))
    assert found == [row.raw for row in subject.rows if row.session == one]
    assert raws(subject.source.pages(Selection(sessions=("no such id",)), missing_ok=True)) == []


def test_active_sessions_are_resolved(subject: Subject) -> None:
    """A selection by activity becomes one by ids that gives the same rows; None where no session was active."""
    times = sorted(row.time for row in subject.rows if not math.isnan(row.time))
    assert subject.source.resolve(EVERYTHING) == EVERYTHING
    assert subject.source.resolve(Selection(active_after=2.0**52)) is None
    assert raws(subject.source.pages(Selection(active_after=2.0**52))) == []
    if not times:
        return
    since = times[-len(times) // 20]
    active = {row.session for row in subject.rows if row.time >= since and isinstance(row.session, str)}
    resolved = subject.source.resolve(Selection(active_after=since))
    assert resolved is not None
    assert (set(resolved.sessions), resolved.active_after) == (active, None)
    expected = [row.raw for row in subject.rows if row.session in active]
    assert raws(subject.source.pages(Selection(active_after=since))) == raws(subject.source.pages(resolved)) == expected


def test_the_next_time_is_found(subject: Subject) -> None:
    """The first creation time at or after a moment, to the bit; None after the last."""
    times = sorted({row.time for row in subject.rows if not math.isnan(row.time)})
    assert subject.source.next_time(2.0**52) is None
    for time in times[:: max(1, len(times) // 3)]:
        assert subject.source.next_time(time) == time
    assert subject.source.next_time(0.0) == (times[0] if times else None)


def test_sessions_are_listed(subject: Subject) -> None:
    """In order, each once; counted where that is wanted, and not otherwise."""
    counted = list(subject.source.list_sessions(EVERYTHING, count=True))
    by_key = [(key, list(group)) for key, group in groupby(subject.rows, key=lambda row: sort_key(row.session))]
    assert [(sort_key(info.session), info.count) for info in counted] == [(key, len(rows)) for key, rows in by_key]
    listed = list(subject.source.list_sessions(EVERYTHING))
    assert [sort_key(info.session) for info in listed] == [key for key, _ in by_key]
    one = text_sessions(subject)[-1]
    assert [info.session for info in subject.source.list_sessions(Selection(sessions=(one,)))] == [one]


def test_recent_sessions_come_newest_first(subject: Subject) -> None:
    """At most as many as wanted, each with its last time, the newest first."""
    found = subject.source.recent_sessions(3)
    assert len(found) == min(3, len({sort_key(row.session) for row in subject.rows}))
    last = {sort_key(row.session): row.time for row in subject.rows}
    if not any(map(math.isnan, last.values())):
        assert [info.last for info in found] == sorted(last.values(), reverse=True)[:3]


def test_size_can_be_judged(subject: Subject) -> None:
    """A sample holds rows of the source; the count is right or unknown."""
    sampled = subject.source.sample()
    assert {row.raw for row in sampled.rows} <= {row.raw for row in subject.rows}
    assert (sampled.bytes > 0) == (sampled.count > 0)
    assert subject.source.count() in (None, len(subject.rows))


def test_a_source_presents_itself(subject: Subject) -> None:
    """Title and method are one line each; a live source is a deployment, and any other holds still."""
    for text in (subject.source.title, subject.source.method):
        assert text.strip()
        assert len(text.splitlines()) == 1
    assert subject.source.live == (subject.source.capability(Deployment) is not None)
    assert subject.source.live == (subject.source.capability(StoredRows) is None)
    assert subject.source.partial is False


def test_a_source_may_be_closed_twice(subject: Subject) -> None:
    """The second time does nothing."""
    subject.source.close()
    subject.source.close()


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.jsonl.gz", "empty.parquet", "empty.zip", "empty/"])
def test_an_empty_source_is_a_source(tmp_path: Path, name: str) -> None:
    """Without rows there are no pages with rows, no sessions, no times, and an empty sample."""
    (tmp_path / "nothing.jsonl").write_bytes(b"")
    cm.export(tmp_path / "nothing.jsonl", f"{tmp_path}/{name}")
    source = cm.open(tmp_path / name)
    assert raws(source.pages(EVERYTHING)) == []
    assert (source.next_time(0.0), list(source.list_sessions(EVERYTHING)), source.recent_sessions(3)) == (None, [], [])
    assert (source.sample().rows, source.count() or 0) == ([], 0)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.zip"])
def test_damage_is_an_error_not_an_end(tmp_path: Path, sample: list[Row], name: str) -> None:
    """Of a file that was cut, the rows before the error are right, and the reading never ends as if complete."""
    whole = tmp_path / name
    cm.export(Path(__file__).parents[2] / "sample_data/messages.jsonl", whole)
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2 - 7])
    found: list[bytes] = []
    with pytest.raises(cm.Damaged):
        collect(cm.open(whole).pages(EVERYTHING), found)
    assert found == [row.raw for row in sample][: len(found)]
    whole.write_bytes(content)
    assert raws(cm.open(whole).pages(EVERYTHING)) == [row.raw for row in sample]


def test_a_deployment_that_goes_away_is_an_error_not_an_end(tmp_path: Path, sample: list[Row]) -> None:
    """Rows before the error are right; the iterator is then at its end."""
    with running_sandbox(tmp_path, "--sample-data") as sandbox:
        patience = cm.Patience(attempts=1, concurrency=1)
        with cm.connect(sandbox.url, key=sandbox.key, via="functions", patience=patience) as source:
            pages = source.pages(EVERYTHING)
            found = [row.raw for row in next(pages).rows]
            sandbox.kill()
            with pytest.raises(cm.Unreachable):
                collect(pages, found)
            assert found == [row.raw for row in sample][: len(found)]
            assert len(found) < len(sample)
            assert next(pages, None) is None
