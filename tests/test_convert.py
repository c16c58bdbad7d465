"""Converting files: every format into every other, several inputs as one history, folders, standard input."""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
import zipfile
from itertools import product
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sync_tool as cm
from running import ROOT, Done, Sandbox, clean_environment, convex_msgs
from sync_tool.commands.export.export import STDOUT
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.errors import Damaged, UsageError
from sync_tool.files.folder import JOURNAL, MANIFEST
from sync_tool.files.source import StandardInput
from values import DOCUMENTS, same
from zips import snapshot

SAMPLE = ROOT / "sample_data" / "messages.jsonl"
LINES = SAMPLE.read_bytes().splitlines()
READABLE = ("jsonl", "jsonl.zst", "jsonl.gz", "parquet", "zip")


def line(name: str, text: str = "", session: str = "s", time: float = 1.0) -> bytes:
    """Return a row in canonical spelling."""
    return dumps({"_id": name, "_creationTime": time, "sessionId": session, "message": {"type": "human", "text": text}})


def write(path: Path, *lines: bytes) -> Path:
    """Write lines into a file and return its path."""
    path.write_bytes(b"".join(each + b"\n" for each in lines))
    return path


@pytest.fixture(scope="module")
def every_format(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample data in every format that can be read back."""
    folder = tmp_path_factory.mktemp("formats")
    for suffix in READABLE:
        cm.convert(SAMPLE, folder / f"a.{suffix}")
    return folder


@pytest.mark.parametrize(("source", "target"), list(product(READABLE, ("jsonl", "parquet", "zip"))))
def test_every_format_into_every_other(tmp_path: Path, every_format: Path, source: str, target: str) -> None:
    """The same rows byte for byte, whichever way they went."""
    report = cm.convert(every_format / f"a.{source}", tmp_path / f"b.{target}")
    assert (report.rows, report.sessions, report.repeated) == (len(LINES), 48, 0)
    assert [row.raw for row in cm.open(tmp_path / f"b.{target}").messages()] == LINES


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    documents=st.lists(DOCUMENTS, min_size=1, max_size=5, unique_by=lambda document: document.get("_id", id(document)))
)
def test_a_way_round_all_formats_changes_no_byte(tmp_path: Path, documents: list[dict[str, object]]) -> None:
    """JSONL to zip to Parquet to compressed JSONL to JSONL, whatever the rows hold."""
    cm.convert(write(tmp_path / "a.jsonl", *map(dumps, documents)), tmp_path / "b.jsonl", overwrite=True)
    last = tmp_path / "b.jsonl"
    for suffix in ("zip", "parquet", "jsonl.zst", "jsonl"):
        cm.convert(last, tmp_path / f"c.{suffix}", overwrite=True)
        last = tmp_path / f"c.{suffix}"
    assert last.read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert sorted(last.read_bytes().splitlines()) == sorted(map(dumps, documents))


def test_what_a_deployment_exports_is_what_files_become(tmp_path: Path, sandbox: Sandbox) -> None:
    """A zip from the deployment and a zip from its JSONL are the same file."""
    with cm.connect(sandbox.url, key=sandbox.key) as deployment:
        cm.export(deployment, tmp_path / "a.zip")
        cm.export(deployment, tmp_path / "a.jsonl")
    cm.convert(tmp_path / "a.jsonl", tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chance=st.randoms(use_true_random=False))
def test_several_inputs_become_one_history(tmp_path: Path, chance: Random) -> None:
    """However rows are spread over files, some in several, in any order: each counts once, in session order."""
    places = [chance.choice([(), (0,), (1,), (0, 1), (1, 2), (0, 1, 2)]) for _ in range(200)]
    files = []
    for number in range(3):
        mine = [each for each, where in zip(LINES, places, strict=False) if number in where]
        chance.shuffle(mine)
        files.append(write(tmp_path / f"{number}.jsonl", *mine))
    report = cm.convert(files, tmp_path / "all.jsonl", overwrite=True)
    expected = [each for each, where in zip(LINES, places, strict=False) if where]
    assert (tmp_path / "all.jsonl").read_bytes().splitlines() == expected
    assert (report.rows, report.repeated) == (len(expected), sum(map(len, places)) - len(expected))


def test_equal_rows_count_once_also_in_one_file(tmp_path: Path) -> None:
    """Equal in _id and content; rows without an _id are all kept."""
    bare = dumps({"sessionId": "s", "_creationTime": 3.0})
    write(tmp_path / "a.jsonl", line("a"), line("b"), line("a"), bare, bare)
    report = cm.convert(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert (tmp_path / "b.jsonl").read_bytes().splitlines() == [line("a"), line("b"), bare, bare]
    assert report.repeated == 1


@pytest.mark.parametrize("other", [line("b", "changed"), line("b", session="t"), line("b", time=9.0)])
@pytest.mark.parametrize("output", ["out.jsonl", "out/"])
def test_one_id_with_two_contents_names_both_places(tmp_path: Path, other: bytes, output: str) -> None:
    """Nothing is written, and both rows are named with their file and number."""
    write(tmp_path / "one.jsonl", line("a"), line("b"))
    write(tmp_path / "two.jsonl", line("c"), line("d"), other)
    with pytest.raises(Damaged, match=r"'b'.*one\.jsonl, row 2 .*two\.jsonl, row 3"):
        cm.convert([tmp_path / "one.jsonl", tmp_path / "two.jsonl"], f"{tmp_path}/{output}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.jsonl", "two.jsonl"]


def test_inputs_that_call_their_fields_differently_are_refused(tmp_path: Path) -> None:
    """Their rows would not be of one table."""
    cm.convert(SAMPLE, tmp_path / "a.parquet", names=cm.Names(session_field="userId"))
    with pytest.raises(UsageError, match=r"a\.parquet and messages\.jsonl"):
        cm.convert([tmp_path / "a.parquet", SAMPLE], tmp_path / "b.jsonl")


@pytest.mark.parametrize("by", ["none", "session", "month"])
@pytest.mark.parametrize("kind", ["jsonl.zst", "parquet"])
def test_a_folder_is_an_input(tmp_path: Path, by: str, kind: str) -> None:
    """A folder that export wrote comes back byte for byte, in each format."""
    cm.convert(SAMPLE, f"{tmp_path}/history/", partition_by=by, format=kind)  # type: ignore[arg-type]
    found = cm.open(tmp_path / "history")
    assert (found.title, found.count()) == ("history/", len(LINES))
    report = cm.convert(found, tmp_path / "b.jsonl")
    assert (tmp_path / "b.jsonl").read_bytes() == SAMPLE.read_bytes()
    assert report.inputs == ("history/",)


def test_a_folder_keeps_the_names_of_its_table(tmp_path: Path) -> None:
    """The manifest says what the fields are called."""
    names = cm.Names("chats", "byUser", "userId", "msg")
    row = dumps({"_id": "x", "_creationTime": 5.0, "userId": "u1", "msg": {"type": "human", "data": {"content": "a"}}})
    cm.convert(write(tmp_path / "a.jsonl", row), f"{tmp_path}/out/", names=names, format="jsonl")
    assert [found.text for found in cm.open(tmp_path / "out").messages(session="u1")] == ["a"]


def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    """Unfinished, a part missing, longer or shorter, a path outside, no export, transcripts, another version."""
    folder = tmp_path / "out"
    cm.convert(SAMPLE, f"{folder}/", partition_by="month", format="jsonl")
    manifest = json.loads((folder / MANIFEST).read_bytes())
    part = folder / manifest["parts"][0]["path"]
    with part.open("ab") as file:
        file.write(b"\n")
    with pytest.raises(Damaged, match=r"part-0\.jsonl .*manifest\.json"):
        cm.open(folder)
    part.unlink()
    with pytest.raises(Damaged, match=r"part-0\.jsonl"):
        cm.open(folder)
    for changed, error, said in (
        ({"parts": [{**manifest["parts"][0], "path": "../x.jsonl"}]}, Damaged, "names a file outside the folder"),
        ({"parts": [{}]}, Damaged, "not a manifest of this tool"),
        ({"names": 1}, Damaged, "not a manifest of this tool"),
        ({"format": 2}, UsageError, "newer version"),
        ({"complete": False}, UsageError, "no export of this tool"),
    ):
        (folder / MANIFEST).write_text(json.dumps({**manifest, **changed}))
        with pytest.raises(error, match=said):
            cm.open(folder)
    (folder / MANIFEST).write_text("{")
    with pytest.raises(Damaged):
        cm.open(folder)
    (folder / MANIFEST).rename(folder / JOURNAL)
    with pytest.raises(UsageError, match="an export that was not finished"):
        cm.open(folder)
    (folder / JOURNAL).unlink()
    with pytest.raises(UsageError, match=r"manifest\.json"):
        cm.open(folder)


def test_a_folder_of_transcripts_is_refused(tmp_path: Path) -> None:
    """Markdown cannot be read back."""
    cm.convert(SAMPLE, f"{tmp_path}/out/", partition_by="session", format="md", match=["cust-*"])
    with pytest.raises(UsageError, match="a transcript cannot be read back"):
        cm.convert(tmp_path / "out", tmp_path / "b.jsonl")


def test_selection_and_partition_are_those_of_export(tmp_path: Path) -> None:
    """The same keywords give the same rows, the same files, the same errors."""
    for name, selection in (
        ("a", {"match": ["cust-*"]}),
        ("b", {"after": "2026-08-01"}),
        ("c", {"active_after": "2026-08-20"}),
    ):
        cm.export(cm.open(SAMPLE), tmp_path / f"{name}1.jsonl", **selection)  # type: ignore[arg-type]
        cm.convert(SAMPLE, tmp_path / f"{name}2.jsonl", **selection)  # type: ignore[arg-type]
        assert (tmp_path / f"{name}1.jsonl").read_bytes() == (tmp_path / f"{name}2.jsonl").read_bytes()
    with pytest.raises(UsageError, match="'cust-4'"):
        cm.convert(SAMPLE, tmp_path / "d.jsonl", sessions=["cust42"])


def test_an_input_is_never_written_over(tmp_path: Path) -> None:
    """With or without leave to overwrite, under whatever name."""
    path = write(tmp_path / "a.jsonl", line("a"))
    (tmp_path / "link.jsonl").symlink_to(path)
    for name in ("a.jsonl", "link.jsonl", "../" + tmp_path.name + "/a.jsonl"):
        with pytest.raises(UsageError, match="input and output at once"):
            cm.convert(path, tmp_path / name, overwrite=True)
    assert path.read_bytes() == line("a") + b"\n"


def test_a_deployment_is_no_input(tmp_path: Path, sandbox: Sandbox) -> None:
    """An address or an open deployment: `export` is named."""
    for given_address in (sandbox.url, f"@{sandbox.env_file}", cm.connect(sandbox.url, key=sandbox.key)):
        with pytest.raises(UsageError, match="deployment"):
            cm.convert(given_address, tmp_path / "a.jsonl")
    with pytest.raises(UsageError, match="no input"):
        cm.convert([], tmp_path / "a.jsonl")
    with pytest.raises(UsageError, match="only once"):
        cm.convert([STDOUT, STDOUT], tmp_path / "a.jsonl")


def run(folder: Path, *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Done:
    """Run `convert` in a folder."""
    return convex_msgs("convert", *arguments, cwd=folder, stdin=stdin, env=env)


def test_standard_input_to_standard_output(tmp_path: Path) -> None:
    """- reads JSONL in any order, without -o the rows go on; a report on stderr, nothing left behind."""
    spool = tmp_path / "tmp"
    spool.mkdir()
    env = {"TMPDIR": str(spool), "SQLITE_TMPDIR": str(spool)}
    done = run(tmp_path, "-", stdin=b"\n".join(reversed(LINES)), env=env)
    assert (done.code, done.out) == (0, SAMPLE.read_bytes())
    assert "stdin: the rows are not in order; sorting them takes up to about 3.0 MB" in done.err
    assert "2,407 messages, 48 sessions -> stdout in " in done.err
    assert list(spool.iterdir()) == []
    done = run(tmp_path, "-", "-f", "zip", "-q", stdin=SAMPLE.read_bytes())
    (tmp_path / "a.zip").write_bytes(done.out)
    assert [row.raw for row in cm.open(tmp_path / "a.zip").messages()] == LINES
    assert run(tmp_path, str(SAMPLE), "-o", "b.zip").code == 0
    assert (tmp_path / "b.zip").read_bytes() == done.out


def test_zip_onto_a_file_that_is_appended_to(tmp_path: Path) -> None:
    """Redirected with >> the zip is whole: the writer never goes back."""
    script = f"head -c 0 /dev/null > a.zip; '{sys.executable}' -m sync_tool convert '{SAMPLE}' -f zip -q >> a.zip"
    subprocess.run(["sh", "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=True)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "zip", "md"])
def test_the_command_writes_files(tmp_path: Path, suffix: str) -> None:
    """One closing line; existing output is kept unless told otherwise; --json is the report."""
    done = run(tmp_path, str(SAMPLE), "-s", "cust-88", "-o", f"a.{suffix}")
    assert done.code == 0
    assert f"5 messages, 1 session -> a.{suffix} (" in done.err
    assert run(tmp_path, str(SAMPLE), "-o", f"a.{suffix}").code == 2
    done = run(tmp_path, str(SAMPLE), "-o", f"a.{suffix}", "--overwrite", "--json")
    report = json.loads(done.out)
    assert (report["rows"], report["repeated"], report["inputs"]) == (2407, 0, [str(SAMPLE)])
    assert report["files"][0]["path"] == f"a.{suffix}"


def test_the_command_merges_and_partitions(tmp_path: Path) -> None:
    """Several inputs, a folder out, the folder in again; what stood there twice is counted."""
    assert run(tmp_path, str(SAMPLE), "-o", "a.zip", "--match", "cust-*").code == 0
    done = run(tmp_path, "a.zip", str(SAMPLE), "--partition-by", "month", "-o", "history/")
    assert "2,407 messages -> history/ (8 files, " in done.err
    assert "649 rows repeated with equal _id and content, counted once." in done.err
    done = run(tmp_path, "history", "-o", "b.jsonl")
    assert (tmp_path / "b.jsonl").read_bytes() == SAMPLE.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("missing.zip", "-o", "b.jsonl"), 2, "no such file"),
        (("a.txt", "-o", "b.jsonl"), 2, "no file or folder 'a.txt'"),
        (("broken.zip", "-o", "b.jsonl"), 7, "broken.zip is not a zip file, or cut off"),
        (("bad.zip", "-o", "b.jsonl"), 7, "bad.zip, messages/documents.jsonl, line 2: "),
        (("bad.zip", "--table", "chats", "-o", "b.jsonl"), 2, "holds no table 'chats'"),
        (("bad.zip", "-o", "b.zip.gz"), 2, "zip is compressed inside"),
        (("twice.jsonl", "-o", "b.jsonl"), 7, "twice.jsonl, row 1 and twice.jsonl, row 2"),
        (("twice.jsonl", "-o", "twice.jsonl", "--overwrite"), 2, "input and output at once"),
        ((".", "-o", "b.jsonl"), 2, "has no manifest.json"),
        (("-o", "b.jsonl"), 2, "IN"),
        (("-", "-o", "b.jsonl"), 7, "stdin, line 1: "),
        (("deep.jsonl", "-o", "b.jsonl"), 7, "deep.jsonl, line 1: nested too deeply"),
    ],
)
def test_what_goes_wrong_is_one_error_with_its_code(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """A message that names the place, the documented exit code, and no file under the final name."""
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04")
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        for name, content in snapshot(b'{"_id":"a"}\n{"_id":\n').items():
            archive.writestr(name, content)
    write(tmp_path / "twice.jsonl", line("a"), line("a", "other"))
    write(tmp_path / "deep.jsonl", b"[" * 6000)
    done = run(tmp_path, *arguments, stdin=b"nothing")
    assert (done.code, done.out) == (code, b"")
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "b.jsonl").exists()


def test_a_terminal_is_no_input() -> None:
    """Nobody types rows: an error at once instead of a wait."""
    with pytest.raises(UsageError, match="standard input is a terminal"):
        StandardInput(stream=_Terminal())


class _Terminal(io.BytesIO):
    def isatty(self) -> bool:
        """Claim to be a terminal."""
        return True


def test_a_full_temporary_folder_is_said(tmp_path: Path) -> None:
    """Standard input that finds no room is exit 2 with what to do, and leaves no output."""
    command = [sys.executable, "-m", "sync_tool", "convert", "-", "-o", "a.jsonl"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=clean_environment({"PYTHONPATH": str(ROOT)}),
        input=SAMPLE.read_bytes(),
        capture_output=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, 16_384)),
    )
    assert done.returncode == 2
    assert b"cannot keep standard input in the temporary folder" in done.stderr
    assert b"TMPDIR=" in done.stderr
    assert list(tmp_path.iterdir()) == []


READ_WITH_CONVEX = """
import { convexToJson, jsonToConvex } from "convex/values";
import { readFileSync } from "node:fs";
for (const line of readFileSync(process.argv[1], "utf8").split("\\n")) {
  if (line) {
    const value = jsonToConvex(JSON.parse(line));
    console.log(JSON.stringify({ kinds: kinds(value), value: convexToJson(value) }));
  }
}
function kinds(value) {
  if (value instanceof ArrayBuffer) return "bytes";
  if (Array.isArray(value)) return value.map(kinds);
  if (value === null || typeof value !== "object") return value === null ? "null" : typeof value;
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, item]) => [name, kinds(item)]);
}
"""


def kinds(value: object) -> object:
    """Name the types of a value as the JavaScript above does."""
    if isinstance(value, dict):
        return [[name, kinds(value[name])] for name in sorted(value)]
    if isinstance(value, list):
        return [kinds(item) for item in value]
    names = {bytes: "bytes", int: "bigint", float: "number", bool: "boolean", str: "string"}
    return names.get(type(value), "null")


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=st.lists(DOCUMENTS, min_size=20, max_size=40))
def test_convexs_own_decoder_reads_the_jsonl(tmp_path: Path, documents: list[dict[str, object]]) -> None:
    """`jsonToConvex` of the npm package sees the same types and values in every line, after a way through a zip."""
    for number, document in enumerate(documents):
        document["_id"] = str(number)
    write(tmp_path / "a.jsonl", *map(dumps, documents))
    cm.convert(tmp_path / "a.jsonl", tmp_path / "a.zip", overwrite=True)
    cm.convert(tmp_path / "a.zip", tmp_path / "b.jsonl", overwrite=True)
    done = subprocess.run(
        ["node", "--input-type=module", "-e", READ_WITH_CONVEX, str(tmp_path / "b.jsonl")],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    found = [json.loads(each) for each in done.stdout.decode().split("\n") if each]
    rows = [loads(each) for each in (tmp_path / "b.jsonl").read_bytes().splitlines()]
    assert len(found) == len(rows) == len(documents)
    for row, seen in zip(rows, found, strict=True):
        assert seen["kinds"] == kinds(row)
        assert same(loads(json.dumps(seen["value"])), row)
