"""``validate``: bad input of every kind ends in a clear line and the right exit code, and never hides good records."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import sync_tool as cm
from running import ROOT, Done, Sandbox, convex_msgs
from sync_tool.encoding.canonical import dumps
from sync_tool.files import bytes as unpacking
from sync_tool.files import lines
from sync_tool.files.lines import read_records

SAMPLE = ROOT / "sample_data" / "messages.jsonl"
GOOD = b'{"message":{"data":{"content":"Hi"},"type":"human"},"sessionId":"good"}'
DEEP = b'{"message":{"data":{"additional_kwargs":{"a":[%s]},"content":""},"type":"human"},"sessionId":"bad"}'
LONG = 50_000_000


def report_of(folder: Path, *arguments: str, stdin: bytes = b"") -> tuple[int, dict[str, Any]]:
    """Run `validate --json`; return exit code and report."""
    done = convex_msgs("validate", *arguments, "--json", cwd=folder, stdin=stdin)
    assert "Traceback" not in done.err, done.err
    return done.code, json.loads(done.out)


def found(report: cm.ValidationReport) -> list[tuple[int, str]]:
    """Return line and rule of each listed fault."""
    return [(record.place.line, fault.rule) for record in report.records for fault in record.faults]


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (GOOD[:-3], "not-json"),
        (b"\xef\xbb\xbf" + GOOD, "byte-order-mark"),
        (GOOD[:-1] + b"\0}", "not-json"),
        (DEEP % b'"\0"', "not-json"),
        (DEEP % b'"\xff"', "not-utf8"),
        (DEEP % b'"\\udc00"', "lone-surrogate"),
        (DEEP % b'{"a":1,"a":2}', "duplicate-key"),
        (DEEP % b'{"__proto__":1}', "proto-key"),
        (DEEP % b"NaN", "not-json"),
        (DEEP % b"-Infinity", "not-json"),
        (DEEP % b"1e309", "number-range"),
        (DEEP % (b"9" * 5000), "number-range"),
        (DEEP % (b"[" * 50_000 + b"]" * 50_000), "too-deep"),
        (b"null", "not-object"),
        (GOOD + GOOD, "not-json"),
        (b"PK\x03\x04 not a line of text", "not-json"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_checked(tmp_path: Path, bad: bytes, rule: str) -> None:
    """The line and the rule; the good records before and after it count as good."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([GOOD, bad, GOOD, b""]))
    report = cm.validate(path)
    assert found(report) == [(2, rule)]
    assert (report.rows, report.bad_rows, report.exit_code) == (3, 1, 3)


def test_line_ends_and_empty_lines_are_no_faults(tmp_path: Path) -> None:
    """CRLF, blank lines, no line end at the end of the file."""
    (tmp_path / "a.jsonl").write_bytes(GOOD + b"\r\n\r\n  \n" + GOOD)
    report = cm.validate(tmp_path / "a.jsonl")
    assert (report.rows, report.bad_rows, report.sessions, report.exit_code) == (2, 0, 1, 0)


def test_a_byte_order_mark_is_one_fault_of_the_first_line(tmp_path: Path) -> None:
    """Records after it are checked all the same."""
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + GOOD + b"\n" + GOOD)
    assert found(cm.validate(tmp_path / "a.jsonl")) == [(1, "byte-order-mark")]


@pytest.mark.parametrize("stdin", [False, True])
def test_one_id_of_two_rows_is_a_fault_as_readers_refuse_it(tmp_path: Path, *, stdin: bool) -> None:
    """A row that was read again after its session id was edited is a fault; a plain repetition is none."""
    message = {"type": "human", "data": {"content": "Hi"}}
    rows = [("x1", "s"), ("x2", "s"), ("x1", "moved"), ("x2", "s")]
    lines_ = b"".join(dumps({"_id": name, "sessionId": session, "message": message}) + b"\n" for name, session in rows)
    (tmp_path / "a.jsonl").write_bytes(lines_)
    code, report = report_of(tmp_path, "-" if stdin else "a.jsonl", stdin=lines_)
    assert (code, report["rows"], report["bad_rows"]) == (3, 4, 1)
    (bad,) = report["records"]
    assert (bad["place"]["line"], [fault["rule"] for fault in bad["faults"]]) == (3, ["duplicate-id"])


def test_numbers_beyond_float64s_digits_are_a_warning(tmp_path: Path) -> None:
    """2^53 + 1 and 2^63 + 1 are rounded when they are read: said, but no fault."""
    (tmp_path / "a.jsonl").write_bytes(DEEP % b"9007199254740993,9223372036854775809")
    report = cm.validate(tmp_path / "a.jsonl")
    assert [(count.rule, count.faults) for count in report.warnings] == [("number-rounded", 2)]
    assert report.exit_code == 0


def test_a_line_of_50_mb_is_passed_over_in_bounded_memory() -> None:
    """It is a fault with its length; the lines around it are read, and it is never held."""
    stream = io.BufferedReader(_Long())
    tracemalloc.start()
    read = list(read_records(stream))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(record.line, record.raw) for record in read] == [(1, GOOD), (2, b""), (3, GOOD)]
    assert read[1].fault is not None
    assert (read[1].fault.rule, read[1].fault.detail) == ("line-too-long", f"{LONG + 1:,} bytes")
    assert peak < 3 * lines.MAX_LINE_BYTES


class _Long(io.RawIOBase):
    """A good line, one of 50 MB, and a good one."""

    def __init__(self) -> None:
        self._parts = [GOOD + b"\n", *[b"x" * 1_000_000] * (LONG // 1_000_000), b"\n" + GOOD]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._parts:
            return 0
        part = self._parts.pop(0)
        if len(part) > len(buffer):
            self._parts.insert(0, part[len(buffer) :])
        part = part[: len(buffer)]
        buffer[: len(part)] = part
        return len(part)


def test_a_session_id_of_10000_characters_is_good_and_shortened_where_it_is_shown(tmp_path: Path) -> None:
    """Convex holds it; a line about it stays readable, and its control characters do no harm."""
    session = "\x1b[31m" + "x" * 10_000
    good = {"sessionId": session, "message": {"type": "human", "data": {"content": ""}}}
    bad = {"sessionId": session, "message": {"type": "human", "data": {"content": None}}}
    (tmp_path / "a.jsonl").write_bytes(dumps(good) + b"\n" + dumps(bad))
    done = convex_msgs("validate", "a.jsonl", cwd=tmp_path)
    assert done.code == 3
    assert b"\x1b" not in done.out
    assert max(map(len, done.out.splitlines())) < 300
    assert cm.validate(tmp_path / "a.jsonl").records[0].place.session == session


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_that_was_cut_is_exit_7_and_the_rest_is_checked(tmp_path: Path, suffix: str) -> None:
    """The damaged file is named, what could be read of it counts, and the other file is read to its end."""
    data = SAMPLE.read_bytes()
    whole = gzip.compress(data) if suffix == ".gz" else zstandard.ZstdCompressor().compress(data)
    (tmp_path / f"cut.jsonl{suffix}").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    code, report = report_of(tmp_path, f"cut.jsonl{suffix}", "good.jsonl")
    assert code == report["exit_code"] == 7
    assert [damaged["source"] for damaged in report["damaged"]] == [f"cut.jsonl{suffix}"]
    assert report["rows"] > 100
    done = convex_msgs("validate", f"cut.jsonl{suffix}", cwd=tmp_path)
    assert done.code == 7
    assert f"damaged: cut.jsonl{suffix} is damaged".encode() in done.out


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--max-unpacked bounds it; without it 4 GiB or 200 times the file's size, whichever is more. Exit 2."""
    bomb = gzip.compress(b"\n" * 3_000_000)
    (tmp_path / "a.jsonl.gz").write_bytes(bomb)
    done = convex_msgs("validate", "a.jsonl.gz", "--max-unpacked", "1MB", cwd=tmp_path)
    assert done.code == 2
    assert "holds more than 1.0 MB unpacked" in done.err
    assert (unpacking.ALWAYS, unpacking.TIMES) == (1 << 32, 200)
    assert cm.validate(tmp_path / "a.jsonl.gz").rows == 0
    monkeypatch.setattr(unpacking, "ALWAYS", 1000)
    with pytest.raises(cm.UsageError, match="unpacked"):
        cm.validate(tmp_path / "a.jsonl.gz")
    with pytest.raises(cm.UsageError, match="unpacked"):
        list(cm.open(tmp_path / "a.jsonl.gz").messages())


def assert_usage(done: Done, *said: str) -> None:
    """Asked wrongly: exit 2, one error, these words."""
    assert done.code == 2, done.err
    assert done.out == b""
    assert "Traceback" not in done.err
    assert all(words in done.err for words in said), done.err


def test_what_cannot_be_validated_is_exit_2(tmp_path: Path) -> None:
    """No such file, a folder of no export, a transcript, an unknown suffix: said before anything is read."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.csv").touch()
    for name, said in (
        ("nope", "no file or folder 'nope'"),
        ("a.jsonl", "no such file"),
        ("folder", "folder"),
        ("a.md", "transcript"),
        ("a.csv", "format"),
    ):
        assert_usage(convex_msgs("validate", name, cwd=tmp_path), said)
    assert_usage(convex_msgs("validate", "a.jsonl", "--level", "seed", cwd=tmp_path), "documented")
    assert_usage(convex_msgs("validate", cwd=tmp_path), "key")


def test_parquet_of_others_is_exit_2_and_damaged_parquet_exit_7(tmp_path: Path) -> None:
    """Other columns are said; a file that is not Parquet at all is damaged, and so is an empty one."""
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    assert_usage(convex_msgs("validate", "other.parquet", cwd=tmp_path), "column '_id' is missing")
    (tmp_path / "empty.parquet").touch()
    (tmp_path / "text.parquet").write_text("not Parquet at all")
    report = cm.validate(tmp_path / "empty.parquet", tmp_path / "text.parquet")
    assert (len(report.damaged), report.exit_code) == (2, 7)


def test_an_empty_file_holds_no_record(tmp_path: Path) -> None:
    """No fault either: exit 0, and it is said."""
    (tmp_path / "a.jsonl").touch()
    done = convex_msgs("validate", "a.jsonl", cwd=tmp_path)
    assert done.code == 0
    assert b"no record was found" in done.out


def test_every_format_gives_the_same_verdicts(tmp_path: Path, sandbox: Sandbox) -> None:
    """JSONL, compressed, Parquet, zip, a folder of an export, standard input, and the deployment itself."""
    env = {"CONVEX_MSGS_ENV_FILE": str(sandbox.env_file)}
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.zip", "month/"):
        extra = ["--partition-by", "month"] if name.endswith("/") else []
        done = convex_msgs("export", "-o", name, *extra, "-q", cwd=tmp_path, env=env)
        assert done.code == 0, done.err
    counted: set[str] = set()
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.zip", "month/"):
        code, report = report_of(tmp_path, name, "--level", "loadable", "--max-errors", "0")
        assert (code, report["rows"], report["sessions"]) == (3, 2407, 48)
        counted.add(json.dumps([(count["rule"], count["records"]) for count in report["faults"]]))
    code, report = report_of(tmp_path, "-", "--level", "loadable", stdin=(tmp_path / "a.jsonl").read_bytes())
    counted.add(json.dumps([(count["rule"], count["records"]) for count in report["faults"]]))
    live = convex_msgs("validate", "--level", "loadable", "--json", cwd=tmp_path, env=env)
    counted.add(json.dumps([(count["rule"], count["records"]) for count in json.loads(live.out)["faults"]]))
    assert (code, live.code, len(counted)) == (3, 3, 1)


def test_a_bad_row_of_parquet_is_one_fault(tmp_path: Path) -> None:
    """`extra` that is no JSON makes one row unreadable; the others are checked."""
    (tmp_path / "a.jsonl").write_bytes(GOOD + b"\n" + GOOD)
    cm.export(cm.open(tmp_path / "a.jsonl"), tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    place = table.schema.get_field_index("extra")
    pq.write_table(table.set_column(place, "extra", pa.array(["{", None])), tmp_path / "b.parquet")
    assert found(cm.validate(tmp_path / "b.parquet")) == [(1, "unreadable")]


def test_the_human_report_names_file_line_path_rule_and_level(tmp_path: Path) -> None:
    """A line a fault, a line a rule with its count and an example, then the sum."""
    bad = GOOD.replace(b'"content":"Hi"', b'"content":"Hi","id":"x"')
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([GOOD, bad, bad, bad]))
    done = convex_msgs("validate", "a.jsonl", "--level", "documented", "--max-errors", "2", cwd=tmp_path)
    lines = done.out.decode().splitlines()
    assert done.code == 3
    assert lines[0] == (
        "a.jsonl:2 (good)  $.message.data.id  langchain-field: data has the four documented fields only; "
        "passes at langchain, loadable"
    )
    assert lines[1].startswith("a.jsonl:3 ")
    assert "1 bad record more" in lines[2]
    assert "langchain-field" in lines[3]
    assert "3 records" in lines[3]
    assert "a.jsonl:2" in lines[3]
    assert lines[4].startswith("4 records, 1 session at level documented: 3 bad records, in ")
    assert len(lines) == 5
    quiet = convex_msgs("validate", "a.jsonl", "--level", "documented", "-q", cwd=tmp_path)
    assert (quiet.code, len(quiet.out.splitlines()), quiet.err) == (3, 1, "")
    assert convex_msgs("validate", "a.jsonl", "-q", cwd=tmp_path) == Done(0, b"", "")


def test_a_selection_limits_what_is_checked(tmp_path: Path, sandbox: Sandbox) -> None:
    """Of a file and of a deployment alike; an id that is not there is exit 2 with the nearest ones."""
    chosen = cm.validate(SAMPLE, sessions=["cust-42"])
    live = cm.validate(cm.connect(env_file=sandbox.env_file), sessions=["cust-42"])
    assert chosen.rows == live.rows == 412
    assert cm.validate(SAMPLE, match=["cust-4*"], after="2026-08-01").rows == 412
    done = convex_msgs("validate", str(SAMPLE), "-s", "cust42", cwd=tmp_path)
    assert_usage(done, "no session 'cust42'")
    assert_usage(convex_msgs("validate", str(SAMPLE), "--active-after", "7d", cwd=tmp_path), "--active-after")


def test_a_selection_never_hides_what_cannot_be_read(tmp_path: Path) -> None:
    """A line whose session nobody knows might be one of them."""
    (tmp_path / "a.jsonl").write_bytes(GOOD + b"\n{")
    assert found(cm.validate(tmp_path / "a.jsonl", sessions=["good"])) == [(2, "not-json")]


def test_the_library_refuses_what_the_command_line_refuses(tmp_path: Path) -> None:
    """No source, no such level, no such language."""
    for call in (
        cm.validate,
        lambda: cm.validate(SAMPLE, level="seed"),  # type: ignore[arg-type]
        lambda: cm.validate(SAMPLE, language="go"),  # type: ignore[arg-type]
    ):
        with pytest.raises(cm.UsageError):
            call()


def test_opened_files_and_deployments_are_sources_too(tmp_path: Path, sandbox: Sandbox) -> None:
    """The result of `open` is checked line by line, as its path would be; and so is an address."""
    (tmp_path / "a.jsonl").write_bytes(GOOD + b"\n{")
    with cm.open(tmp_path / "a.jsonl") as saved:
        assert found(cm.validate(saved)) == [(2, "not-json")]
    report = cm.validate(f"@{sandbox.env_file}", sessions=["cust-88"])
    assert (report.rows, report.exit_code) == (5, 0)


def test_a_named_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """`-` takes what another program writes, line by line, without a file of its size."""
    code, report = report_of(tmp_path, "-", stdin=(GOOD + b"\n") * 2500 + b"{")
    assert (code, report["rows"], report["bad_rows"], report["sources"]) == (3, 2501, 1, ["stdin"])
    assert report["records"][0]["place"]["line"] == 2501
    assert list(tmp_path.iterdir()) == []
