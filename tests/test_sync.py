"""``sync``: what is new, changed and gone, by each way; selections, bindings, refusals, and what it costs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import sync_tool as cm
from faults.proxying import running_proxy
from running import ROOT, Sandbox, convex_msgs, running_sandbox
from sandbox.importing import perform, upload, zipped
from sync_tool.archive.layout import Layout
from sync_tool.archive.sealed_files import read_state
from sync_tool.encoding.canonical import loads
from sync_tool.encoding.ids import DocumentId, encode_id
from syncing import DOORS, SECOND_DOORS, Notes, Writer, files_of, live_rows, message, rows_of, sync

YEAR_2100 = 4_102_444_800_000.0


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Sandbox]:
    """An empty deployment of its own, functions and streaming included."""
    with running_sandbox(tmp_path) as running:
        yield running


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Path of an archive that does not exist yet."""
    return tmp_path / "chat"


def row(number: int, time: float, session: str = "s") -> bytes:
    """Return a row as a line."""
    name = encode_id(DocumentId(10_001, number.to_bytes(16, "big")))
    return json.dumps({"_id": name, "_creationTime": time, "sessionId": session, "message": message("hi")}).encode()


@pytest.mark.parametrize("via", DOORS)
def test_the_first_run_takes_everything_and_the_next_one_nothing(via: str, sandbox: Sandbox, archive: Path) -> None:
    """The archive equals the table, byte for byte in session order, and a second run records nothing."""
    first = sync(sandbox, archive, via)
    assert (first.way, first.full, first.rows, first.new, first.sessions) == (via, True, 2_407, 2_407, 48)
    assert rows_of(archive) == live_rows(sandbox)
    second = sync(sandbox, archive, via)
    assert (second.full, second.rows, second.new, second.changed, second.deleted) == (False, 2_407, 0, 0, 0)
    assert second.run > first.run
    assert (second.consistent is not None) == (via == "stream")


@pytest.mark.parametrize("via", DOORS)
def test_new_edited_and_deleted_rows_are_recorded(via: str, deployment: Sandbox, archive: Path) -> None:
    """Counts tell them apart; without the stream new rows come at once, edits and deletions with the full pass."""
    writer = Writer.of(deployment)
    for session in ("a", "b", "c", "d"):
        writer.append(session, f"first of {session}")
    sync(deployment, archive, via)
    writer.append("a", "second of a", "third of a")
    writer.edit("b", "b was edited")
    writer.clear("c")
    report = sync(deployment, archive, via, full=via != "stream")
    assert (report.new, report.changed, report.deleted, report.rows, report.sessions) == (2, 1, 1, 5, 3)
    assert rows_of(archive) == live_rows(deployment)
    writer.append("e", "only new")
    report = sync(deployment, archive, via)
    assert (report.full, report.new, report.changed, report.deleted) == (False, 1, 0, 0)
    assert rows_of(archive) == live_rows(deployment)


@pytest.mark.parametrize("via", SECOND_DOORS)
def test_a_deletion_shows_in_the_number_of_rows(via: str, deployment: Sandbox, archive: Path) -> None:
    """If the deployment has fewer rows than the archive, on a second look too, a full pass follows at once."""
    writer = Writer.of(deployment)
    for session in ("a", "b"):
        writer.append(session, "hello")
    sync(deployment, archive, via)
    writer.clear("a")
    notes = Notes()
    report = sync(deployment, archive, via, progress=notes)
    assert (report.full, report.deleted, report.rows) == (True, 1, 1)
    assert "the table holds 1 rows, the archive would hold 2" in notes.text
    assert rows_of(archive) == live_rows(deployment)


@pytest.mark.parametrize("via", SECOND_DOORS)
def test_a_full_pass_is_due_after_its_span(via: str, deployment: Sandbox, archive: Path) -> None:
    """An edit, which changes no number and no time, is found when --full-every has passed, and not before."""
    writer = Writer.of(deployment)
    writer.append("a", "hello")
    sync(deployment, archive, via)
    writer.edit("a", "edited")
    # the look-back would see so young a row again; an old one it would not
    assert sync(deployment, archive, via, lookback=-60).changed == 0
    report = sync(deployment, archive, via, full_every=timedelta(0), lookback=-60)
    assert (report.full, report.changed) == (True, 1)
    assert rows_of(archive) == live_rows(deployment)


@pytest.mark.parametrize("via", DOORS)
def test_a_row_from_the_future_hides_nothing(via: str, tmp_path: Path, archive: Path) -> None:
    """With a row dated 2100 in the table, rows written today still come with the next run."""
    (tmp_path / "future.jsonl").write_bytes(row(1, YEAR_2100) + b"\n" + row(2, 1_700_000_000_000.5) + b"\n")
    with running_sandbox(tmp_path, "--load", str(tmp_path / "future.jsonl")) as deployment:
        sync(deployment, archive, via)
        writer = Writer.of(deployment)
        for number in range(3):
            writer.append("now", f"message {number}")
            report = sync(deployment, archive, via)
            assert (report.new, report.full) == (1, False)
        assert rows_of(archive) == live_rows(deployment)
        if via != "stream":
            assert (read_state(Layout(archive)).position.head or 0) < YEAR_2100


@pytest.mark.parametrize("via", DOORS)
def test_a_table_replaced_by_an_import_is_followed(via: str, deployment: Sandbox, archive: Path) -> None:
    """Rows that an import took away are gone, those that it left as they were are not recorded again."""
    writer = Writer.of(deployment)
    lines = [row(number, 1_700_000_000_000.5 + number) for number in range(1, 21)]

    def put(kept: list[bytes]) -> None:
        state = perform(writer.box, upload(writer.box, zipped(messages=b"\n".join([*kept, b""])), mode="replace"))
        assert state["state"] == "completed"

    put(lines)
    sync(deployment, archive, via)
    put([*lines[:15], row(30, 1_700_000_000_030.5)])
    report = sync(deployment, archive, via, full=via != "stream")
    assert (report.new, report.changed, report.deleted, report.full) == (1, 0, 5, True)
    assert rows_of(archive) == live_rows(deployment)


@pytest.mark.parametrize("via", DOORS)
def test_writers_at_work_are_caught_up_with(via: str, deployment: Sandbox, archive: Path) -> None:
    """While others append, edit and delete, runs go on; after the last write one (full) run equals the table."""
    writer = Writer.of(deployment)
    done = threading.Event()
    failed: list[BaseException] = []

    def write() -> None:
        try:
            for number in range(120):
                writer.append(f"s{number % 7}", f"message {number}")
                writer.edit(f"one{number % 5}", f"edit {number}")
                if number % 10 == 9:
                    writer.clear(f"s{number % 7}")
        except BaseException as error:  # noqa: BLE001  # told below
            failed.append(error)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    runs = 0
    while not done.is_set() or runs < 3:
        sync(deployment, archive, via, allow_shrink=True, step_size=2_000)
        runs += 1
    thread.join()
    assert failed == []
    sync(deployment, archive, via, full=via != "stream", allow_shrink=True)
    assert rows_of(archive) == live_rows(deployment)
    assert cm.verify(archive).exit_code == 0


@pytest.mark.parametrize("via", DOORS)
def test_far_too_many_deletions_are_not_recorded(via: str, deployment: Sandbox, archive: Path) -> None:
    """When everything is gone nothing is recorded, exit 4; --allow-shrink records it; the older state stays."""
    writer = Writer.of(deployment)
    writer.append("long", *(f"message {number}" for number in range(150)))
    writer.append("kept", "one")
    first = sync(deployment, archive, via)
    whole = rows_of(archive)
    before = {path: path.read_bytes() for path in files_of(archive)}
    writer.clear("long")
    for _ in range(2):
        with pytest.raises(cm.Differs, match="150 of 151"):
            sync(deployment, archive, via)
        assert {path: path.read_bytes() for path in files_of(archive)} == before
    report = sync(deployment, archive, via, allow_shrink=True)
    assert (report.deleted, report.rows) == (150, 1)
    assert rows_of(archive, first.run) == whole
    assert rows_of(archive) == live_rows(deployment)


def test_an_expired_cursor_is_answered_by_a_full_pass(tmp_path: Path, archive: Path) -> None:
    """Changes from a time that is no longer kept are found all the same, and reported."""
    with running_sandbox(tmp_path, "--retention", "0") as deployment:
        writer = Writer.of(deployment)
        for session in ("a", "b", "c"):
            writer.append(session, f"hello {session}")
        sync(deployment, archive, "stream")
        writer.clear("a")
        writer.edit("b", "edited")
        writer.append("d", "new")
        notes = Notes()
        report = sync(deployment, archive, "stream", progress=notes)
        assert "no longer keeps what changed since the last run: everything is read and compared" in notes.text
        assert (report.full, report.new, report.changed, report.deleted) == (True, 1, 1, 1)
        assert rows_of(archive) == live_rows(deployment)


def test_the_way_may_change_between_runs(deployment: Sandbox, archive: Path) -> None:
    """From stream to functions to the dashboard's queries and back: nothing is lost, nothing twice."""
    writer = Writer.of(deployment)
    for number, via in enumerate(("stream", "functions", "system", "stream")):
        writer.append(f"s{number}", via)
        writer.edit("e", via)
        sync(deployment, archive, via)
    assert rows_of(archive) == live_rows(deployment)


@pytest.mark.parametrize("flag", ["--no-streaming", "--no-data-sync"])
def test_without_streaming_another_way_is_taken(flag: str, tmp_path: Path, archive: Path) -> None:
    """A plan or a backend without the stream is no error unless it was asked for."""
    with running_sandbox(tmp_path, flag) as deployment:
        Writer.of(deployment).append("a", "hello")
        notes = Notes()
        assert sync(deployment, archive, progress=notes).way == "functions"
        assert "not by the stream of changes" in notes.text
        with pytest.raises(cm.Refused):
            sync(deployment, archive, "stream")


@pytest.mark.parametrize("via", DOORS)
def test_a_selection_belongs_to_the_archive(via: str, deployment: Sandbox, archive: Path) -> None:
    """Only what was selected at first is recorded from then on; another selection is refused."""
    writer = Writer.of(deployment)
    for session in ("cust-1", "cust-2", "other"):
        writer.append(session, "hello")
    sync(deployment, archive, via, match=["cust-*"])
    writer.append("cust-3", "new")
    writer.append("other", "new")
    report = sync(deployment, archive, via)
    assert (report.new, report.rows) == (1, 3)
    assert rows_of(archive) == [line for line in live_rows(deployment) if b'"sessionId":"cust-' in line]
    with pytest.raises(cm.UsageError, match="another selection"):
        sync(deployment, archive, via, match=["o*"])
    with pytest.raises(cm.UsageError, match="active-after"):
        sync(deployment, archive, via, active_after="1d")


def test_an_archive_is_of_one_deployment(tmp_path: Path, archive: Path) -> None:
    """Another instance name or table is refused; --rebind continues with the other deployment by a full pass."""
    other = tmp_path / "other"
    other.mkdir()
    with running_sandbox(tmp_path, "--name", "one") as one, running_sandbox(other, "--name", "two") as two:
        Writer.of(one).append("a", "hello")
        sync(one, archive)
        Writer.of(two).append("b", "hello")
        with pytest.raises(cm.UsageError, match=r"one.*two"):
            sync(two, archive)
        report = sync(two, archive, rebind=True)
        assert (report.full, report.new, report.deleted) == (True, 1, 1)
        assert sync(two, archive).new == 0
        with pytest.raises(cm.UsageError, match="two"):
            sync(one, archive)


def test_without_an_archive_nothing_is_made(sandbox: Sandbox, tmp_path: Path) -> None:
    """No --create: exit 10 and a hint; with it, a folder that holds other things is left alone."""
    flags = ("--env-file", str(sandbox.env_file))
    done = convex_msgs("sync", "chat", *flags, cwd=tmp_path)
    assert done.code == 10
    assert done.err == "error: no archive at chat. Is the disk mounted? First run: --create. [exit 10]\n"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"miau")
    done = convex_msgs("sync", "photos", "--create", *flags, cwd=tmp_path)
    assert (done.code, "holds cat.jpg" in done.err) == (2, True)
    assert sorted(path.name for path in (tmp_path / "photos").iterdir() if path.name != ".lock") == ["cat.jpg"]


def test_two_runs_do_not_meet(sandbox: Sandbox, archive: Path) -> None:
    """While one holds the lock another one ends with exit 11, or waits as long as --lock-wait allows."""
    sync(sandbox, archive)
    with Layout(archive).locked(0):
        with pytest.raises(cm.Locked):
            sync(sandbox, archive)
        done = convex_msgs("sync", str(archive), "--env-file", str(sandbox.env_file), "--lock-wait", "0.2s", cwd=ROOT)
        assert done.code == 11
    assert sync(sandbox, archive).new == 0


def test_a_lost_cache_or_state_is_made_again(deployment: Sandbox, archive: Path) -> None:
    """Without cache/, with a damaged one, and without state.json the next run records exactly what is new."""
    writer = Writer.of(deployment)
    writer.append("a", "hello")
    sync(deployment, archive)
    index = Layout(archive).cache / "index.sqlite"
    damages: list[Callable[[], object]] = [
        index.unlink,
        lambda: index.write_bytes(b"no database" * 500),
        Layout(archive).state.unlink,
        lambda: Layout(archive).state.write_text("{}"),
    ]
    for number, damage in enumerate(damages):
        damage()
        writer.append("a", f"message {number}")
        report = sync(deployment, archive)
        assert (report.new, report.changed, report.deleted, report.full) == (1, 0, 0, False)
        assert rows_of(archive) == live_rows(deployment)
        assert cm.verify(archive).exit_code == 0


def test_a_quiet_run_costs_few_requests(tmp_path: Path) -> None:
    """With rows spread over a year, a run that finds nothing new makes at most 12 requests by any way."""
    lines = [row(number, 1_700_000_000_000.5 + number * 1_051_200, f"s{number % 50}") for number in range(1, 30_001)]
    (tmp_path / "year.jsonl").write_bytes(b"\n".join([*lines, b""]))
    with running_sandbox(tmp_path, "--load", str(tmp_path / "year.jsonl")) as deployment:
        for via in DOORS:
            sync(deployment, tmp_path / via, via)
            with running_proxy(deployment.url) as proxy:
                with cm.connect(proxy.url, key=deployment.key) as history:
                    report = cm.sync(history, tmp_path / via, via=via)  # type: ignore[arg-type]
                assert (report.rows, report.new, report.full) == (30_000, 0, False)
                assert len(proxy.events()) <= 12, [event.path for event in proxy.events()]


class _Watchdog(BaseHTTPRequestHandler):
    """Records progress and notes."""

    heard: list[tuple[str, str]]

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        self.heard.append((self.path, self.rfile.read(size).decode()))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def watchdog() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server that is pinged: its URL, and what it has heard."""
    _Watchdog.heard = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Watchdog) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/ping/secret-42", _Watchdog.heard
        server.shutdown()
        thread.join()


def test_a_watchdog_and_prometheus_are_told(
    watchdog: tuple[str, list[tuple[str, str]]], deployment: Sandbox, archive: Path, tmp_path: Path
) -> None:
    """Start and success, start and failure; the metrics keep the last success; the URL is in no message."""
    url, heard = watchdog
    Writer.of(deployment).append("a", "hello")
    flags = ("--env-file", str(deployment.env_file), "--metrics-file", str(tmp_path / "m.prom"))
    env = {"CONVEX_MSGS_PING_URL": url}
    assert convex_msgs("sync", str(archive), "--create", *flags, cwd=tmp_path, env=env).code == 0
    assert heard == [("/ping/secret-42/start", ""), ("/ping/secret-42", "1 new, 0 changed, 0 deleted rows")]
    metrics = (tmp_path / "m.prom").read_text()
    label = f'{{archive="{archive}"}}'
    assert f"convex_msgs_sync_success{label} 1\n" in metrics
    assert f"convex_msgs_sync_rows{label} 1\n" in metrics
    assert (tmp_path / "m.prom").stat().st_mode & 0o777 == 0o644
    heard.clear()
    failed = convex_msgs("sync", str(archive), "--table", "other", *flags, cwd=tmp_path, env=env)
    assert (failed.code, [path for path, _ in heard]) == (2, ["/ping/secret-42/start", "/ping/secret-42/fail"])
    after = (tmp_path / "m.prom").read_text()
    assert f"convex_msgs_sync_success{label} 0\n" in after
    kept = "convex_msgs_sync_last_success_timestamp_seconds{"
    old, new = ([line for line in text.splitlines() if line.startswith(kept)] for text in (metrics, after))
    assert [float(line.split()[-1]) for line in old] == [float(line.split()[-1]) for line in new]
    dead = convex_msgs(
        "sync", str(archive), *flags, cwd=tmp_path, env={"CONVEX_MSGS_PING_URL": "http://127.0.0.1:1/secret-42"}
    )
    assert dead.code == 0
    heard.clear()
    down = convex_msgs(
        "sync", str(archive), *flags, "--url", "http://127.0.0.1:1", "--attempts", "1", cwd=tmp_path, env=env
    )
    assert (down.code, heard[-1]) == (5, ("/ping/secret-42/fail", "exit 5"))
    assert "the ping was not delivered" in dead.err
    assert "secret-42" not in dead.err


def test_json_and_quiet(sandbox: Sandbox, archive: Path, tmp_path: Path) -> None:
    """--json prints the report, -q nothing at all."""
    flags = ("--env-file", str(sandbox.env_file))
    done = convex_msgs("sync", str(archive), "--create", "--json", *flags, cwd=tmp_path)
    report = loads(done.out)
    assert (done.code, report["rows"], report["way"], report["resumed"]) == (0, 2_407.0, "stream", False)
    done = convex_msgs("sync", str(archive), "-q", *flags, cwd=tmp_path)
    assert (done.code, done.out, done.err) == (0, b"", "")
