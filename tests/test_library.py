"""The library as programs and notebooks use it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import sync_tool as cm
from running import ROOT, Sandbox, deployment_of
from sync_tool.commands.arguments import parse_when
from sync_tool.commands.history import Sessions
from sync_tool.deployment import deployment as recent
from sync_tool.rows.model import MISSING
from sync_tool.text import duration, plural, shortened, size

SAMPLE = ROOT / "sample_data" / "messages.jsonl"


@pytest.fixture
def environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The environment of someone whose variables name the sandbox, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONVEX_SELF_HOSTED_URL", sandbox.url)
    monkeypatch.setenv("CONVEX_SELF_HOSTED_ADMIN_KEY", sandbox.key)
    (tmp_path / "a.env").write_text(sandbox.env_file.read_text())
    return tmp_path


def test_every_kind_of_address_opens(environment: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL, the environment's deployment, an env file's, a variable's and a path all give messages."""
    monkeypatch.setenv("WHERE", "@a.env")
    for address in (sandbox.url, "live", "@a.env", "env:WHERE", SAMPLE, str(SAMPLE)):
        with cm.open(address) as history:
            (first, *_) = history.messages(session="cust-42")
            assert first.text == "Hi! I'm Jim."


def test_addresses_that_are_none_are_said(environment: Path) -> None:
    """An empty variable, a password in a URL, a file that is not there, a transcript: each says what is wrong."""
    Path(".env.msgs").touch()
    for address, said in (
        ("env:NOT_THERE", "there is no variable"),
        ("https://user:secret@chat.example.org", "a password does not belong"),
        ("nothing.jsonl", "there is no such file"),
        ("chat.md", "cannot be read back"),
        ("notes.txt", "no file or folder 'notes.txt'"),
        (".env.msgs", "holds no messages"),
        (".", "export"),
    ):
        with pytest.raises(cm.UsageError, match=said) as caught:
            cm.open(address)
        assert "secret" not in str(caught.value)


def test_a_notebook_sees_tables(environment: Path) -> None:
    """repr of a deployment, of messages and of sessions is what one wants to see; pandas gets the same."""
    with cm.connect() as history:
        assert repr(history).startswith("<Deployment self-hosted 127.0.0.1:")
        assert repr(history.messages()).startswith("<Messages of self-hosted ")
        sessions = history.sessions(recent=3)
        assert repr(sessions).splitlines()[1].split()[0] == "cust-42"
        frame = sessions.to_pandas()
        assert list(frame["session"]) == ["cust-42", "cust-17", "team a/chat 1"]
        assert str(frame["last"].dtype).startswith("datetime64[")
        counted = history.sessions(match=["cust-4*"], count=True)
        assert counted.lines(datetime.now(UTC)).__next__().split() == ["SESSION", "FIRST", "LAST", "MESSAGES"]


def test_it_works_inside_a_running_event_loop(environment: Path) -> None:
    """Notebooks run a loop: reading must not mind."""

    async def cell() -> int:
        with cm.connect() as history:
            return sum(1 for _ in history.messages(session="cust-17"))

    assert asyncio.run(cell()) == 64


def test_iteration_is_lazy_and_repeatable(environment: Path) -> None:
    """A loop that stops early reads no more, and the same object can be read again."""
    with cm.connect() as history:
        messages = history.messages()
        for _ in range(2):
            assert next(iter(messages)).n == 1
        assert messages.to_arrow().num_rows == 2407


def test_times_of_the_list_are_as_people_say_them() -> None:
    """Today, yesterday, a date; ids of other kinds and blank ones are shown too."""
    now = datetime(2026, 8, 22, 12, 0, tzinfo=UTC)
    ms = now.timestamp() * 1000
    hour = 3_600_000.0
    sessions = Sessions(
        [
            cm.SessionInfo("a", last=ms - hour, words="one\ntwo"),
            cm.SessionInfo(" ", last=ms - 20 * hour),
            cm.SessionInfo(MISSING, last=ms - 400 * hour),
            cm.SessionInfo(None, last=1e17),
        ],
        recent=True,
    )
    assert [line.split("  ") for line in map(str.rstrip, sessions.lines(now))] == [
        line.split("  ")
        for line in (
            "SESSION  LAST MESSAGE      LAST HUMAN WORDS",
            "a        today 11:00       one two",
            "' '      yesterday 16:00",
            "(no id)  2026-08-05 20:00",
            "null     -",
        )
    ]


def test_recent_sessions_are_found_behind_a_long_one(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the newest rows are all of few sessions, the deployed functions list the rest; the answer is the same."""
    with cm.connect() as history:
        expected = list(history.sessions(recent=12))
        monkeypatch.setattr(recent, "_PAGES_BEFORE_LISTING", 0)
        monkeypatch.setattr(recent, "RECENT_ROWS", 1)
        found = recent.recent_sessions(deployment_of(history)._make_reader(1), 12)
    assert [(info.session, info.last) for info in found] == [(info.session, info.last) for info in expected]


def test_doctor_names_what_is_wrong(environment: Path) -> None:
    """A missing table is a failed finding with its advice, and its exit code; files have no doctor."""
    with cm.connect(names=cm.Names("chats")) as history:
        report = cm.doctor(history)
    (failed,) = [finding for finding in report.findings if finding.verdict == "fail"]
    assert failed.text.startswith("no table 'chats' in this deployment. tables: messages")
    assert report.exit_code == 2
    with pytest.raises(cm.UsageError, match="not files"):
        cm.doctor(cm.open(SAMPLE))


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-08-01", 1785542400000.0),
        ("2026-08-01T10:00+02:00", 1785571200000.0),
        ("2026-08-01 10:00", 1785578400000.0),
        (datetime(2026, 8, 1, tzinfo=UTC), 1785542400000.0),
        (datetime(2026, 8, 1), 1785542400000.0),  # noqa: DTZ001  # what a user may pass
        (datetime(2026, 8, 1, tzinfo=UTC).date(), 1785542400000.0),
        (1785542400000.5, 1785542400000.5),
        (None, None),
    ],
)
def test_times_are_read(when: object, expected: float | None) -> None:
    """ISO text, datetimes, dates and milliseconds; UTC where no zone is given."""
    assert parse_when(when, "--after") == expected  # type: ignore[arg-type]


def test_spans_count_back_from_now() -> None:
    """7d is a week ago."""
    found = parse_when("7d", "--after")
    assert found is not None
    assert abs(found / 1000 - (datetime.now(UTC) - timedelta(days=7)).timestamp()) < 60


def test_numbers_are_said_as_people_say_them() -> None:
    """Sizes, counts, durations and cuts."""
    assert [size(n) for n in (0, 999, 61_000, 999_999, 3_100_000_000, 10**15)] == [
        "0 bytes", "999 bytes", "61 KB", "1.0 MB", "3.1 GB", "1000 TB",
    ]  # fmt: skip
    assert [plural(1, "session"), plural(3018, "session")] == ["1 session", "3,018 sessions"]
    assert [duration(s) for s in (0.91, 41.2, 131, 3900)] == ["0.9 s", "41 s", "2 min 11 s", "1 h 5 min"]
    assert shortened("日本語のテキスト", 9) == "日本語 …"


def test_a_key_and_a_url_that_disagree_are_refused() -> None:
    """Both given by hand are held to the same rules as on the command line."""
    with pytest.raises(cm.UsageError, match="fast-fox-1"):
        cm.connect("https://fast-fox-1.convex.cloud", key="prod:tall-forest-123|c2VjcmV0")
    with pytest.raises(cm.UsageError, match="not the URL"):
        cm.connect("chat.example.org", key="chat|c2VjcmV0")
