"""Bad input to ``import``: a clear message, the right exit code, and all other sessions are imported."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import sync_tool as cm
from importing import Target, history, lines, message, new_session, row, write
from running import convex_msgs

pytestmark = pytest.mark.usefixtures("own_folder")

ABC = ["a", "b", "c"]


def deep(levels: int) -> Any:
    """Return arrays in arrays."""
    return [deep(levels - 1)] if levels else "x"


def spelled(session: str, content: bytes, **extra: Any) -> bytes:
    """Return a row as bytes with its content as given, quotes included."""
    return json.dumps(row(session, "HERE", **extra)).encode().replace(b'"HERE"', content)


def record(session: str, name: str) -> bytes:
    """Return a bad row of a session by its name."""
    plain = json.dumps(row(session, "x")).encode()
    kwargs = b'"additional_kwargs": {}'
    assert kwargs in plain
    made: dict[str, bytes] = {
        "truncated": spelled(session, b'"x')[:-40],
        "nul bytes": b"\x00" * 40,
        "nul inside": plain.replace(b'"human"', b'"hu\x00man"'),
        "invalid UTF-8": spelled(session, b'"\xff\xfe"'),
        "invalid UTF-8 deep inside": plain.replace(kwargs, b'"additional_kwargs": {"a": [{"b": "\xc3("}]}'),
        "overlong UTF-8": spelled(session, b'"\xc0\xaf"'),
        "UTF-8 surrogate": spelled(session, b'"\xed\xa0\x80"'),
        "lone surrogate": spelled(session, b'"\\ud83d x"'),
        "lone surrogate deep inside": plain.replace(kwargs, b'"additional_kwargs": {"a": "\\udc00"}'),
        "lone surrogate in a key": plain.replace(kwargs, b'"additional_kwargs": {"\\udc00": 1}'),
        "duplicate keys": plain.replace(kwargs, b'"additional_kwargs": {"a": 1, "a": 2}'),
        "duplicate content": plain.replace(b'"content": "x"', b'"content": "x", "content": "y"'),
        "__proto__": plain.replace(kwargs, b'"additional_kwargs": {"__proto__": {"admin": true}}'),
        "NaN": plain.replace(kwargs, b'"additional_kwargs": {"a": NaN}'),
        "Infinity": plain.replace(kwargs, b'"additional_kwargs": {"a": -Infinity}'),
        "beyond 1e308": plain.replace(kwargs, b'"additional_kwargs": {"a": 1e309}'),
        "integer beyond 1e308": plain.replace(kwargs, b'"additional_kwargs": {"a": 1' + b"0" * 400 + b"}"),
        "dollar key": plain.replace(kwargs, b'"additional_kwargs": {"$a": 1}'),
        "non-ASCII key": plain.replace(kwargs, '"additional_kwargs": {"ä": 1}'.encode()),
        "too deep": plain.replace(kwargs, b'"additional_kwargs": ' + json.dumps(deep(20)).encode()),
        "very deep": plain.replace(kwargs, b'"additional_kwargs": ' + b"[" * 100_000 + b"]" * 100_000),
        "bad tag": plain.replace(kwargs, b'"additional_kwargs": {"a": {"$integer": "x"}}'),
        "8,193 items": plain.replace(kwargs, b'"additional_kwargs": ' + json.dumps([0] * 8193).encode()),
        "1,025 fields": spelled(session, json.dumps({f"f{number}": 1 for number in range(1025)}).encode()),
        "over 1 MiB": spelled(session, b'"' + b"x" * (1 << 20) + b'"'),
        "two objects": plain + plain,
        "single quotes": plain.replace(b'"', b"'"),
        "no object": b"[1, 2]",
        "text": b'"x"',
        "UTF-16": plain.decode().encode("utf-16"),
        "system field": plain[:-1] + b', "_other": 1}',
        "session is a number": plain.replace(f'"{session}"'.encode(), b"5"),
        "session is missing": plain.replace(b'"sessionId"', b'"session"'),
        "message is text": json.dumps({"sessionId": session, "message": "x"}).encode(),
        "message is missing": json.dumps({"sessionId": session}).encode(),
    }
    return made[name]


NAMES = (
    "truncated", "nul bytes", "nul inside", "invalid UTF-8", "invalid UTF-8 deep inside", "overlong UTF-8",
    "UTF-8 surrogate", "lone surrogate", "lone surrogate deep inside", "lone surrogate in a key", "duplicate keys",
    "duplicate content", "__proto__", "NaN", "Infinity", "beyond 1e308", "integer beyond 1e308", "dollar key",
    "non-ASCII key", "too deep", "very deep", "bad tag", "8,193 items", "1,025 fields", "over 1 MiB", "two objects",
    "single quotes", "no object", "text", "UTF-16", "system field", "session is a number", "session is missing",
    "message is text", "message is missing",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_record_stops_its_session_alone(target: Target, name: str) -> None:
    """Between rows of one session: those before it go in, those behind wait, all others are imported; exit 3."""
    bad, before, after = new_session("bad"), new_session("before"), new_session("after")
    rows = [*history(before, ABC), row(bad, "a"), row(bad, "b"), record(bad, name), row(bad, "c"), *history(after, ABC)]
    report = target.put(write(Path("a.jsonl"), rows))
    assert [target.texts(session) for session in (before, bad, after)] == [ABC, ["a", "b"], ABC]
    assert (report.exit_code, report.bad_rows, report.held_rows) == (3, 1, 1)
    first, held = lines(report.quarantine)
    assert (first["line"], held["line"], held["held"]) == (6, 7, True)
    assert first["faults"]
    assert all(fault["rule"] and fault["says"] for fault in first["faults"])
    assert ("record" in first) != ("raw" in first)
    again = target.put("a.jsonl", fixes=[str(report.quarantine)])
    assert (again.exit_code, again.sent_rows, again.quarantine) == (3, 0, report.quarantine)
    fixed = write(Path("f.jsonl"), [first | {"record": row(bad, "repaired")}])
    assert target.put("a.jsonl", fixes=[fixed]).exit_code == 0
    assert target.texts(bad) == ["a", "b", "repaired", "c"]


@pytest.mark.parametrize(
    ("literal", "there"),
    [
        (b"9007199254740993", 9007199254740992.0),
        (b"9223372036854775808", 9223372036854775808.0),
        (b"-9223372036854775809", -9223372036854775808.0),
        (b"1" + b"0" * 300, 1e300),
        (b"1e308", 1e308),
        (b"5.0", 5.0),
        (b"1e-400", 0.0),
        (b'{"$integer": "AQAAAAAAAAA="}', {"$integer": "AQAAAAAAAAA="}),
        (b'{"$float": "AAAAAAAA+H8="}', {"$float": "AAAAAAAA+H8="}),
    ],
)
def test_large_numbers_are_float64(target: Target, literal: bytes, there: Any) -> None:
    """A bare number is a float64 in any notation: rounded with a warning, never refused below 1e308."""
    session = new_session()
    line = spelled(session, b'"x"').replace(b'"additional_kwargs": {}', b'"additional_kwargs": {"a": ' + literal + b"}")
    source = write(Path("a.jsonl"), [line])
    report = target.put(source)
    assert report.exit_code == 0
    assert target.rows(session)[0]["message"]["data"]["additional_kwargs"]["a"] == there
    assert target.put(source).sent_rows == 0


def test_a_byte_order_mark_is_named(target: Target) -> None:
    """The first record is quarantined with the reason, and the quarantine file repairs it as it is."""
    session, other = new_session(), new_session()
    path = write(Path("a.jsonl"), [*history(session, ABC), *history(other, ABC)])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    report = target.put(path)
    assert (report.exit_code, target.texts(session), target.texts(other)) == (3, [], ABC)
    (first, *_) = lines(report.quarantine)
    assert first["faults"][0]["rule"] == "byte-order-mark"
    assert target.put(path, fixes=[str(report.quarantine)]).exit_code == 0
    assert target.texts(session) == ABC


def test_line_ends_and_empty_lines_do_not_matter(target: Target) -> None:
    """CRLF, blank lines and a missing last line end are no faults."""
    session = new_session()
    rows = [json.dumps(one).encode() for one in history(session, ABC)]
    Path("a.jsonl").write_bytes(b"\r\n\r\n  \n".join(rows))
    assert target.put("a.jsonl").exit_code == 0
    assert target.texts(session) == ABC


def test_a_line_of_50_mb_is_not_held_in_memory(target: Target, tmp_path: Path) -> None:
    """It stops the session around it; the process needs no 50 MB more than without."""
    session, other = new_session(), new_session()
    rows = [json.dumps(one).encode() + b"\n" for one in (row(session, "a"), row(session, "b"))]
    with Path("a.jsonl").open("wb") as stream:
        stream.write(rows[0] + b'{"sessionId": "')
        stream.writelines(b"x" * 1_000_000 for _ in range(50))
        stream.write(b'"}\n' + rows[1] + json.dumps(row(other, "a")).encode())
    done = convex_msgs("import", "a.jsonl", "--to", f"@{target.sandbox.env_file}", "--json", cwd=tmp_path)
    report = json.loads(done.out)
    assert (done.code, report["bad_rows"], report["held_rows"]) == (3, 1, 1)
    (first, _) = lines(report["quarantine"])
    assert first["faults"][0]["rule"] == "line-too-long"
    assert "50,000,0" in first["faults"][0]["found"]
    assert Path(report["quarantine"]).stat().st_size < 5000
    assert (target.texts(session), target.texts(other)) == (["a"], ["a"])


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_compressed_file_that_was_cut(target: Target, kind: str) -> None:
    """Rows before the cut and all other files go in; exit 7 names the file; the whole file then adds the rest."""
    session, other = new_session(), new_session()
    texts = [f"{number} " + str(hash(str(number))) * 20 for number in range(3000)]
    plain = write(Path("whole.jsonl"), history(session, texts)).read_bytes()
    packed = gzip.compress(plain) if kind == "gz" else zstandard.compress(plain)
    Path(f"a.jsonl.{kind}").write_bytes(packed[: len(packed) // 2])
    write(Path("b.jsonl"), history(other, ABC))
    report = target.put(f"a.jsonl.{kind}", "b.jsonl")
    assert report.exit_code == 7
    assert [one.source for one in report.plan.damaged] == [f"a.jsonl.{kind}"]
    assert target.texts(other) == ABC
    there = target.texts(session)
    assert there == texts[: len(there)]
    Path(f"a.jsonl.{kind}").write_bytes(packed)
    assert target.put(f"a.jsonl.{kind}", "b.jsonl").exit_code == 0
    assert target.texts(session) == texts


def test_a_parquet_file_with_other_columns(target: Target, tmp_path: Path) -> None:
    """Exit 2 or 7 with the columns that are missing, and nothing of it is written."""
    pq.write_table(pa.table({"user": ["a"], "text": ["b"]}), "a.parquet")
    done = convex_msgs("import", "a.parquet", "--to", f"@{target.sandbox.env_file}", cwd=tmp_path)
    assert done.code in (2, 7)
    assert "a.parquet" in done.err
    assert "sessionId" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("a.parquet", b"no parquet at all", 7, "a.parquet"),
        ("a.zip", b"PK\x03\x04 no zip", 7, "a.zip"),
        ("a.jsonl.gz", b"no gzip", 7, "a.jsonl.gz"),
        ("a.jsonl.zst", b"no zstd", 7, "a.jsonl.zst"),
        ("a.csv", b"a,b", 2, "a.csv"),
        ("a.md", b"# a", 2, "a.md"),
    ],
)
def test_files_that_are_something_else(
    target: Target, tmp_path: Path, name: str, content: bytes, code: int, said: str
) -> None:
    """Bytes that are not what the name says are damage (7), a format that cannot be read is a mistake (2)."""
    Path(name).write_bytes(content)
    done = convex_msgs("import", name, "--to", f"@{target.sandbox.env_file}", cwd=tmp_path)
    assert done.code == code, done.err
    assert said in done.err
    assert f"[exit {code}]" in done.err
    assert "Traceback" not in done.err


def test_damage_does_not_keep_other_files_out(target: Target) -> None:
    """Several sources, of which one is nothing: the others go in, and the code is 7."""
    for number, name in enumerate(("a.parquet", "a.zip", "a.jsonl.gz")):
        session = new_session(str(number))
        Path(name).write_bytes(b"nothing")
        report = target.put(name, write(Path("b.jsonl"), history(session, ABC)))
        assert (report.exit_code, len(report.plan.damaged)) == (7, 1)
        assert target.texts(session) == ABC


def test_an_empty_file_is_nothing_to_do(target: Target) -> None:
    """No records: exit 0, nothing written; an empty compressed file, too."""
    Path("a.jsonl").touch()
    Path("b.jsonl.gz").write_bytes(gzip.compress(b""))
    report = target.put("a.jsonl", "b.jsonl.gz")
    assert (report.exit_code, report.plan.sessions, report.sent_rows) == (0, 0, 0)


def test_a_folder_in_place_of_a_file(target: Target) -> None:
    """A folder that is no export, a missing file and no source at all are mistakes: exit 2, nothing written."""
    Path("a.jsonl").mkdir()
    session = new_session()
    write(Path("b.jsonl"), history(session, ABC))
    for sources, said in ((("b.jsonl", "a.jsonl"), "a.jsonl"), (("b.jsonl", "c.jsonl"), "c.jsonl"), ((), "nothing")):
        with pytest.raises(cm.UsageError, match=said):
            target.put(*sources)
    assert target.texts(session) == []


@pytest.mark.parametrize("name", ["long" * 2500, "nul\x00inside", "line\nend", "\u202eevil", "", " ", "ä" * 500])
def test_odd_session_ids_are_ids(target: Target, name: str) -> None:
    """10,000 characters, NUL, line ends, direction marks, nothing at all: imported, extended, compared."""
    session = name if name in ("", " ") else name + new_session()
    source = write(Path("a.jsonl"), history(session, ABC))
    assert target.put(source).sent_rows == 3
    assert target.texts(session) == ABC
    longer = write(Path("b.jsonl"), history(session, [*ABC, "d"]))
    assert target.put(longer, sessions=[session]).plan.extend == 1
    assert target.put(longer).sent_rows == 0
    assert target.texts(session) == [*ABC, "d"]


def test_hostile_ids_do_not_reach_the_terminal(target: Target, tmp_path: Path) -> None:
    """Control characters of ids, file names and rules are escaped in the plan."""
    session = f"\x1b[31m{new_session()}\n"
    target.append(session, "x")
    write(Path("a\x1b[1m.jsonl"), history(session, ABC))
    done = convex_msgs("import", "a\x1b[1m.jsonl", "--to", f"@{target.sandbox.env_file}", cwd=tmp_path)
    assert done.code == 3
    assert "\x1b" not in done.err
    assert "\\x1b[31m" in done.err


def test_an_archive_bomb_is_bounded(target: Target, tmp_path: Path) -> None:
    """More comes out of a small file than may: exit 2 says how to go on, nothing was written."""
    session = new_session()
    line = json.dumps(row(session, "x" * 100_000)).encode() + b"\n"
    Path("a.jsonl.gz").write_bytes(gzip.compress(line * 200))
    flags = ("--to", f"@{target.sandbox.env_file}", "--max-unpacked", "5MB")
    done = convex_msgs("import", "a.jsonl.gz", *flags, cwd=tmp_path)
    assert done.code == 2, done.err
    assert "a.jsonl.gz holds more than 5.0 MB unpacked" in done.err
    assert "unpack it first" in done.err
    assert target.texts(session) == []


def test_many_bad_records_are_one_line_each(target: Target) -> None:
    """Thousands of unreadable lines: all in the file, counted, and the good sessions in between are imported."""
    sessions = [new_session(str(number)) for number in range(3)]
    rows: list[Any] = []
    for session in sessions:
        rows += [b"{"] * 1500 + history(session, ABC)
    report = target.put(write(Path("a.jsonl"), rows))
    assert (report.bad_rows, report.held_rows, report.exit_code) == (4500, 0, 3)
    assert len(lines(report.quarantine)) == 4500
    assert [target.texts(session) for session in sessions] == [ABC] * 3


def test_a_torn_line_full_of_escapes_is_read_once(target: Target) -> None:
    """Looking for the session of a torn line of megabytes takes no time that grows with its square."""
    session = new_session()
    torn = json.dumps({"message": message('"' * 300_000), "sessionId": session}).encode()
    report = target.put(write(Path("a.jsonl"), [row(session, "a"), torn[: len(torn) // 2], row(session, "b")]))
    assert (report.bad_rows, report.held_rows) == (1, 1)
