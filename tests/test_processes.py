"""Work shared among processes gives what one process gives, to the byte, and the same errors."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sync_tool as cm
from running import ROOT, convex_msgs
from sync_tool.encoding.canonical import dumps
from sync_tool.errors import Damaged, UsageError
from sync_tool.files.chunks import encode_chunks
from sync_tool.files.jsonl import read_jsonl
from sync_tool.files.lines import ranges_in
from sync_tool.files.parquet import ParquetWriter, encode_columns, row_groups_in
from sync_tool.rows.model import Names
from sync_tool.rows.reading import numbered
from test_batch import messages
from values import DOCUMENTS

NAMES = Names()
SAMPLE = (ROOT / "sample_data" / "messages.jsonl").read_bytes().splitlines(keepends=True)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(messages() | DOCUMENTS, min_size=1, max_size=12))
def test_chunks_give_the_same_columns(tmp_path: Path, documents: list[dict[str, object]]) -> None:
    """Rows encoded chunk by chunk have the values and numbers of rows encoded in one go."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(dumps(document) + b"\n" for document in sorted(documents, key=_place)))
    one, chunks = io.BytesIO(), io.BytesIO()
    writer = ParquetWriter(one, NAMES, "test")
    for page in numbered(read_jsonl(path, NAMES)):
        writer.write(page)
    writer.finish()
    writer = ParquetWriter(chunks, NAMES, "test")
    for found in encode_chunks(ranges_in(path, size=200), encode_columns, NAMES, 1):
        writer.write_encoded(found.chunk.encoded, found.numbers)
    writer.finish()
    assert pq.read_table(chunks).equals(pq.read_table(one))


def test_rows_without_id_and_time_have_none(tmp_path: Path) -> None:
    """Rows of a file that lack what a deployment gives each lack it in Parquet too."""
    source = tmp_path / "bare.jsonl"
    source.write_bytes(b'{"message":{"data":{"content":"Hi"},"type":"human"},"sessionId":"good"}\n')
    for write in (cm.export, cm.convert):
        write(cm.open(source), tmp_path / "bare.parquet", overwrite=True)
        row = pq.read_table(tmp_path / "bare.parquet").to_pylist()[0]
        assert (row["_id"], row["_creationTime"], row["content"], row["n"]) == (None, None, "Hi", 1)


def _place(document: dict[str, object]) -> tuple[bytes, bytes]:
    return dumps(document.get("sessionId")), dumps(document)


def test_any_number_of_processes_writes_the_same_files(tmp_path: Path) -> None:
    """There and back between JSONL and Parquet, each byte is that of one process."""
    source = tmp_path / "all.jsonl"
    source.write_bytes(b"".join(SAMPLE))
    for processes in (1, 2, 3):
        there, back = tmp_path / f"{processes}.parquet", tmp_path / f"{processes}.jsonl"
        report = cm.convert(source, there, processes=processes)
        again = cm.convert(there, back, processes=processes)
        assert (report.rows, report.sessions) == (again.rows, again.sessions) == (len(SAMPLE), 48)
        assert there.read_bytes() == (tmp_path / "1.parquet").read_bytes()
        assert back.read_bytes() == source.read_bytes()


def test_a_bad_line_is_named_by_its_number(tmp_path: Path) -> None:
    """An error in the middle of a file names the line, in any process, and leaves no output."""
    source = tmp_path / "bad.jsonl"
    lines = SAMPLE * 3
    source.write_bytes(b"".join([*lines[:77], b'{"_id": nonsense}\n', *lines[77:]]))
    said = set()
    for processes in (1, 2):
        with pytest.raises(Damaged, match="line 78") as error:
            cm.convert(source, tmp_path / "out.parquet", processes=processes)
        said.add(error.value.message)
    assert len(said) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bad.jsonl"]


def test_a_bad_row_is_named_by_its_number(tmp_path: Path) -> None:
    """A row of a Parquet file that cannot be put together is named, in any process."""
    table = pq.read_table(_parquet(tmp_path))
    extras = table["extra"].to_pylist()
    extras[30] = "[]"
    bad = tmp_path / "bad.parquet"
    pq.write_table(table.set_column(table.schema.get_field_index("extra"), "extra", [extras]), bad, row_group_size=20)
    for processes in (1, 2):
        with pytest.raises(Damaged, match="row 31"):
            cm.convert(bad, tmp_path / "out.jsonl", processes=processes)


def test_rows_in_no_order_are_sorted_all_the_same(tmp_path: Path) -> None:
    """A file that is not in order, or has a row twice, is read again in the general way."""
    source = tmp_path / "mixed.jsonl"
    source.write_bytes(b"".join([*SAMPLE[100:], *SAMPLE[:100], *SAMPLE[40:60]]))
    report = cm.convert(source, tmp_path / "out.jsonl", processes=2)
    assert report.repeated == 20
    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(SAMPLE)


def test_row_groups_that_are_too_large_are_read_in_batches(tmp_path: Path) -> None:
    """A file of another program may be one row group; it is not held whole."""
    path = _parquet(tmp_path)
    assert row_groups_in(path, largest=1000) is None


def test_chunks_are_small(tmp_path: Path) -> None:
    """Files are divided as the sizes say, and every row is in one chunk."""
    source = tmp_path / "all.jsonl"
    source.write_bytes(b"".join(SAMPLE))
    for chunks in ([*ranges_in(source, size=30_000)], [*(row_groups_in(_parquet(tmp_path)) or ())]):
        assert len(chunks) > 3
        assert [row.raw + b"\n" for chunk in chunks for page in chunk.pages(NAMES) for row in page.rows] == SAMPLE


def test_the_option(tmp_path: Path) -> None:
    """``--processes`` takes a number from 1; the output says nothing of it."""
    source = tmp_path / "all.jsonl"
    source.write_bytes(b"".join(SAMPLE))
    done = convex_msgs("convert", source, "-o", tmp_path / "out.parquet", "--processes", "2", "-q", cwd=tmp_path)
    assert (done.code, done.out, done.err) == (0, b"", "")
    assert convex_msgs("convert", source, "-o", tmp_path / "no.parquet", "--processes", "0", cwd=tmp_path).code == 2
    with pytest.raises(UsageError):
        cm.convert(source, tmp_path / "no.parquet", processes=0)


def _parquet(folder: Path) -> Path:
    path = folder / "sample.parquet"
    with path.open("wb") as stream:
        writer = ParquetWriter(stream, NAMES, "test", rows_a_group=20)
        for page in numbered(read_jsonl(ROOT / "sample_data" / "messages.jsonl", NAMES)):
            writer.write(page)
        writer.finish()
    return path
