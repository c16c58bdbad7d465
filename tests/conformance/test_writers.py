"""The contract of `sync_tool.rows.ports.Writer`, and what `export` makes of it, for every format."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import sync_tool as cm
from conformance.conftest import SAMPLE
from running import ROOT
from sync_tool.files.folder import MANIFEST
from sync_tool.files.formats import FORMATS, make_writer
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names, Row, Selection
from sync_tool.rows.ports import Writer
from sync_tool.rows.reading import RowReader, empty_page

READABLE = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet", "zip")
"""Formats from which the rows come back byte for byte."""
SUFFIXES = {"openai": "jsonl", "sharegpt": "jsonl"}
FILES = (*FORMATS, "jsonl.gz", "jsonl.zst")
FEW = Selection(match=("cust-4*",))
KILLED = """
import os, signal, sys
import sync_tool as cm

class Killing(cm.History):
    def pages(self, *arguments, **keywords):
        for number, page in enumerate(super().pages(*arguments, **keywords)):
            yield page
            os.kill(os.getpid(), signal.SIGKILL)

cm.export(Killing(cm.open(sys.argv[1])), sys.argv[2], format=sys.argv[3], partition_by=sys.argv[4] or None)
"""


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Rows of a few sessions, numbered."""
    with cm.open(SAMPLE) as source:
        return [row for page in source.pages(FEW) for row in page.rows]


def pages_of(rows: list[Row]) -> Iterator[Page]:
    """Cut rows into pages as a source does, with an empty one between two."""
    for start in range(0, len(rows), 50):
        page = RowReader(Names()).stored_page([row.raw for row in rows[start : start + 50]])
        page.batch.numbers = [row.n for row in rows[start : start + 50]]
        yield page
        yield empty_page()


def written(kind: str, rows: list[Row], stream: io.BytesIO) -> Writer:
    """Write rows to the end of the format, and close the writer."""
    with closing(make_writer(kind, stream, Names(), "a source")) as writer:
        for page in pages_of(rows):
            writer.write(page)
        writer.finish()
    return writer


def output(folder: Path, kind: str) -> Path:
    """Return a path whose suffix fits the format."""
    return folder / f"out.{SUFFIXES.get(kind, kind)}"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_writer_takes_pages_and_may_be_closed_twice(kind: str, rows: list[Row]) -> None:
    """Pages of any length, empty ones included; the same rows give the same bytes; a second close does nothing."""
    first, second = io.BytesIO(), io.BytesIO()
    writer = written(kind, rows, first)
    written(kind, rows, second)
    content = first.getvalue()
    assert content == second.getvalue() != b""
    writer.close()
    assert first.getvalue() == content


@pytest.mark.parametrize("kind", FORMATS)
def test_a_writer_without_rows_makes_a_whole_file(kind: str) -> None:
    """No page at all is no error."""
    written(kind, [], io.BytesIO())


@pytest.mark.parametrize("kind", FORMATS)
def test_a_writer_may_be_closed_unfinished(kind: str, rows: list[Row]) -> None:
    """After an error `close` alone ends a writer, without an error of its own."""
    writer = make_writer(kind, io.BytesIO(), Names(), "a source")
    writer.write(next(pages_of(rows)))
    writer.close()
    writer.close()


class _Closed(io.BytesIO):
    """A pipe that nobody reads any more."""

    def write(self, _: Any) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


@pytest.mark.parametrize("kind", FORMATS)
def test_an_error_of_the_stream_passes_through(kind: str, rows: list[Row]) -> None:
    """The caller sees the stream's own error, by which it knows that the reader has gone."""
    with pytest.raises(BrokenPipeError):
        written(kind, rows, _Closed())  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", READABLE)
def test_rows_come_back(tmp_path: Path, kind: str) -> None:
    """Whatever is read back is, row by row, what was written."""
    path = output(tmp_path, kind)
    report = cm.export(SAMPLE, path)
    expected = [row.raw for row in cm.open(SAMPLE).messages()]
    assert report.rows == len(expected)
    assert [row.raw for row in cm.open(path).messages()] == expected


class _Breaking(cm.History):
    """A source that fails after its first page."""

    def pages(self, *arguments: Any, **keywords: Any) -> Iterator[Page]:
        """Yield a page, then fail."""
        yield next(super().pages(*arguments, **keywords))
        raise cm.Unreachable("gone.")


@pytest.mark.parametrize("kind", FILES)
def test_an_export_that_fails_leaves_no_file(tmp_path: Path, kind: str) -> None:
    """Nothing under the final name, and nothing beside it."""
    with pytest.raises(cm.Unreachable):
        cm.export(_Breaking(cm.open(SAMPLE)), output(tmp_path, kind), format=kind)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", FILES)
def test_a_killed_export_leaves_nothing_under_the_final_name(tmp_path: Path, kind: str) -> None:
    """A process that is killed between two pages leaves no file that looks complete; the same export then works."""
    path = output(tmp_path, kind)
    assert _killed(path, kind) == -signal.SIGKILL
    assert not path.exists()
    cm.export(SAMPLE, path, format=kind)
    assert path.exists()


@pytest.mark.parametrize("by", ["none", "session", "month"])
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_killed_folder_is_not_complete_and_is_continued(tmp_path: Path, kind: str, by: Any) -> None:
    """Without its manifest a folder is refused as a source; the same call completes it."""
    folder = tmp_path / "out"
    assert _killed(f"{folder}/", kind, by) == -signal.SIGKILL
    assert not (folder / MANIFEST).exists()
    with pytest.raises(cm.UsageError):
        cm.open(folder)
    cm.export(SAMPLE, f"{folder}/", format=kind, partition_by=by)
    expected = [row.raw for row in cm.open(SAMPLE).messages()]
    assert [row.raw for row in cm.open(folder).messages()] == expected


@pytest.mark.parametrize("kind", FILES)
def test_a_closed_pipe_ends_the_command(kind: str) -> None:
    """Standard output that nobody reads: exit code 141, and nothing on stderr but progress."""
    command = [sys.executable, "-m", "sync_tool", "export", str(SAMPLE), "-f", kind, "-o", "-", "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 141)


def _killed(path: Path | str, kind: str, by: str = "") -> int:
    command = [sys.executable, "-c", KILLED, str(SAMPLE), str(path), kind, by]
    return subprocess.run(command, cwd=ROOT, check=False).returncode
