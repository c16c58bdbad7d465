"""``verify`` and ``runs``: every damage is found and named, age, shares, and that an archive restores."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sync_tool as cm
from running import ROOT, Sandbox, convex_msgs, running_sandbox
from sync_tool.archive.layout import Layout
from syncing import Writer, files_of, live_rows, rows_of, sync

_NOBODY = 65534
LOOKS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A deployment with a few sessions."""
    with running_sandbox(tmp_path_factory.mktemp("verified")) as running:
        yield running


@pytest.fixture(scope="module")
def original(deployment: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of three runs with several parts each, once proven to restore."""
    archive = tmp_path_factory.mktemp("archive") / "chat"
    writer = Writer.of(deployment)
    for turn in range(3):
        for session in range(12):
            writer.append(f"s{session}", *(f"message {turn}.{number} " + "x" * 40 for number in range(4)))
        writer.edit("edited", f"turn {turn}")
        writer.append(f"gone{turn}", "soon deleted")
        if turn:
            writer.clear(f"gone{turn - 1}")
        sync(deployment, archive, step_size=3_000)
    assert cm.verify(archive, restore=True).exit_code == 0
    return archive


@pytest.fixture
def archive(original: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(original, tmp_path / "chat"))


def test_a_whole_archive_is_whole(archive: Path) -> None:
    """Nothing is damaged, every record was looked at, and a plain copy is as good as the original."""
    report = cm.verify(archive)
    assert (report.whole, report.inside, report.exit_code, report.damaged) == (True, True, 0, ())
    assert report.files == len(files_of(archive))
    assert len(list((archive / "parts").rglob("*.zst"))) > 6
    shutil.rmtree(archive / "cache")
    assert cm.verify(archive).exit_code == 0


@LOOKS
@given(st.data())
def test_any_flipped_byte_is_found(original: Path, data: st.DataObject) -> None:
    """One byte of one file changed to any other: exit 7, and the file is named."""
    path = data.draw(st.sampled_from(files_of(original)), label="file")
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1), label="place")
    other = data.draw(st.integers(1, 255), label="xor")
    try:
        path.write_bytes(content[:place] + bytes([content[place] ^ other]) + content[place + 1 :])
        report = cm.verify(original)
        assert report.exit_code == 7
        assert any(path.name in fault for fault in report.damaged)
        assert not report.whole
    finally:
        path.write_bytes(content)


@LOOKS
@given(st.data())
def test_files_cut_lost_or_swapped_are_found(original: Path, data: st.DataObject) -> None:
    """Any file deleted or cut anywhere, any two parts or runs exchanged: exit 7."""
    files = files_of(original)
    one = data.draw(st.sampled_from(files), label="file")
    content = one.read_bytes()
    alike = [path for path in files if path.suffix == one.suffix and path != one and path.read_bytes() != content]
    kinds = ["delete", "cut", *(["swap"] if alike else [])]
    kind = data.draw(st.sampled_from(kinds), label="what")
    if kind == "delete" and one.parent.name == "proofs":
        kind = "cut"  # a proof that is not there is a restore that was not proven
    two = data.draw(st.sampled_from(alike), label="other") if kind == "swap" else None
    second = two.read_bytes() if two else b""
    try:
        if kind == "delete":
            one.unlink()
        elif kind == "cut":
            one.write_bytes(content[: data.draw(st.integers(0, len(content) - 1), label="length")])
        elif two is not None:
            one.write_bytes(second)
            two.write_bytes(content)
        assert cm.verify(original).exit_code == 7
        small = one.suffix == ".json" or kind != "swap"
        assert not small or cm.verify(original, quick=True).exit_code == 7
    finally:
        one.write_bytes(content)
        if two is not None:
            two.write_bytes(second)


def test_what_is_damaged_and_what_is_still_good_is_named(archive: Path) -> None:
    """A part of the second run is damaged: it is named, the first run is called good, and can be read."""
    first, second, _ = Layout(archive).run_names()
    part = Layout(archive).part_files(second)[0]
    part.write_bytes(part.read_bytes()[:-3])
    done = convex_msgs("verify", str(archive), cwd=ROOT)
    assert done.code == 7
    lines = done.out.decode().splitlines()
    assert re.fullmatch(
        rf"damaged: {re.escape(str(part))} is damaged: it has [\d,]+ bytes, its run says [\d,]+\.", lines[0]
    )
    assert lines[1].startswith("not whole: 1 fault; ")
    assert lines[1].endswith(f"good until run {first}: --as-of {first} [exit 7]")
    assert len(rows_of(archive, first)) == 12 * 4 + 2
    with pytest.raises(cm.Damaged, match=part.name):
        rows_of(archive)
    quiet = convex_msgs("verify", str(archive), "--quick", "-q", cwd=ROOT)
    assert (quiet.code, len(quiet.out.splitlines())) == (7, 1)
    listed = convex_msgs("runs", str(archive), cwd=ROOT).out.decode().splitlines()
    assert [line.split()[5] for line in listed[1:]] == ["yes", "no", "no"]


def test_a_damaged_archive_is_not_written_to(archive: Path, deployment: Sandbox) -> None:
    """sync refuses an archive whose newest run is lost or damaged, exit 7, and changes nothing."""
    newest = Layout(archive).run(Layout(archive).run_names()[-1])
    content = newest.read_bytes()
    newest.unlink()
    with pytest.raises(cm.Damaged, match=r"state\.json"):
        sync(deployment, archive)
    newest.write_bytes(content.replace(b'"new"', b'"now"'))
    with pytest.raises(cm.Damaged, match="sha256"):
        sync(deployment, archive)


def test_too_old_and_shares(archive: Path) -> None:
    """--max-age is exit 4 when it has passed; the seven sevenths together look into every part."""
    assert cm.verify(archive, max_age="26h", quick=True).exit_code == 0
    report = cm.verify(archive, max_age=0, quick=True)
    assert (report.exit_code, report.too_old, report.inside) == (4, True, False)
    parts = sorted((archive / "parts").rglob("*.zst"))
    damaged = random.Random(5).choice(parts)
    content = damaged.read_bytes()
    damaged.write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
    codes = [cm.verify(archive, subset=f"{number}/7").exit_code for number in range(1, 8)]
    assert sorted(codes) == [0] * 6 + [7]
    for wrong in ("0/7", "8/7", "x", "1"):
        with pytest.raises(cm.UsageError, match="is not a share"):
            cm.verify(archive, subset=wrong)


def test_a_restore_is_proven_and_its_date_kept(original: Path, archive: Path) -> None:
    """The run that was restored says so in `runs`; an older one can be proven too; both proofs are kept."""
    first, _, last = Layout(archive).run_names()
    assert [run.restored is not None for run in cm.runs(archive).runs] == [False, False, True]
    done = convex_msgs("verify", str(archive), "--restore", "--as-of", first, cwd=ROOT)
    assert done.code == 0, done.err
    assert (
        "restored into a sandbox deployment, read back, compared: 14 sessions equal, 0 different" in done.out.decode()
    )
    assert [run.restored is not None for run in cm.runs(archive).runs] == [True, False, True]
    assert len(list((archive / "proofs").iterdir())) == 2
    assert last in {path.name[:20] for path in (original / "proofs").iterdir()}


def test_a_restore_into_a_deployment_is_compared(archive: Path, deployment: Sandbox, tmp_path: Path) -> None:
    """--restore-to takes an empty table of any deployment, and refuses one that holds rows."""
    target = tmp_path / "target"
    target.mkdir()
    with running_sandbox(target) as scratch:
        done = convex_msgs("verify", str(archive), "--restore-to", f"@{scratch.env_file}", "--json", cwd=ROOT)
        assert done.code == 0, done.err
        assert live_rows(scratch) == live_rows(deployment)
        again = convex_msgs("verify", str(archive), "--restore-to", f"@{scratch.env_file}", cwd=ROOT)
        assert (again.code, "nothing was written" in again.err) == (2, True)


def test_no_archive_and_no_run(tmp_path: Path) -> None:
    """A folder that is none is exit 10 for every command that wants one."""
    for command in ("verify", "runs"):
        done = convex_msgs(command, "nothing", cwd=tmp_path)
        assert (done.code, done.err) == (10, "error: no archive at nothing. [exit 10]\n")


def test_older_states_are_read_by_run_date_and_time(archive: Path, deployment: Sandbox) -> None:
    """--as-of takes a run, a day and a moment; what is before the first run is an error that says what there is."""
    first, second, third = Layout(archive).run_names()
    assert rows_of(archive) == live_rows(deployment)
    assert rows_of(archive, third) == rows_of(archive, third[:10]) == live_rows(deployment)
    moment = f"{second[:13]}:{second[14:16]}:{second[17:19]}"
    assert rows_of(archive, moment) == rows_of(archive, second) != rows_of(archive, first)
    done = convex_msgs("export", str(archive), "--as-of", first, "-s", "edited", cwd=ROOT)
    assert (done.code, b"turn 0" in done.out) == (0, True)
    done = convex_msgs("convert", str(archive), "--as-of", second, "-s", "edited", cwd=ROOT)
    assert (done.code, b"turn 1" in done.out) == (0, True)
    for command in ("validate", "restore"):
        more = ["--to", f"@{deployment.env_file}", "--dry-run"] if command == "restore" else []
        done = convex_msgs(command, str(archive), "--as-of", "2001-01-01", *more, cwd=ROOT)
        assert (done.code, "no run of 2001-01-01 or before in this archive" in done.err) == (2, True)
    with pytest.raises(cm.UsageError, match="--as-of is for archives"):
        cm.open(ROOT / "sample_data" / "messages.jsonl", as_of="2026-01-01")


def test_damage_of_a_later_run_does_not_close_the_older_ones(archive: Path) -> None:
    """The newest run's file or the state is damaged: the runs before are called good, and are read by name."""
    names = Layout(archive).run_names()
    before = rows_of(archive, names[-2])
    flip(Layout(archive).run(names[-1]))
    report = cm.verify(archive)
    assert (report.good, report.exit_code) == (names[-2], 7)
    assert rows_of(archive, names[-2]) == before
    with pytest.raises(cm.Damaged, match=names[-1]):
        rows_of(archive)


def test_a_damaged_state_leaves_every_run_good(archive: Path) -> None:
    """Damage all the same, but nothing is lost with it, which is said."""
    flip(Layout(archive).state)
    report = cm.verify(archive)
    assert (report.good, report.exit_code) == (Layout(archive).run_names()[-1], 7)
    assert "makes it again" in report.notes[0]
    assert rows_of(archive)


@pytest.mark.parametrize("place", [".", "convex-msgs.json", "state.json", "runs", "parts"])
def test_what_another_user_owns_is_no_fault_of_the_tool(archive: Path, place: str) -> None:
    """An archive that this user may not read: exit 2 names the file and the way out; it is not called damaged."""
    readers = (cm.verify, cm.runs, rows_of) if place in (".", "runs") else (cm.verify,)
    with unreadable(archive, archive / place):
        for read in readers:
            with pytest.raises(cm.UsageError, match="Permission denied") as raised:
                read(archive)
            assert "run as" in raised.value.hint


def test_a_proof_of_a_read_only_copy_counts(archive: Path) -> None:
    """The restore was compared; that its date could not be kept is a note."""
    shutil.rmtree(archive / "proofs")
    (archive / "proofs").write_text("in the way")
    report = cm.verify(archive, restore=True)
    assert report.restored is not None
    assert (report.restored.different, report.exit_code) == (0, 0)
    assert "date of this restore was not kept" in report.notes[0]


def test_a_proof_in_a_table_with_rows_does_not_advise_to_replace_them(archive: Path, deployment: Sandbox) -> None:
    """`verify --restore-to` never deletes: the advice is an empty table, not the options of `restore`."""
    done = convex_msgs("verify", str(archive), "--restore-to", f"@{deployment.env_file}", cwd=archive.parent)
    assert (done.code, "--replace" in done.err) == (2, False)
    assert "whose table is empty" in done.err


def flip(file: Path) -> None:
    """Change one bit of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@contextmanager
def unreadable(archive: Path, path: Path) -> Iterator[None]:
    """Take the right to read a file or folder, also from root: it becomes somebody else for the block."""
    root = os.geteuid() == 0
    mode = path.stat().st_mode
    above = [folder for folder in archive.parents if folder.stat().st_mode & 0o005 != 0o005] if root else []
    modes = {folder: folder.stat().st_mode for folder in above}
    for folder in above:
        folder.chmod(0o755)
    if root:
        for found in (archive, *archive.rglob("*")):
            os.chown(found, _NOBODY, -1)
    path.chmod(0)
    try:
        if root:
            os.seteuid(_NOBODY)
        yield
    finally:
        if root:
            os.seteuid(0)
        path.chmod(mode)
        for folder, was in modes.items():
            folder.chmod(was)
