"""Zip in the layout of Convex's snapshots: both ways, foreign ones, older ones, broken ones."""

from __future__ import annotations

import base64
import io
import json
import math
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sync_tool as cm
from running import ROOT
from sync_tool.commands.export.export import export
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.errors import Damaged, UsageError
from sync_tool.files import zip as zipentries
from sync_tool.files.lines import MAX_LINE_BYTES
from sync_tool.files.zip import ZipWriter, read_zip
from sync_tool.rows.model import Names
from values import DOCUMENTS, same
from zips import NAMES, README, UNIFORM, pack, pack_zstd, page_of, rows_in, snapshot, write_zip

SAMPLE = ROOT / "sample_data" / "messages.jsonl"
LINES = SAMPLE.read_bytes().splitlines()
IN_A_FOLDER = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_the_sample_data_survives_a_zip_byte_for_byte(tmp_path: Path) -> None:
    """JSONL to zip to JSONL is the same file, and the same rows give the same zip."""
    export(cm.open(SAMPLE), tmp_path / "a.zip")
    export(cm.open(tmp_path / "a.zip"), tmp_path / "b.jsonl")
    assert (tmp_path / "b.jsonl").read_bytes() == SAMPLE.read_bytes()
    export(cm.open(tmp_path / "b.jsonl"), tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_bytes() == (tmp_path / "a.zip").read_bytes()


@IN_A_FOLDER
@given(documents=st.lists(DOCUMENTS, min_size=1, max_size=6))
def test_a_zip_gives_every_row_back_byte_for_byte(tmp_path: Path, documents: list[dict[str, object]]) -> None:
    """Whatever Convex can hold in a row, a zip loses none of it."""
    lines = [dumps(document) for document in documents]
    write_zip(tmp_path / "a.zip", lines)
    assert rows_in(tmp_path / "a.zip") == lines


@IN_A_FOLDER
@given(document=DOCUMENTS)
def test_the_spelling_is_that_of_convex_snapshots(tmp_path: Path, document: dict[str, Any]) -> None:
    """Integer literals for int64, floats with point or exponent, tags for bytes and odd floats, sorted keys."""
    write_zip(tmp_path / "a.zip", [dumps(document)])
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        (line,) = archive.read("messages/documents.jsonl").splitlines()
    found = json.loads(line, object_pairs_hook=sorted_object)
    assert_spelled(document, found)


def sorted_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object whose keys must be sorted."""
    assert [key for key, _ in pairs] == sorted(key for key, _ in pairs)
    return dict(pairs)


def assert_spelled(value: Any, json_value: Any) -> None:
    """Hold the spelling of a value to the rules of ``export_json``."""
    if isinstance(value, bytes):
        assert json_value == {"$bytes": base64.b64encode(value).decode()}
    elif isinstance(value, float) and (not math.isfinite(value) or str(value) == "-0.0"):
        assert set(json_value) == {"$float"}
    elif isinstance(value, dict):
        assert set(value) == set(json_value)
        for name, item in value.items():
            assert_spelled(item, json_value[name])
    elif isinstance(value, list):
        for item, spelled in zip(value, json_value, strict=True):
            assert_spelled(item, spelled)
    else:
        assert type(json_value) is type(value)
        assert json_value == value


def test_the_layout_is_that_of_convex_snapshots(tmp_path: Path) -> None:
    """Two entries under the table's name, deflated, without a date, and the word that names the encoding of rows."""
    names = Names(table="chats")
    write_zip(tmp_path / "a.zip", LINES[:3], names)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["chats/documents.jsonl", "chats/generated_schema.jsonl"]
        assert archive.read("chats/generated_schema.jsonl") == UNIFORM
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_DEFLATED}
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert rows_in(tmp_path / "a.zip", names) == LINES[:3]


def test_an_empty_table_is_a_zip_too(tmp_path: Path) -> None:
    """No rows: both entries are there, and reading gives none."""
    write_zip(tmp_path / "a.zip", [])
    assert rows_in(tmp_path / "a.zip") == []


def test_what_was_not_finished_is_no_zip() -> None:
    """A writer that is let go before its end writes no directory, which would make half a table look whole."""
    stream = io.BytesIO()
    writer = ZipWriter(stream, NAMES)
    writer.write(page_of(LINES))
    writer.close()
    del writer
    assert not zipfile.is_zipfile(stream)


def sizes_at_peak(count: int, work: Callable[[int], None]) -> int:
    """Return the greatest memory in use while `work` goes over so many pages."""
    tracemalloc.start()
    try:
        work(count)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    """Writing and reading three times as many rows takes no more memory."""

    def write(pages: int) -> None:
        with (tmp_path / f"{pages}.zip").open("wb") as stream:
            writer = ZipWriter(stream, NAMES)
            for _ in range(pages):
                writer.write(page_of(LINES[:500]))
            writer.finish()
            writer.close()

    def read(pages: int) -> None:
        assert sum(len(page.rows) for page in read_zip(tmp_path / f"{pages}.zip", NAMES)) == pages * 500

    for work in (write, read):
        few, many = sizes_at_peak(4, work), sizes_at_peak(12, work)
        assert many < few * 1.3


@pytest.mark.parametrize("folder", ["", "snapshot_tall-forest-123_1787000000/", "a/b/"])
def test_a_snapshot_of_convex_is_read_whatever_else_is_in_it(tmp_path: Path, folder: str) -> None:
    """Any leading folder; other tables, system tables, stored files and components are passed over."""
    pack(tmp_path / "a.zip", snapshot(b'{"_id":"a","n":5,"f":5.0,"e":1e16}\n', folder=folder))
    assert rows_in(tmp_path / "a.zip") == [dumps({"_id": "a", "n": 5, "f": 5.0, "e": 1e16})]
    assert rows_in(tmp_path / "a.zip", Names(table="users")) == [b'{"_creationTime":1.0,"_id":"u1","name":"Jim"}']


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, 93])
def test_ways_of_compression(tmp_path: Path, method: int) -> None:
    """Stored, deflate, and zstd, which Python's own reader does not know."""
    entries = snapshot(b"\n".join(LINES))
    if method == 93:
        pack_zstd(tmp_path / "a.zip", entries)
    else:
        pack(tmp_path / "a.zip", entries, method)
    assert rows_in(tmp_path / "a.zip") == LINES


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_named(tmp_path: Path, method: int) -> None:
    """An entry that cannot be read is an error that names what can."""
    pack(tmp_path / "a.zip", snapshot(b""), method)
    with pytest.raises(UsageError, match=r"bzip2|lzma") as raised:
        rows_in(tmp_path / "a.zip")
    assert "deflate, stored and zstd" in raised.value.hint


def test_deflate64_and_encryption_are_named(tmp_path: Path) -> None:
    """A zip of Windows Explorer over 2 GB, and one with a password."""
    write_zip(tmp_path / "a.zip", LINES[:1])
    content = (tmp_path / "a.zip").read_bytes()
    directory = content.index(b"PK\x01\x02")
    for offset, value, said in ((10, 9, "deflate64"), (8, 9, "encrypted")):
        changed = bytearray(content)
        changed[directory + offset] = value
        (tmp_path / "b.zip").write_bytes(changed)
        with pytest.raises(UsageError, match=said):
            rows_in(tmp_path / "b.zip")


def test_a_missing_table_names_those_that_are_there(tmp_path: Path) -> None:
    """Exit 2 with the tables, and that a component's tables are out of reach."""
    entries = snapshot(b"")
    del entries["messages/documents.jsonl"]
    pack(tmp_path / "a.zip", entries)
    with pytest.raises(UsageError, match="'messages'") as raised:
        rows_in(tmp_path / "a.zip")
    assert "users" in raised.value.hint
    assert "--table NAME" in raised.value.hint
    assert "component" in raised.value.hint


def test_a_table_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Two snapshots in one zip: both entries are named, neither is guessed."""
    pack(tmp_path / "a.zip", {"one/messages/documents.jsonl": b"", "two/messages/documents.jsonl": b""})
    with pytest.raises(UsageError, match=r"one/messages/documents\.jsonl and two/messages/documents\.jsonl"):
        rows_in(tmp_path / "a.zip")


def test_without_a_schema_numbers_are_floats(tmp_path: Path) -> None:
    """As `npx convex import` reads such a zip: no int64, and a field name may not begin with $."""
    pack(tmp_path / "a.zip", snapshot(b'{"_id":"a","n":5,"s":"5"}\n', schema=None))
    assert rows_in(tmp_path / "a.zip") == [dumps({"_id": "a", "n": 5.0, "s": "5"})]
    pack(tmp_path / "a.zip", snapshot(b'{"n":{"$integer":"BQAAAAAAAAA="}}\n', schema=None))
    with pytest.raises(Damaged):
        rows_in(tmp_path / "a.zip")


@pytest.mark.parametrize(
    "line", [b'{"a":', b"[1]", b'{"a":"\xff"}', b'{"a":NaN}', b'{"$x":1,"b":{"$integer":1}}', b"9" * 30, b"[" * 5000]
)
def test_a_bad_line_is_named_with_its_entry(tmp_path: Path, line: bytes) -> None:
    """File, entry and number of the line."""
    pack(tmp_path / "a.zip", snapshot(b'{"_id":"a"}\n\n' + line + b"\n"))
    with pytest.raises(Damaged, match=r"a\.zip, messages/documents\.jsonl, line 3: "):
        rows_in(tmp_path / "a.zip")


def test_an_int64_that_is_too_large_is_named(tmp_path: Path) -> None:
    """A bare integer beyond 64 bits is no value of Convex."""
    pack(tmp_path / "a.zip", snapshot(b'{"n":9223372036854775808}\n'))
    with pytest.raises(Damaged, match=r"line 1.*9223372036854775808"):
        rows_in(tmp_path / "a.zip")


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04 not really", README])
def test_what_is_no_zip_is_said(tmp_path: Path, content: bytes) -> None:
    """A file with the suffix but not the content is a clear error, not a traceback."""
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(Damaged):
        rows_in(tmp_path / "a.zip")


@pytest.fixture(scope="module")
def broken_sources(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Small whole zips, one for each way of compression, which tests break."""
    folder = tmp_path_factory.mktemp("zips")
    write_zip(folder / "a.zip", LINES[:30])
    entries = {"messages/documents.jsonl": b"\n".join(LINES[:30]), "messages/generated_schema.jsonl": UNIFORM}
    pack(folder / "b.zip", entries, zipfile.ZIP_STORED)
    pack_zstd(folder / "c.zip", entries)
    return [(folder / f"{name}.zip").read_bytes() for name in "abc"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_broken_zips_are_damaged_or_whole(tmp_path: Path, broken_sources: list[bytes], data: st.DataObject) -> None:
    """Bytes changed, cut out or cut off anywhere: the same rows, or a clear error; never others, never a traceback."""
    content = bytearray(data.draw(st.sampled_from(broken_sources)))
    for _ in range(data.draw(st.integers(1, 3))):
        if not content:
            break
        near_end = max(0, len(content) - 300)
        at = data.draw(st.integers(0, len(content) - 1) | st.integers(near_end, len(content) - 1))
        if data.draw(st.booleans()):
            content[at] = data.draw(st.integers(0, 255))
        else:
            del content[at : data.draw(st.sampled_from([at + 1, at + 20, len(content)]))]
    (tmp_path / "a.zip").write_bytes(content)
    found = None
    with suppress(Damaged, UsageError):
        found = rows_in(tmp_path / "a.zip")
    assert found in (None, LINES[:30])


def test_a_wrong_checksum_is_damaged(tmp_path: Path, broken_sources: list[bytes]) -> None:
    """Rows that read well but are not the ones that were written do not pass."""
    for content in broken_sources[1:]:
        sum_at = content.index(b"PK\x01\x02") + 16
        (tmp_path / "a.zip").write_bytes(content[:sum_at] + b"\0\0\0\0" + content[sum_at + 4 :])
        with pytest.raises(Damaged, match=r"messages/documents\.jsonl, line \d+"):
            rows_in(tmp_path / "a.zip")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far more inside than chat history ever has for its size: an error, with what to do if it is right."""
    monkeypatch.setattr(zipentries, "ALWAYS", 1 << 20)
    pack(tmp_path / "a.zip", snapshot(b'{"a":"' + b"x" * (2 << 20) + b'"}\n'))
    with pytest.raises(UsageError, match=r"2\.1 MB.*2\.1 KB") as raised:
        rows_in(tmp_path / "a.zip")
    assert "zip -0" in raised.value.hint


def test_a_line_longer_than_any_row_is_refused(tmp_path: Path) -> None:
    """A line is never read further than a row can be long."""
    pack(tmp_path / "a.zip", snapshot(b'{"_id":"a"}\n' + b"x" * (MAX_LINE_BYTES + 1)))
    with pytest.raises(Damaged, match="line 2"):
        rows_in(tmp_path / "a.zip")


def test_rows_in_random_order_come_out_in_session_order(tmp_path: Path) -> None:
    """Convex writes rows by random id: the file says what room sorting takes, then gives them in order."""
    by_id = sorted(LINES, key=lambda line: loads(line)["_id"])
    write_zip(tmp_path / "a.zip", by_id)
    told: list[str] = []
    export(cm.open(tmp_path / "a.zip"), tmp_path / "a.jsonl", progress=_Told(told))
    assert (tmp_path / "a.jsonl").read_bytes() == SAMPLE.read_bytes()
    assert [line for line in told if "sorting them takes up to about 3.0 MB in " in line] == told[:1]


class _Told:
    """Progress that records titles and notes."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def begin(self, title: str, total: int | None) -> None:
        """Keep it."""
        self._told.append(title)

    def advance(self, rows: int, size: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Keep it."""
        self._told.append(text)

    def detail(self, text: str) -> None:
        """Nothing."""


def test_a_zip_is_opened_as_any_file_is(tmp_path: Path) -> None:
    """`open` gives sessions and messages of a zip, under names of one's own too."""
    names = Names("chats", "byUser", "userId", "msg")
    line = dumps({"_id": "x", "_creationTime": 5.0, "userId": "u1", "msg": {"type": "human", "data": {"content": "a"}}})
    write_zip(tmp_path / "a.zip", [line], names)
    with cm.open(tmp_path / "a.zip", names=names) as found:
        (row,) = found.messages(session="u1")
        assert (row.text, found.sessions(count=True)[0].count) == ("a", 1)
    assert same(row.value, loads(line))


@pytest.mark.parametrize("table", ["../../x\x1b[31m", "/etc", "a/b", "", "a\n", "ä", "a" * 65])
def test_tables_of_a_zip_have_names_that_convex_allows(tmp_path: Path, table: str) -> None:
    """A name from a hostile archive could lead out of the folder that the zip is unpacked in: no zip is written."""
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(SAMPLE.read_bytes())
    with pytest.raises(UsageError, match="cannot be the name of a table"):
        cm.convert(rows, tmp_path / "out.zip", names=Names(table=table))
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
