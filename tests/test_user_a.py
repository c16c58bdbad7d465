"""A developer on the Free plan gets one customer's chat as a file, with nothing but a key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from running import Done, Sandbox, convex_msgs


@pytest.fixture
def app(tmp_path: Path, bare_sandbox: Sandbox) -> Path:
    """An app's folder after `npx convex dev`, with a production key in a file of its own."""
    (tmp_path / ".env.local").write_text(
        "CONVEX_DEPLOYMENT=dev:fast-fox-1 # team: shop\nCONVEX_URL=https://fast-fox-1.convex.cloud\n"
    )
    (tmp_path / ".env.msgs").write_text(f"CONVEX_DEPLOY_KEY='{bare_sandbox.key}'\n")
    with (tmp_path / ".env.msgs").open("a") as file:  # what api.convex.dev would answer, the sandbox answers
        file.write(f"CONVEX_PROVISION_HOST={bare_sandbox.url}\n")
    return tmp_path


def run(app: Path, line: str) -> Done:
    """Run a line of the session in the app's folder."""
    return convex_msgs(*(part.strip("'") for part in re.findall(r"'[^']*'|\S+", line)), cwd=app)


def test_without_a_key_the_error_says_how_to_make_one(app: Path) -> None:
    """The first thing a newcomer sees is a complete answer, exit 2."""
    done = run(app, "sessions --recent 5")
    assert done.code == 2
    assert done.out == b""
    assert done.err.splitlines() == [
        "error: no deploy key found.",
        "  looked in  CONVEX_DEPLOY_KEY, CONVEX_SELF_HOSTED_ADMIN_KEY, ./.env.local, ./.env",
        "  found      .env.local names dev:fast-fox-1 but holds no key (the login of `npx convex` is not read)",
        "  make one   npx convex deployment token create convex-msgs --prod --save-env .env.msgs",
        (
            "  then add   --env-file .env.msgs               (keep that file out of git; do not save it in .env.local)"
            " [exit 2]"
        ),
    ]


def test_the_newest_sessions_with_their_last_words(app: Path) -> None:
    """The list comes through the dashboard's queries: nothing is deployed, nothing changes."""
    done = run(app, "sessions --recent 5 --env-file .env.msgs")
    assert (done.code, done.err) == (
        0,
        "prod tall-forest-123 · table messages · nothing deployed there is needed or changed\n",
    )
    lines = done.out.decode().splitlines()
    assert re.split(r"  +", lines[0]) == ["SESSION", "LAST MESSAGE", "LAST HUMAN WORDS"]
    assert [re.split(r"  +", line) for line in lines[1:4]] == [
        ["cust-42", "2026-08-22 09:14", "where is my refund?"],
        ["cust-17", "2026-08-22 08:52", "thanks!"],
        ["team a/chat 1", "2026-08-21 19:03", "can you draft the announcement for Monday?"],
    ]
    assert len(lines) == 6


def test_a_mistyped_session_names_the_nearest_and_writes_nothing(app: Path) -> None:
    """Three ids and a pattern, exit 2, no file."""
    done = run(app, "export -s cust42 -o chat.md --env-file .env.msgs")
    assert (done.code, done.out) == (2, b"")
    assert done.err.splitlines() == [
        "error: no session 'cust42'. Nearest ids: 'cust-4', 'cust-42', 'cust-421'.",
        "  a pattern?  --match 'cust*'          nothing was written. [exit 2]",
    ]
    assert not list(app.glob("*chat*"))


def test_the_transcript_is_what_a_person_wants_to_read(app: Path) -> None:
    """The first lines of the file, the closing line, and the file's mode."""
    done = run(app, "export -s cust-42 -o chat.md --env-file .env.msgs")
    assert (done.code, done.out) == (0, b"")
    first, second = done.err.splitlines()
    assert first == "prod tall-forest-123 · table messages"
    assert re.fullmatch(r"412 messages, 1 session -> chat\.md \(34 KB\) in \d+\.\d s; read about \d\.\d MB", second), (
        second
    )
    lines = (app / "chat.md").read_text().splitlines()
    assert lines[:5] == [
        "# cust-42",
        "2026-08-01 to 2026-08-22, 412 messages, prod tall-forest-123",
        "",
        "**human** 2026-08-01 10:02  Hi! I'm Jim.",
        "",
    ]
    assert lines[5].startswith("**ai** 2026-08-01 10:02  Hello Jim!")
    assert '> tool get_order(id="A-17") -> {"status":"refunded"}' in lines
    assert (app / "chat.md").stat().st_mode & 0o777 == 0o600


def test_the_same_for_a_machine(app: Path) -> None:
    """JSONL of one session: 412 lines, each a row with the session's id."""
    done = run(app, "export -s cust-42 -o chat.jsonl --env-file .env.msgs")
    assert done.code == 0
    lines = (app / "chat.jsonl").read_bytes().splitlines()
    assert len(lines) == 412
    assert all(b'"sessionId":"cust-42"' in line for line in lines)


def test_nothing_was_changed_there(app: Path) -> None:
    """Reading leaves no trace: the row count is what it was and doctor says what is open."""
    done = run(app, "doctor --env-file .env.msgs")
    assert done.code == 0
    text = done.out.decode()
    assert "ok    table messages, index bySessionId, 2,407 rows (statistics), schema level langchain" in text
    assert "--    read: functions not deployed" in text
    assert "--    plan: no streaming export" in text
