"""Files at names that others can foresee: no link is followed, nobody else's file is written, all is private."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_tool.commands.journals import ImportJournal, KnownSession, journal_path
from sync_tool.errors import OutputError
from sync_tool.files import private
from sync_tool.files.bytes import new_file
from sync_tool.files.private import below, open_private, open_regular, rename_new
from sync_tool.sandbox.database.store import NotASandboxError, Store


@pytest.fixture(params=[0, 0o022, 0o277])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Masks that would leave a file open to all, readable by all, or not writable by its owner."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def write(path: Path, content: bytes = b"new", **options: bool) -> None:
    """Write a file as the tool does."""
    with new_file(path, **options) as stream:
        stream.write(content)


def test_a_link_at_the_temporary_name_is_refused(tmp_path: Path) -> None:
    """The file that the link names stays as it is, and so does the link."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".a.part").symlink_to(victim)
    with pytest.raises(OutputError, match="symbolic link"):
        write(tmp_path / "a")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "a").exists()


def test_a_second_name_of_a_foreign_file_is_dropped(tmp_path: Path) -> None:
    """A hard link at the temporary name loses that name; the file itself keeps content and mode."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o644)
    (tmp_path / ".a.part").hardlink_to(victim)
    write(tmp_path / "a")
    assert (victim.read_text(), mode(victim)) == ("precious", 0o644)
    assert (tmp_path / "a").read_text() == "new"


def test_a_temporary_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's owner could read what is written into it."""
    (tmp_path / ".a.part").touch()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.raises(OutputError, match="another user"):
        write(tmp_path / "a")
    assert (tmp_path / ".a.part").stat().st_size == 0


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_folder_at_the_temporary_name_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Neither hangs."""
    make(tmp_path / ".a.part")
    with pytest.raises(OutputError):
        write(tmp_path / "a")


def test_an_open_temporary_file_becomes_private(tmp_path: Path) -> None:
    """One that an earlier run or somebody with the same user left open to all is taken over, for the owner alone."""
    (tmp_path / ".a.part").write_text("rest of an earlier run")
    (tmp_path / ".a.part").chmod(0o666)
    write(tmp_path / "a")
    assert ((tmp_path / "a").read_text(), mode(tmp_path / "a")) == ("new", 0o600)


@pytest.mark.usefixtures("_umask")
def test_a_file_is_private_under_any_umask(tmp_path: Path) -> None:
    """The mode is 0600 also where the umask would take away writing."""
    write(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o600


def test_a_dangling_link_counts_as_a_file(tmp_path: Path) -> None:
    """Without leave to overwrite nothing is made where it leads; with it the link alone is replaced."""
    (tmp_path / "a").symlink_to("elsewhere")
    with pytest.raises(OutputError, match="exists"):
        write(tmp_path / "a")
    write(tmp_path / "a", overwrite=True)
    assert not (tmp_path / "a").is_symlink()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("steps", ["one step", "links", "neither"])
def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path, steps: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the file system can do, a name that is taken stays taken, and a free one is given."""

    def unable(*_: object) -> None:
        raise PermissionError

    if steps != "one step":
        monkeypatch.setattr(private, "_renamed", lambda *_: False)
    if steps == "neither":
        monkeypatch.setattr(Path, "hardlink_to", unable)
    (tmp_path / "new").write_text("new")
    rename_new(tmp_path / "new", tmp_path / "free")
    assert [path.name for path in tmp_path.iterdir()] == ["free"]
    (tmp_path / "taken").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        rename_new(tmp_path / "free", tmp_path / "taken")
    assert (tmp_path / "free").read_text() == "new"
    assert (tmp_path / "taken").is_symlink()


def test_the_last_look_and_the_renaming_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that appears behind every check is not replaced."""
    monkeypatch.setattr("sync_tool.files.bytes.check_output", lambda *_, **__: None)
    (tmp_path / "a").write_text("theirs")
    with pytest.raises(OutputError, match="exists"):
        write(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """Links, pipes, folders and devices are errors, and none makes the caller wait."""
    (tmp_path / "file").write_text("content")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "link", tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match=r"."):
            open_regular(path)
        with pytest.raises((OSError, OutputError)):
            os.close(open_private(path))
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"content"


@given(st.lists(st.sampled_from(["..", ".", "", "/", "a", "link", "b\0", "/etc"]), max_size=4).map("/".join))
def test_names_stay_below_their_root(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """Whatever the data says, the path is below the root and leads through no link, or it is refused."""
    root = tmp_path_factory.getbasetemp() / "below"
    root.mkdir(exist_ok=True)
    if not (root / "link").is_symlink():
        (root / "link").symlink_to("..")
    try:
        path = below(root, name)
    except OutputError:
        return
    assert Path(os.path.normpath(path)).is_relative_to(root)
    assert Path(os.path.realpath(path.parent)).is_relative_to(root)


@pytest.mark.usefixtures("_umask")
def test_the_file_of_a_sandbox_is_private(tmp_path: Path) -> None:
    """The file and those that SQLite keeps beside it have mode 0600, also where they were open to all before."""
    data = tmp_path / "chats.sqlite"
    for _ in range(2):
        with closing(Store(data, durable=False)) as store:
            store.set("name", "value")
            names = ("chats.sqlite", "chats.sqlite-wal", "chats.sqlite-shm")
            assert {name: mode(tmp_path / name) for name in names} == dict.fromkeys(names, 0o600)
        data.chmod(0o644)
        (tmp_path / "chats.sqlite-shm").touch()
        (tmp_path / "chats.sqlite-shm").chmod(0o644)


def test_a_sandbox_makes_no_file_through_a_link(tmp_path: Path) -> None:
    """A link that leads nowhere, a pipe and a folder are refused, and none makes the sandbox wait."""
    (tmp_path / "link").symlink_to("elsewhere")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(NotASandboxError):
            Store(tmp_path / name, durable=False)
    assert not (tmp_path / "elsewhere").exists()


def test_notes_of_imports_follow_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that a link at the notes' name leads to keeps its tables; the notes are kept in memory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = journal_path("import", "place", ".sqlite")
    path.parent.mkdir()
    with closing(sqlite3.connect(tmp_path / "victim")) as victim:
        victim.execute("CREATE TABLE session (mine)")
        victim.execute("INSERT INTO session VALUES (1)")
        victim.commit()
        path.symlink_to(tmp_path / "victim")
        journal = ImportJournal("place")
        journal.record([("s", KnownSession(1, b"", ""))])
        assert journal.known("s") == KnownSession(1, b"", "")
        journal.close()
        assert victim.execute("SELECT * FROM session").fetchall() == [(1,)]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF])
def test_a_file_system_without_locks_is_not_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Only a lock that is held means another run; other errors of the lock are named, and leave nothing there."""

    def no_locks(_handle: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(OutputError) as caught, new_file(tmp_path / "a.jsonl") as stream:
        stream.write(b"{}\n")
    assert os.strerror(number) in caught.value.message
    assert not (tmp_path / "a.jsonl").exists()
