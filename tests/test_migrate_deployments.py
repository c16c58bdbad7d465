"""``migrate`` from one deployment into another: plan, conflicts, names, times, production, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import sync_tool as cm
from faults.plan import Plan
from faults.proxying import running_proxy
from faults.reaching import Table
from importing import Target
from running import Done, Sandbox, convex_msgs, running_sandbox
from sync_tool.commands.import_.report import Comparison

OTHER_NAMES = cm.Names("chat_log", "byChat", "chatId")


@pytest.fixture(scope="module")
def deployments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Sandbox]]:
    """Two deployments, the second one of production."""
    dev, prod = tmp_path_factory.mktemp("dev"), tmp_path_factory.mktemp("prod")
    with running_sandbox(dev) as one, running_sandbox(prod, "--type", "prod", "--name", "tall-forest-123") as other:
        yield one, other


@pytest.fixture
def both(
    deployments: tuple[Sandbox, Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Target, Target]]:
    """Their tables, empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield Target(deployments[0]), Target(deployments[1])
    for sandbox in deployments:
        table = Table(sandbox)
        table.clear(table.sessions())


def migrate(source: Target, target: Target, folder: Path, *flags: str) -> Done:
    """Run the command."""
    places = ("--from", f"@{source.sandbox.env_file}", "--to", f"@{target.sandbox.env_file}")
    return convex_msgs("migrate", *places, *flags, cwd=folder, env={"XDG_STATE_HOME": str(folder / "state")})


def test_from_dev_into_production(both: tuple[Target, Target], tmp_path: Path) -> None:
    """The plan, the question of production, one conflict left, the closing comparison; `diff` says the same."""
    dev, prod = both
    for session in ("cust-1", "cust-2", "cust-9"):
        dev.append(session, "one", "two", "three")
    prod.append("cust-2", "one")
    prod.append("cust-9", "one", "other")
    plan = migrate(dev, prod, tmp_path, "--dry-run")
    title = f"self-hosted {dev.sandbox.url.removeprefix('http://')}"
    assert (plan.code, plan.err.splitlines()[1:]) == (
        0,
        [
            f"from   {title}",
            "to     prod tall-forest-123, table messages, 3 rows, schema takes level langchain",
            plan.err.splitlines()[3],
            "       new 1 · up to date 0 · extend 1 · conflict 1 (first: 'cust-9' differs at message 2; all: --json)",
            "order  inside every session kept. Between sessions: not kept",
            "times  rows get today's _creationTime. With an empty table: --keep-times",
            "nothing was written.",
        ],
    )
    assert plan.err.splitlines()[3].startswith("plan   3 sessions, 9 messages, ")
    refused = migrate(dev, prod, tmp_path)
    assert (refused.code, "is a production deployment, which needs --yes" in refused.err) == (2, True)
    done = migrate(dev, prod, tmp_path, "--yes")
    assert done.code == 3, done.err
    assert done.err.endswith("compared: 2 sessions equal · 1 conflict left as it is [exit 3]\n")
    assert prod.texts("cust-9") == ["one", "other"]
    places = (f"@{dev.sandbox.env_file}", f"@{prod.sandbox.env_file}")
    found = convex_msgs("diff", *places, cwd=tmp_path)
    assert (found.code, found.out.decode().splitlines()) == (
        4,
        ["cust-9  differs at message 2 of 3 (here: 1 message more)", "2 sessions equal · 1 changed [exit 4]"],
    )
    replaced = migrate(dev, prod, tmp_path, "--yes", "--on-conflict", "replace")
    assert replaced.err.endswith("compared: 3 sessions equal\n")
    assert convex_msgs("diff", *places, cwd=tmp_path).code == 0


def test_sessions_get_other_ids(both: tuple[Target, Target], tmp_path: Path) -> None:
    """Renamed sessions are known again under their new ids; two that would become one are refused."""
    dev, prod = both
    dev.append("cust-1", "one", "two")
    dev.append("old/7", "three")
    flags = ("--yes", "--rename", "cust-1=acme", "--rename-regex", r"^old/(\d+)$=new-\1")
    done = migrate(dev, prod, tmp_path, *flags)
    assert done.code == 0, done.err
    assert (prod.texts("acme"), prod.texts("new-7")) == (["one", "two"], ["three"])
    dev.append("cust-1", "four")
    again = migrate(dev, prod, tmp_path, *flags)
    assert "1 session already there, 1 extended; 1 message written" in again.err
    assert prod.texts("acme") == ["one", "two", "four"]
    merged = migrate(dev, prod, tmp_path, "--rename", "old/7=cust-1", "--yes")
    assert (merged.code, "would both be called 'cust-1'" in merged.err) == (2, True)


def test_times_are_kept_in_an_empty_table(both: tuple[Target, Target], tmp_path: Path) -> None:
    """All rows have the times of the source and new ids; a second time the table is not empty, and nothing is sent."""
    dev, prod = both
    for number in range(3):
        dev.append(f"cust-{number}", "one", "two")
    done = migrate(dev, prod, tmp_path, "--keep-times", "--yes")
    assert done.code == 0, done.err
    assert "times  every message keeps its _creationTime: one atomic import, new _id" in done.err
    for session in ("cust-0", "cust-1", "cust-2"):
        times = [[row["_creationTime"] for row in one.rows(session)] for one in both]
        assert times[0] == times[1]
        assert not set(dev.ids(session)) & set(prod.ids(session))
    again = migrate(dev, prod, tmp_path, "--keep-times", "--yes")
    assert (again.code, "nothing to write" in again.err) == (0, True)
    dev.append("cust-0", "three")
    refused = migrate(dev, prod, tmp_path, "--keep-times", "--yes")
    assert (refused.code, "--keep-times needs an empty table" in refused.err) == (2, True)


def test_between_two_naming_schemes(both: tuple[Target, Target], tmp_path: Path) -> None:
    """Each side has names of its own, by the library; run again nothing is sent, and `diff` finds no difference."""
    dev, prod = both
    flags = ("--table", "chat_log", "--index", "byChat", "--session-field", "chatId")
    (tmp_path / "other").mkdir()
    dev.append("cust-1", "one", "two")
    dev.append("cust-2", "three")
    with running_sandbox(tmp_path / "other", *flags) as running:
        other = Target(running, OTHER_NAMES)
        with dev.connected() as source, other.connected() as there:
            report = cm.migrate(source, there)
            assert (report.sent_rows, report.compared) == (3, Comparison(2, 0, 0, 0))
            assert cm.migrate(source, there).sent_rows == 0
            same = cm.diff(source, there)
            assert (same.exit_code, same.same) == (0, 2)
        with other.connected() as source, prod.connected() as there:
            assert cm.migrate(source, there, yes=True).sent_rows == 3
    assert (prod.texts("cust-1"), prod.texts("cust-2")) == (["one", "two"], ["three"])


def test_what_is_refused(both: tuple[Target, Target], tmp_path: Path) -> None:
    """The same table on both sides, a file as source, an unknown session: exit code 2, and what to do."""
    dev, prod = both
    dev.append("cust-1", "one")
    same = migrate(dev, dev, tmp_path)
    assert (same.code, "source and target are the same table" in same.err) == (2, True)
    (tmp_path / "x.jsonl").write_text("{}\n")
    file = convex_msgs("migrate", "--from", "x.jsonl", "--to", f"@{prod.sandbox.env_file}", cwd=tmp_path)
    assert (file.code, "convex-msgs import FILE" in file.err) == (2, True)
    unknown = migrate(dev, prod, tmp_path, "-s", "cust1")
    assert (unknown.code, "Nearest ids: 'cust-1'" in unknown.err) == (2, True)
    assert prod.texts("cust-1") == []


def test_the_source_has_the_limits_of_the_command(both: tuple[Target, Target], tmp_path: Path) -> None:
    """A source that gives no answer gets --attempts requests, then it is exit code 5."""
    dev, prod = both
    always = Plan(tuple((number, "503-InternalServerError") for number in range(1, 50)))
    with running_proxy(dev.sandbox.url, always) as proxy:
        (tmp_path / "far.env").write_text(
            f"CONVEX_SELF_HOSTED_URL={proxy.url}\nCONVEX_SELF_HOSTED_ADMIN_KEY='{dev.sandbox.key}'\n"
        )
        places = ("--from", "@far.env", "--to", f"@{prod.sandbox.env_file}")
        done = convex_msgs("migrate", *places, "--attempts", "2", cwd=tmp_path)
        assert (done.code, len(proxy.events())) == (5, 2), done.err
