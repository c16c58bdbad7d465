"""An export into a folder: what its files hold, how they are called, and that finished ones are kept."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sync_tool as cm
from running import ROOT, Sandbox, convex_msgs
from sync_tool.commands.export import folder as partitions
from sync_tool.commands.export.export import export
from sync_tool.deployment import reading
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.errors import OutputError, UsageError
from sync_tool.files.folder import JOURNAL, MANIFEST, safe_name
from sync_tool.rows.batch import Page
from sync_tool.rows.reading import page_of_row
from values import VALUES

SAMPLE = ROOT / "sample_data" / "messages.jsonl"
LINES = SAMPLE.read_bytes().splitlines()


@pytest.fixture(params=["functions", "system", "file"])
def history(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[cm.History]:
    """The sample data, three ways; connected anew, so that pages have the size they begin with."""
    if request.param == "file":
        yield cm.open(SAMPLE)
    else:
        with cm.connect(sandbox.url, key=sandbox.key, via=request.param) as connected:
            yield connected


def manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest, having checked that every file is as it says."""
    found: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    for part in found["parts"]:
        content = (folder / part["path"]).read_bytes()
        assert (len(content), sha256(content).hexdigest()) == (part["bytes"], part["sha256"])
    listed = {part["path"] for part in found["parts"]} | {MANIFEST}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == listed
    return found


def lines_of(folder: Path, found: dict[str, Any]) -> list[bytes]:
    """Return the lines of all parts in their order."""
    return [line for part in found["parts"] for line in (folder / part["path"]).read_bytes().splitlines()]


def test_a_file_for_each_session(tmp_path: Path, history: cm.History) -> None:
    """All rows, each session in a file of its own, in the order of the index, with its id in the manifest."""
    report = export(history, tmp_path / "out", format="jsonl", partition_by="session")
    found = manifest(tmp_path / "out")
    assert lines_of(tmp_path / "out", found) == LINES
    assert (report.rows, report.sessions) == (len(LINES), len(found["parts"]))
    for part in found["parts"]:
        ids = {json.loads(line)["sessionId"] for line in (tmp_path / "out" / part["path"]).read_bytes().splitlines()}
        assert ids == {part["session"]}
    assert (tmp_path / "out/cust-42.jsonl").exists()


def test_a_file_for_each_month(tmp_path: Path, history: cm.History) -> None:
    """Hive-style folders that DuckDB and pandas know; every row in the month of its creation time."""
    export(history, tmp_path / "out", partition_by="month")
    found = manifest(tmp_path / "out")
    rows = 0
    for part in found["parts"]:
        assert part["path"] == f"month={part['label']}/part-0.parquet"
        for row in cm.open(tmp_path / "out" / part["path"]).messages():
            assert row.created_at is not None
            assert f"{row.created_at:%Y-%m}" == part["label"]
            rows += 1
    assert rows == len(LINES)
    assert [part["label"] for part in found["parts"]] == sorted(part["label"] for part in found["parts"])


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.zst", "parquet", "md"])
def test_parts_by_size(tmp_path: Path, history: cm.History, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a partition the rows are cut into parts of bounded size, numbered, and none is lost between them."""
    monkeypatch.setattr(partitions, "_ROWS_A_PART", 500)
    report = export(history, f"{tmp_path}/out/", format=kind)
    found = manifest(tmp_path / "out")
    assert report.rows == len(LINES)
    assert len(found["parts"]) > 1
    if kind != "md":
        rows = [row for part in found["parts"] for row in cm.open(tmp_path / "out" / part["path"]).messages()]
        assert [row.raw for row in rows] == LINES


@pytest.mark.parametrize("by", ["none", "session", "month"])
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stops=st.lists(st.integers(1, 600), min_size=1, max_size=4), data=st.data())
def test_finished_parts_are_kept(
    tmp_path_factory: pytest.TempPathFactory, history: cm.History, by: Any, stops: list[int], data: st.DataObject
) -> None:
    """Stopped anywhere, any number of times, the same call ends with the same folder, and keeps every finished part."""
    folder = tmp_path_factory.mktemp("out")
    kind = data.draw(st.sampled_from(["jsonl", "jsonl.gz"]))
    few = {"match": ["[clptv]*"]}
    expected = [row.raw for row in cm.open(SAMPLE).messages(match=few["match"])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "_ROWS_A_PART", 300)
        for stop in stops:
            finished = sorted(path for path in folder.rglob("*.jsonl*") if path.name != JOURNAL)
            before = {path: path.stat().st_mtime_ns for path in finished[: -1 if by == "month" else None]}
            try:
                export(_Stopping(history, stop), folder, format=kind, partition_by=by, **few)
            except _Stopped:
                assert not (folder / MANIFEST).exists()
                assert {path: path.stat().st_mtime_ns for path in before} == before
            else:
                break
        if not (folder / MANIFEST).exists():
            export(history, folder, format=kind, partition_by=by, **few)
    found = manifest(folder)
    rows = [row for part in found["parts"] for row in cm.open(folder / part["path"]).messages()]
    assert sorted(row.raw for row in rows) == sorted(expected)
    assert not (folder / JOURNAL).exists()


class _Stopped(Exception):
    pass


class _Stopping(cm.History):
    """A source that breaks after so many rows, as a crash would."""

    def __init__(self, source: cm.History, rows: int) -> None:
        super().__init__(source)
        self._left = rows

    def pages(self, *arguments: Any, **keywords: Any) -> Iterator[Page]:
        """Yield pages of a few rows, then break."""
        for page in super().pages(*arguments, **keywords):
            for row in page.rows:
                if self._left == 0:
                    raise _Stopped
                self._left -= 1
                yield page_of_row(row)


def test_a_part_that_was_taken_away_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished part that is missing or cut when the export goes on is made anew, and so is all behind it."""
    monkeypatch.setattr(partitions, "_ROWS_A_PART", 200)
    history = cm.open(SAMPLE)
    for damage in (Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])):
        folder = tmp_path / damage.__name__
        with pytest.raises(_Stopped):
            export(_Stopping(history, 1500), folder, format="jsonl", partition_by="none")
        damage(folder / "part-00002.jsonl")
        export(history, folder, format="jsonl", partition_by="none")
        assert lines_of(folder, manifest(folder)) == LINES


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    """While one export writes a folder another one gets an error, and nothing is written twice."""
    history = cm.open(SAMPLE)

    class Intruding(_Stopping):
        def pages(self, *arguments: Any, **keywords: Any) -> Iterator[Page]:
            for number, page in enumerate(super().pages(*arguments, **keywords)):
                if number == 700:
                    with pytest.raises(cm.Locked):
                        export(history, tmp_path, format="jsonl", partition_by="session")
                yield page

    export(Intruding(history, 10_000), tmp_path, format="jsonl", partition_by="session")
    assert lines_of(tmp_path, manifest(tmp_path)) == LINES


def test_another_export_does_not_go_on_there(tmp_path: Path) -> None:
    """A folder with an unfinished export of something else is refused and left as it is."""
    history = cm.open(SAMPLE)
    with pytest.raises(_Stopped):
        export(_Stopping(history, 50), tmp_path, format="jsonl", partition_by="session")
    there = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(OutputError):
        export(history, tmp_path, format="jsonl", partition_by="session", match=["cust-*"])
    assert sorted(path.name for path in tmp_path.iterdir()) == there


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    """Nothing is written among somebody's own files, with or without overwriting; a foreign manifest is one, too."""
    for name, content in (
        ("mine.txt", "x"),
        (MANIFEST, '{"parts":[{"path":"mine.txt"}]}'),
        (MANIFEST, '{"name":"pwa"}'),
    ):
        (tmp_path / name).write_text(content)
        for overwrite in (False, True):
            with pytest.raises(OutputError):
                export(cm.open(SAMPLE), tmp_path, partition_by="month", overwrite=overwrite)
        assert (tmp_path / "mine.txt").read_text() == "x"


def test_a_complete_export_is_replaced_only_by_a_complete_one(tmp_path: Path) -> None:
    """Exit 2 without --overwrite; with it the old export stays until the new one is whole, and then is gone."""
    history = cm.open(SAMPLE)
    folder = tmp_path / "out"
    export(history, folder, format="jsonl", partition_by="session")
    old = manifest(folder)
    with pytest.raises(OutputError):
        export(history, folder, format="jsonl", partition_by="session")
    with pytest.raises(UsageError, match="'nope'"):
        export(history, folder, partition_by="month", overwrite=True, sessions=["nope"])
    with pytest.raises(_Stopped):
        export(_Stopping(history, 300), folder, format="jsonl", overwrite=True)
    assert manifest(folder) == old
    (tmp_path / ".out.part" / JOURNAL).unlink()
    for path in (tmp_path / ".out.part").iterdir():
        path.unlink()
    export(history, folder, partition_by="month", overwrite=True, sessions=["cust-42"])
    assert [part["label"] for part in manifest(folder)["parts"]] == ["2026-08"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        export(history, folder, partition_by="month", overwrite=True)


def test_a_swap_that_was_cut_in_two_is_mended(tmp_path: Path) -> None:
    """Killed between the two renames of a replacement, the next run finds the old export again."""
    history = cm.open(SAMPLE)
    folder = tmp_path / "out"
    export(history, folder, partition_by="month", sessions=["cust-42"])
    folder.rename(tmp_path / ".out.old")
    with pytest.raises(OutputError):
        export(history, folder, partition_by="month", sessions=["cust-42"])
    manifest(folder)


def test_a_wrong_session_does_not_block_the_folder(tmp_path: Path, history: cm.History) -> None:
    """After a mistyped id the corrected command works in the same folder."""
    with pytest.raises(UsageError, match="'cust42'"):
        export(history, tmp_path / "out", partition_by="session", sessions=["cust42"])
    report = export(history, tmp_path / "out", partition_by="session", sessions=["cust-42"])
    assert report.rows == 412


def test_relative_times_go_on_as_they_began(tmp_path: Path) -> None:
    """`--after 400d` run again a little later is the same export; other words are another."""
    history = cm.open(SAMPLE)
    with pytest.raises(_Stopped):
        export(_Stopping(history, 300), tmp_path, format="jsonl", partition_by="session", after="400d")
    export(history, tmp_path, format="jsonl", partition_by="session", after="400d")
    assert manifest(tmp_path)["rows"] == len(lines_of(tmp_path, manifest(tmp_path)))


def test_sessions_that_are_no_strings_have_files_of_their_own(tmp_path: Path) -> None:
    """NaN, both zeros, true, null, missing, lists: each its file, none lost; a row of the year 9999 is no trouble."""
    values = [math.nan, 0.0, -0.0, True, None, [1.0], [True], 1, b"x", "s"]
    rows = [
        {"_creationTime": 1.7e12 + n, "_id": f"{n}", "sessionId": value} for n, value in enumerate([*values, *values])
    ]
    rows += [{"_creationTime": 253_402_300_799_000.0, "_id": "late"}, {"_creationTime": 2.0**52, "_id": "later"}]
    (tmp_path / "odd.jsonl").write_bytes(b"\n".join(map(dumps, rows)))
    for by, files in (("session", len(values) + 1), ("month", 3)):
        folder = tmp_path / by
        report = export(cm.open(tmp_path / "odd.jsonl"), folder, format="jsonl", partition_by=by)
        found = manifest(folder)
        assert sorted(lines_of(folder, found)) == sorted(map(dumps, rows))
        assert (report.rows, len(found["parts"])) == (len(rows), files)


@pytest.mark.parametrize("via", ["functions", "system"])
def test_going_on_in_pieces_doubles_nothing(
    tmp_path: Path, sandbox: Sandbox, via: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut into many pieces for several readers, an export that goes on still holds every row once and in order."""
    monkeypatch.setattr(reading, "_ROWS_A_CHUNK", 40)
    monkeypatch.setattr(partitions, "_ROWS_A_PART", 150)
    with cm.connect(sandbox.url, key=sandbox.key, via=via) as connected:
        for stop in (170, 500, 901):
            with pytest.raises(_Stopped):
                export(_Stopping(connected, stop), f"{tmp_path}/out/", format="jsonl")
        export(connected, f"{tmp_path}/out/", format="jsonl")
    assert lines_of(tmp_path / "out", manifest(tmp_path / "out")) == LINES


def test_the_command_line_makes_folders(tmp_path: Path, sandbox: Sandbox) -> None:
    """-o history/ and --partition-by as in the wished session, with one closing line."""
    done = convex_msgs(
        "export", "--partition-by", "month", "-o", "history/", "--env-file", str(sandbox.env_file), cwd=tmp_path
    )
    assert done.code == 0
    assert "2,407 messages -> history/ (8 files, " in done.err
    assert (tmp_path / "history/month=2026-08/part-0.parquet").exists()
    done = convex_msgs("export", "--partition-by", "month", "--env-file", str(sandbox.env_file), cwd=tmp_path)
    assert (done.code, done.out) == (2, b"")


def test_months_of_active_sessions(tmp_path: Path, history: cm.History) -> None:
    """--active-after with a file for each month: whole sessions, cut by month."""
    export(history, tmp_path, format="jsonl", partition_by="month", active_after="2026-08-20")
    active = {loads(line)["sessionId"] for line in LINES if loads(line)["_creationTime"] >= 1787184000000.0}
    expected = [line for line in LINES if loads(line)["sessionId"] in active]
    assert sorted(lines_of(tmp_path, manifest(tmp_path))) == sorted(expected)


def test_a_format_for_no_file_is_refused(tmp_path: Path) -> None:
    """A folder needs a format with a suffix."""
    with pytest.raises(UsageError, match="is not a format"):
        export(cm.open(SAMPLE), f"{tmp_path}/out/", format="zip")


@given(st.lists(VALUES | st.text(max_size=400).filter(lambda text: text.isprintable()), max_size=20))
def test_names_are_safe_and_different(sessions: list[Any]) -> None:
    """Any ids give names that every file system takes and keeps apart, folded or normalised as it may."""
    distinct = {dumps(session): session for session in sessions}
    names = [safe_name(session) for session in distinct.values()]
    assert len({name.lower() for name in names}) == len(distinct)
    for name in names:
        assert name.isascii()
        assert len(name) <= 110
        assert not set(name) & set('/\\:*?"<>| \n\0')
        assert not name.startswith(".")
        assert not name.endswith(".")


@pytest.mark.parametrize(
    ("session", "name"), [("cust-42", "cust-42"), ("a.b_c", "a.b_c"), ("con", None), ("lpt1.x", None), ("x.", None)]
)
def test_plain_names_stay_readable(session: str, name: str | None) -> None:
    """An id that is safe everywhere is its own file name; a device name of Windows is not."""
    assert (safe_name(session) == session) == (name is not None)


def test_ids_that_look_alike_stay_apart() -> None:
    """Case, composition and type make different files."""
    alike = ["Guest", "guest", "GUEST", "caf\u00e9", "cafe\u0301", "a/b", "a:b", "a b", 1, 1.0, "1", None, "", " "]
    assert len({safe_name(session).lower() for session in alike}) == len(alike)
