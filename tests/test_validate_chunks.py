"""``validate`` divides files into chunks, perhaps for several processes, and reports the same as line by line."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import sync_tool as cm
from strategies_messages import NEARLY_ROWS, broken_bytes
from sync_tool.commands.validate.report import ValidationReport
from sync_tool.encoding.canonical import dumps
from sync_tool.files import lines, source
from sync_tool.messages.check import Checker

LONGEST = 2000
read_blocks = lines.read_blocks


@contextmanager
def small(read: int, chunk: int, sent: int, longest: int = LONGEST) -> Iterator[None]:
    """Read and divide files in small steps."""

    def blocks(stream: BinaryIO, length: int | None = None, **_: int) -> Iterator[lines.LineBytes]:
        return read_blocks(stream, length, block=read, longest=longest)

    with (
        patch.object(lines, "read_blocks", blocks),
        patch.multiple(
            source,
            read_blocks=blocks,
            ranges_in=partial(lines.ranges_in, size=chunk),
            chunks_of=partial(lines.chunks_of, size=sent),
        ),
        patch("sync_tool.commands.validate.validate.most_chunks", lambda _: 100),
    ):
        yield


def row(kind: str = "human", session: str = "s", **data: object) -> bytes:
    """Return a line with a message."""
    return dumps({"_id": "j1", "sessionId": session, "message": {"type": kind, "data": {"content": "", **data}}})


GOOD = row()
CALLS = [
    *(row("ai", session, tool_calls=[{"id": call, "name": "f", "args": {}}]) for session in "st" for call in "ab"),
    *(row("tool", session, tool_call_id=call) for session in "stu" for call in "abc"),
]
LINES = st.one_of(
    st.just(GOOD),
    st.sampled_from([*CALLS, GOOD + b"\r", b"", b" \t", b"\xef\xbb\xbf" + GOOD, b'{"sessionId":"s"}', b"x" * 3000]),
    NEARLY_ROWS.map(dumps),
    broken_bytes().map(lambda raw: raw.replace(b"\n", b" ")),
)
FILES = st.builds(
    lambda found, end: b"\n".join(found) + end,
    st.lists(LINES | st.just(GOOD), max_size=30),
    st.sampled_from([b"", b"\n"]),
)


def one_by_one(content: bytes) -> tuple[object, ...]:
    """Return what is to be reported of a file, found by looking at a line after the other."""
    checker = Checker()
    bad, warnings = [], Counter[str]()
    records = list(lines.read_records(BytesIO(content), longest=LONGEST))
    for record in records:
        verdict = checker.check(record.raw) if record.raw else None
        faults = () if record.fault is None else (record.fault,)
        faults += () if verdict is None else verdict.faults
        warnings.update({fault.rule for fault in verdict.warnings} if verdict else ())
        if faults:
            bad.append((record.line, [(fault.rule, fault.path, fault.detail) for fault in faults]))
    return len(records), bad, dict(warnings)


def reported(report: ValidationReport) -> tuple[object, ...]:
    """Return the same of a report."""
    found = [
        (bad.place.line, [(fault.rule, fault.path, fault.detail) for fault in bad.faults]) for bad in report.records
    ]
    bad = [(line, faults) for line, faults in found if faults[0][0] != "duplicate-id"]  # no record alone shows it
    return report.rows, bad, {count.rule: count.records for count in report.warnings}


@examples(max_examples=150)
@given(FILES, st.sampled_from([1, 70, 1000]), st.sampled_from([1, 300, 4000]))
def test_a_file_in_chunks_is_reported_as_line_by_line(content: bytes, read: int, chunk: int) -> None:
    """Whatever is in it, wherever a chunk ends, compressed or not; a line that is too long keeps its number."""
    with TemporaryDirectory() as folder, small(read, chunk, chunk):
        plain, packed = Path(folder, "a.jsonl"), Path(folder, "a.jsonl.gz")
        plain.write_bytes(content)
        packed.write_bytes(gzip.compress(content))
        expected = one_by_one(content)
        for path in (plain, packed):
            assert reported(cm.validate(path, processes=1)) == expected


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_several_processes_say_what_one_says(tmp_path: Path, suffix: str) -> None:
    """Order, numbers, examples, sessions, results that answer calls of another chunk: the whole report is the same."""
    found = [line for number in range(60) for line in (GOOD, CALLS[number % 13], row(session=f"s{number}"), b"", b"{}")]
    content = b"\n".join(found)
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    with small(1 << 18, 200, 2000, 1 << 24):
        one, three = (cm.validate(path, processes=processes, max_errors=20) for processes in (1, 3))
    assert replace(three, seconds=one.seconds) == one
    assert (one.rows, one.bad_rows, len(one.records)) == (240, 180, 20)


def test_several_processes_check_what_comes_before_damage(tmp_path: Path) -> None:
    """A compressed file that was cut: as many records as one process finds, and it is called damaged."""
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(row(session=f"s{number}") + b"\n" for number in range(2000)))[:-2000])
    with small(1 << 18, 200, 2000, 1 << 24):
        one, two = (cm.validate(path, processes=processes) for processes in (1, 2))
    assert replace(two, seconds=one.seconds) == one
    assert one.exit_code == 7
    assert 100 < one.rows < 2000


def test_no_process_is_no_number_of_processes(tmp_path: Path) -> None:
    """Asked for 0, the library refuses as the command line does."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD)
    with pytest.raises(cm.UsageError, match="0 processes"):
        cm.validate(path, processes=0)
