"""Rows as columns and back, in memory and in Parquet files."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import sync_tool as cm
from running import ROOT
from sync_tool.commands.export.export import export
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.encoding.plain import dumps_plain_lines, plain_texts
from sync_tool.errors import Damaged, UsageError
from sync_tool.files.parquet import ParquetWriter, read_parquet
from sync_tool.rows.columns import COLUMNS, READ, Columns, flatten, unflatten
from sync_tool.rows.model import MISSING, Names
from sync_tool.rows.reading import RowReader, numbered
from values import DOCUMENTS, PLAIN_DOCUMENTS, same

NAMES = Names()
SAMPLE = ROOT / "sample_data" / "messages.jsonl"


@given(DOCUMENTS)
def test_columns_give_every_document_back(document: dict[str, object]) -> None:
    """Whatever Convex can hold in a row, the flat columns lose none of it."""
    assert same(put_together(flatten(document, NAMES), NAMES), document)


@given(DOCUMENTS)
def test_field_names_of_ones_own_are_no_matter(document: dict[str, object]) -> None:
    """A table with other field names flattens and comes back under those names."""
    names = Names("chats", "byUser", "message", "sessionId")
    assert same(put_together(flatten(document, names), names), document)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(DOCUMENTS, min_size=1, max_size=6) | st.lists(PLAIN_DOCUMENTS, min_size=1, max_size=6))
def test_parquet_gives_every_row_back_byte_for_byte(tmp_path: Path, documents: list[dict[str, object]]) -> None:
    """JSONL to Parquet to JSONL changes no byte, whatever the rows hold."""
    lines = [dumps(document) for document in documents]
    path = tmp_path / "rows.parquet"
    write_parquet(path, lines)
    _, pages = read_parquet(path)
    assert [row.raw for page in pages for row in page.rows] == lines


def test_the_sample_data_survives_parquet_byte_for_byte(tmp_path: Path) -> None:
    """The whole sample, exported to Parquet and back to JSONL by the library, is the same file."""
    export(cm.open(SAMPLE), tmp_path / "a.parquet")
    report = export(cm.open(tmp_path / "a.parquet"), tmp_path / "b.jsonl")
    assert (tmp_path / "b.jsonl").read_bytes() == SAMPLE.read_bytes()
    assert report.rows == len(SAMPLE.read_bytes().splitlines())


def test_compressed_files_hold_the_same_bytes(tmp_path: Path) -> None:
    """.zst and .gz are written and read; inside is the same JSONL."""
    for suffix in (".jsonl.zst", ".jsonl.gz"):
        export(cm.open(SAMPLE), tmp_path / f"a{suffix}")
        export(cm.open(tmp_path / f"a{suffix}"), tmp_path / f"{suffix[7:]}.jsonl")
        assert (tmp_path / f"{suffix[7:]}.jsonl").read_bytes() == SAMPLE.read_bytes()


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample data as Parquet."""
    path = tmp_path_factory.mktemp("parquet") / "messages.parquet"
    export(cm.open(SAMPLE), path)
    return path


def test_duckdb_reads_the_columns_and_queries_extra(parquet: Path) -> None:
    """The queries of a data scientist work: group by type, order by n, JSON paths into extra."""
    con = duckdb.connect()
    found = con.sql(f"select type, count(*), sum(output_tokens) from '{parquet}' group by 1").fetchall()
    assert {"human", "ai", "tool"} <= {row[0] for row in found}
    (first, *_) = con.sql(f"select content from '{parquet}' where sessionId = 'cust-42' order by n").fetchall()
    assert first[0] == "Hi! I'm Jim."
    query = f"select count(*) from '{parquet}' where (extra->>'$.message.data.tool_calls[0].name') is not null"
    assert con.sql(query).fetchall()[0][0] > 0
    assert con.sql(f"select typeof(extra) from '{parquet}' limit 1").fetchall() == [("VARCHAR",)]


def test_polars_reads_the_columns_and_queries_extra(parquet: Path) -> None:
    """Polars sees plain strings and can look into extra."""
    frame = pl.read_parquet(parquet)
    assert frame.columns == list(COLUMNS)
    assert frame.schema["extra"] == pl.String
    calls = frame.select(pl.col("extra").str.json_path_match("$.message.data.tool_calls[0].name"))
    assert calls.to_series().drop_nulls().len() > 0
    assert frame.filter(pl.col("created_at") >= pl.datetime(2026, 8, 1, time_zone="UTC")).height > 0


def test_pandas_reads_the_columns_and_queries_extra(parquet: Path) -> None:
    """pandas reads the file as it is; notebooks get the same frame from the library."""
    frame = pd.read_parquet(parquet)
    assert list(frame.columns) == list(COLUMNS)
    extras = frame["extra"].dropna().map(json.loads)
    assert extras.map(lambda extra: "message" in extra).any()
    pd.testing.assert_frame_equal(frame, cm.open(parquet).messages().to_pandas())


def test_parquet_says_where_it_is_from(parquet: Path) -> None:
    """Tool, format version, source and the table's own names stand in the metadata."""
    about = json.loads(cm.open(parquet).messages().to_arrow().schema.metadata[b"convex-msgs"])
    assert about["format"] == 1
    assert about["sessionField"] == "sessionId"


def test_names_come_back_from_parquet(tmp_path: Path) -> None:
    """A table with names of its own is written under them and restored from them."""
    names = Names("chats", "byUser", "userId", "msg")
    line = dumps({"_id": "x", "_creationTime": 5.0, "userId": "u1", "msg": {"type": "human", "data": {"content": "a"}}})
    write_parquet(tmp_path / "a.parquet", [line], names)
    found = cm.open(tmp_path / "a.parquet")
    assert found.names == names
    assert [row.raw for row in found.messages(session="u1")] == [line]


def test_dates_that_no_calendar_has_stay_exact(tmp_path: Path) -> None:
    """A creation time past the year 9999 keeps its double; created_at is null instead of an error."""
    times = [253_402_300_799_999.9, 253_402_300_800_000.0, 2.0**52, 0.25]
    lines = [dumps({"_creationTime": time, "_id": str(n), "sessionId": "s"}) for n, time in enumerate(times)]
    write_parquet(tmp_path / "a.parquet", lines)
    frame = pl.read_parquet(tmp_path / "a.parquet")
    assert frame["_creationTime"].to_list() == times
    assert frame["created_at"].is_null().to_list() == [False, True, True, False]


@pytest.mark.parametrize("content", [b"", b"PAR1 not really", b"{}"])
def test_what_is_no_parquet_is_said(tmp_path: Path, content: bytes) -> None:
    """A file with the suffix but not the content is a clear error, not a traceback."""
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(Damaged):
        list(cm.open(tmp_path / "a.parquet").messages())


def test_parquet_with_other_columns_is_said(tmp_path: Path) -> None:
    """Somebody else's Parquet file names the column that is missing."""
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UsageError, match="'_id'"):
        list(cm.open(tmp_path / "a.parquet").messages())


@pytest.mark.parametrize("line", [b'{"a":', b"[1]", b'{"a":"\xff"}', b'{"a":NaN}', b"\x00", b'{"$integer":"x"}'])
def test_a_bad_line_is_named(tmp_path: Path, line: bytes) -> None:
    """The error says which file and which line."""
    (tmp_path / "a.jsonl").write_bytes(b'{"sessionId":"s"}\n' + line + b"\n")
    with pytest.raises(Damaged, match=r"a\.jsonl, line 2"):
        list(cm.open(tmp_path / "a.jsonl").messages())


def test_a_file_in_any_order_is_read_in_session_order(tmp_path: Path) -> None:
    """Rows are sorted by session, time and id; equal ones keep the file's order; n counts within the session."""
    rows = [
        ("b", 2.0, "x"),
        ("a", 9.0, "x"),
        ("b", 1.0, "y"),
        ("b", 1.0, "x"),
        ("\U0001f600", 1.0, ""),
        ("\uffff", 1.0, ""),
    ]
    lines = [dumps({"sessionId": session, "_creationTime": time, "_id": name}) for session, time, name in rows]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    found = [(row.session, row.time, row.id, row.n) for row in cm.open(tmp_path / "a.jsonl").messages()]
    assert found == [
        ("a", 9.0, "x", 1), ("b", 1.0, "x", 1), ("b", 1.0, "y", 2), ("b", 2.0, "x", 3), ("\uffff", 1.0, "", 1),
        ("\U0001f600", 1.0, "", 1),
    ]  # fmt: skip


def test_numbers_in_foreign_jsonl_become_canonical(tmp_path: Path) -> None:
    """A line that jq rewrote (5 for 5.0, other key order, spaces) comes out canonical."""
    (tmp_path / "a.jsonl").write_text('{"sessionId": "s", "a": 5, "_creationTime": 1}\n')
    (row,) = cm.open(tmp_path / "a.jsonl").messages()
    assert row.raw == b'{"_creationTime":1.0,"a":5.0,"sessionId":"s"}'
    assert same(loads(row.raw), row.value)


def test_rows_without_id_or_time_are_rows() -> None:
    """A document may lack what a deployment adds: id is empty, the time is no number."""
    row = RowReader(NAMES).row(b"{}")
    assert (row.id, row.session) == ("", MISSING)
    assert math.isnan(row.time)
    assert row.created_at is None


def put_together(columns: Columns, names: Names) -> object:
    """Return the document of which columns were made, through the columns that are read."""
    *read, extra = (dict(zip(COLUMNS, columns, strict=True))[name] for name in READ)
    return unflatten(tuple(read), None if extra is None else loads(extra), names)


def write_parquet(path: Path, lines: list[bytes], names: Names = NAMES) -> None:
    """Write canonical lines into a Parquet file."""
    reader = RowReader(names)
    stream = io.BytesIO()
    writer = ParquetWriter(stream, names, "test")
    for page in numbered([reader.stored_page(lines, 0)]):
        writer.write(page)
    writer.finish()
    path.write_bytes(stream.getvalue())


@settings(max_examples=60, deadline=None)
@given(st.lists(PLAIN_DOCUMENTS, min_size=1, max_size=8))
def test_many_documents_at_once_are_the_same_as_one_by_one(documents: list[dict[str, object]]) -> None:
    """The quick way over a block of lines gives the values, the columns and the lines of the slow one."""
    lines = [dumps(document) for document in documents]
    values = plain_texts(lines)
    assume(values is not None)  # if that were rare, there would be too few examples, which is an error
    assert values is not None
    assert all(map(same, values, map(loads, lines)))
    assert dumps_plain_lines(values) == b"\n".join([*lines, b""])


@settings(max_examples=60, deadline=None)
@given(st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_other_documents_are_exact_or_left_to_the_slow_way(documents: list[dict[str, object]]) -> None:
    """The quick way gives the value of every document, or says that it does not know one of them."""
    lines = [dumps(document) for document in documents]
    alone = [plain_texts([line]) for line in lines]
    values = plain_texts(lines)
    assert (values is None) == (None in alone)
    for line, found in zip(lines, alone, strict=True):
        assert found is None or same(found, [loads(line)])


def test_what_langchain_writes_is_plain() -> None:
    """Nearly all rows of the sample take the quick way."""
    lines = SAMPLE.read_bytes().splitlines()
    assert sum(plain_texts([line]) is not None for line in lines) > 0.99 * len(lines)


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":{ "$integer":"AAAAAAAAAAA="}}',
        b'{"a":{"\\u0024integer":"AAAAAAAAAAA="}}',
        b'{"a":{"$foo":1}}',
        b'{"a":-0.0}',
        b'{"a":[-0e5]}',
        b'{"a":-1e-400}',
        b'{"a":-0.00000000000001e-999 }',
        b'{"a":1e999}',
        b"[1]",
        b"",
        b'{"a":1}\n{"a":1}',
        b'{"a":"\xff"}',
        b"{" + b'"a":{' * 12 + b"}" * 13,
    ],
)
def test_what_is_not_plain_goes_the_slow_way(line: bytes) -> None:
    """Tags, negative zero, deep nesting and whatever is no row are left to those who look closer."""
    assert plain_texts([b"{}", line, b"{}"]) is None


ODD = [b'{"a":-0.5,"b":"-0","c":"$5, e-mail"}', b'{ "b" : 1 , "a" : 12345678901234567890123}']


@pytest.mark.parametrize("line", ODD)
def test_odd_but_plain_lines_mean_the_same(line: bytes) -> None:
    """A line in any spelling without tags has the value that the slow way gives it."""
    (value,) = plain_texts([line]) or [{}]
    assert same(value, loads(line))
    assert dumps_plain_lines([value]) == dumps(loads(line)) + b"\n"


def test_extra_that_spans_lines_belongs_to_its_row(tmp_path: Path) -> None:
    """Extras with line breaks, written by somebody else, are not mixed up with those of their neighbours."""
    write_parquet(
        tmp_path / "a.parquet", [dumps({"_id": name, "_creationTime": 1.0, "sessionId": "s"}) for name in "ab"]
    )
    frame = pd.read_parquet(tmp_path / "a.parquet")
    frame["extra"] = ['{"a":1}\n{"b":1}', ""]
    frame.to_parquet(tmp_path / "b.parquet")
    with pytest.raises(Damaged, match=r"b\.parquet, row 1"):
        list(cm.open(tmp_path / "b.parquet").messages())


def test_a_file_that_turns_out_unsorted_is_sorted(tmp_path: Path) -> None:
    """Convert trusts a file to be in order, and starts again when a late row shows that it is not."""
    lines = [dumps({"_id": f"{n:05}", "_creationTime": 1.0, "sessionId": "s"}) for n in range(20_000)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*lines[1:], lines[0], lines[5]]))
    report = cm.convert(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert (report.rows, report.repeated) == (20_000, 1)
    assert (tmp_path / "b.jsonl").read_bytes() == b"\n".join([*lines, b""])
