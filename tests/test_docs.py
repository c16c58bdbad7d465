"""The documentation cannot drift: names are compared with the code, and its examples are run."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import duckdb
import pytest

import sync_tool
from running import ROOT, Sandbox, clean_environment, running_sandbox
from sync_tool.cli.help import SECTIONS
from sync_tool.cli.main import cli
from sync_tool.deployment import settings
from sync_tool.errors import EXIT_CODES
from sync_tool.files.formats import SUFFIXES
from sync_tool.rows.columns import COLUMNS

DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.glob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
]
PACKAGE = sorted((ROOT / "sync_tool").rglob("*.py"))
COMMANDS = [name for names in SECTIONS.values() for name in names]
_END_OF_BLOCK = "-- end of block --"


def text_of(name: str) -> str:
    """Return a page of the documentation."""
    return (DOCS / name).read_text()


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield language and text of the code blocks of a page."""
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
        yield match[1], match[2]


def without_code(page: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def options_of(name: str) -> set[str]:
    """Return the visible long options of a command."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    shown = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    return {word for option in shown for word in option.opts if word.startswith("--")}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_readme_and_reference(name: str) -> None:
    """No command exists that the README's table and the reference do not show."""
    assert f"\n| `{name}` |" in (ROOT / "README.md").read_text()
    assert f"\n## convex-msgs {name}\n" in text_of("commands.md")


def test_the_command_reference_is_what_help_prints() -> None:
    """docs/commands.md is the generated text; `python docs/commands.py` renews it."""
    assert text_of("commands.md") == runpy.run_path(str(DOCS / "commands.py"))["commands_text"]()


def test_every_exit_code_is_documented_with_its_meaning() -> None:
    """The table in the docs is the table in the code: codes, names, meanings, order."""
    rows = re.findall(r"^\| (\d+) \| `Exit\.(\w+)` \| (.+) \|$", text_of("exit-codes.md"), re.MULTILINE)
    assert rows == [(str(int(code)), code.name, meaning) for code, meaning in EXIT_CODES.items()]


def test_every_environment_variable_is_documented() -> None:
    """Each variable that the code looks at is in docs/settings.md."""
    named = {found for path in PACKAGE for found in re.findall(r"CONVEX_MSGS_[A-Z_]+", path.read_text())}
    named |= set(re.findall(r"\bCONVEX_[A-Z_]+", Path(settings.__file__).read_text()))
    named |= {f"{prefix}CONVEX_URL" for prefix in settings._APP_URL_PREFIXES}
    assert len(named) > 15
    assert sorted(name for name in named if f"`{name}`" not in text_of("settings.md")) == []


def test_no_environment_variable_is_invented() -> None:
    """Each CONVEX_… variable that a page names is known to the code, the tests or the makefile."""
    known = "".join(path.read_text() for path in [*PACKAGE, ROOT / "Makefile"])
    known += " ".join(f"{prefix}CONVEX_URL" for prefix in settings._APP_URL_PREFIXES)
    known += " _CONVEX_MSGS_COMPLETE"  # click's own, made of the command's name
    named = {name for page in PAGES for name in re.findall(r"\b[A-Z_]*CONVEX_[A-Z_]+", page.read_text())}
    assert sorted(name for name in named if name not in known) == []


def test_the_order_of_keys_is_that_of_the_code() -> None:
    """The table of keys in docs/set-up.md lists the variables as they win."""
    listed = re.findall(r"^\| \d \| `(CONVEX_\w+)` \|$", text_of("set-up.md"), re.MULTILINE)
    assert listed == [*settings._KEY_VARIABLES, settings._ADMIN_KEY]


def test_every_shared_option_is_documented() -> None:
    """Options that more than one command has are in docs/settings.md, those of the sandbox in docs/sandbox.md."""
    seen = [option for name in COMMANDS for option in options_of(name)]
    shared = {option for option in seen if seen.count(option) > 1}
    assert sorted(option for option in shared if f"`{option}" not in text_of("settings.md")) == []
    own = options_of("sandbox") - {"--help", "--functions", "--streaming", "--data-sync", "--verbose"}
    assert sorted(option for option in own if f"`{option}" not in text_of("sandbox.md")) == []


def test_every_public_name_is_documented() -> None:
    """Each name of sync_tool.__all__ begins a row of a table in docs/library.md."""
    rows = set(re.findall(r"^\| `(\w+)", text_of("library.md"), re.MULTILINE))
    assert sorted(set(sync_tool.__all__) ^ rows) == []


def test_every_parquet_column_is_documented_in_order() -> None:
    """The column table of docs/formats.md is the one of the code."""
    page = text_of("formats.md").split("## Parquet")[1]
    assert tuple(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == COLUMNS


def test_every_suffix_is_documented() -> None:
    """The first table of docs/formats.md names each format's suffix."""
    assert [suffix for suffix in SUFFIXES if f"\n| `{suffix}`" not in text_of("formats.md")] == []


def test_every_page_is_on_the_map() -> None:
    """docs/index.md links to each page."""
    names = [page.name for page in DOCS.glob("*.md") if page.name != "index.md"]
    assert [name for name in names if f"]({name})" not in text_of("index.md")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link to a file of this repository resolves, its heading included."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page)):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        headings = re.findall(r"^#+ (.+)$", without_code(file), re.MULTILINE) if anchor else []
        assert not anchor or anchor in [re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings]


def test_the_readme_is_short() -> None:
    """A README is read to its end if it has no more than 150 lines."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.fixture
def folder(tmp_path: Path, sandbox: Sandbox) -> Path:
    """A folder with the sandbox's address and key in .env.msgs, as the pages have it."""
    (tmp_path / ".env.msgs").write_text(sandbox.env_file.read_text())
    return tmp_path


@pytest.fixture
def own_folder(tmp_path: Path) -> Iterator[Path]:
    """The same with a sandbox of its own, for pages that write."""
    (tmp_path / "own").mkdir()
    with running_sandbox(tmp_path / "own", "--sample-data") as own:
        (tmp_path / ".env.msgs").write_text(own.env_file.read_text())
        yield tmp_path


def run(command: list[str], folder: Path, extra: dict[str, str] | None = None) -> str:
    """Run a command in the folder; return what it printed, stderr included, the sandbox at its usual address."""
    here = Path(sys.executable).parent
    env = clean_environment(
        {"PYTHONPATH": str(ROOT), "PATH": f"{here}{os.pathsep}{os.environ['PATH']}", **(extra or {})}
    )
    done = subprocess.run(
        command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:3210", done.stdout)


def steady(output: str) -> str:
    """Return output without what differs from run to run: clock times, durations, sizes, today's month."""
    output = re.sub(r"\d\d:\d\d:\d\d(\.\d+\+00:00)?", "TIME", output)
    output = re.sub(r'"(started|ended)":"[^"]*"|"seconds":[\d.e-]+', "MEASURED", output)
    output = re.sub(r"in \d+(\.\d)? s\b", "in SECONDS", output)
    output = re.sub(r"\d+(\.\d)? KB\)", "SIZE)", output)
    output = re.sub(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", "RUN", output)
    output = re.sub(r", \d+ KB( \([^)]*\))?, \d+\.\d s; consistent at", r", SIZE\1, SECONDS; consistent at", output)
    output = re.sub(r"yes, \d{4}-\d\d-\d\d", "yes, TODAY", output)
    return re.sub(r"--after \d{4}-\d\d-01 ", "--after MONTH ", output)


WRITING = {"import.md"}
CONSOLES = [page for page in PAGES if any(language == "console" for language, _ in blocks(page))]


@pytest.mark.parametrize("page", [page for page in CONSOLES if page.name not in WRITING], ids=lambda page: page.name)
def test_sessions_on_the_pages_are_real(page: Path, folder: Path) -> None:
    """Each command of a console block, run in the order of the page, prints what the page says."""
    run_consoles(page, folder)


@pytest.mark.parametrize("page", [page for page in CONSOLES if page.name in WRITING], ids=lambda page: page.name)
def test_sessions_on_the_pages_that_write_are_real(page: Path, own_folder: Path) -> None:
    """The same for pages whose commands write into a deployment: they get one of their own."""
    run_consoles(page, own_folder)


def run_consoles(page: Path, folder: Path) -> None:
    """Run the commands of a page and compare what they print."""
    env = {"CONVEX_MSGS_ENV_FILE": ".env.msgs", "XDG_STATE_HOME": str(folder / "state")}
    for language, text in blocks(page):
        if language != "console":
            continue
        for step in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, expected = step.partition("\n")
            assert steady(run(["sh", "-c", command], folder, env)) == steady(expected), command


def test_the_code_of_the_library_page_runs(folder: Path) -> None:
    """The Python blocks of docs/library.md run one after the other, and print what the text block behind them says."""
    found = list(blocks(DOCS / "library.md"))
    expected = [
        text if language == "text" else ""
        for (before, _), (language, text) in zip(found, [*found[1:], ("", "")], strict=True)
        if before == "python"
    ]
    script = f"\nprint({_END_OF_BLOCK!r})\n".join([text for language, text in found if language == "python"])
    printed = run([sys.executable, "-c", script], folder).split(f"{_END_OF_BLOCK}\n")
    assert [block.strip() for block in printed] == [block.strip() for block in expected]
    assert len(printed) > 4


@pytest.fixture
def exported(folder: Path) -> Path:
    """The same folder with the files that the recipes read."""
    for name in ("messages.parquet", "messages.jsonl.gz", "two.jsonl"):
        assert "->" in run(["convex-msgs", "export", "-o", name, "--env-file", ".env.msgs"], folder)
    return folder


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "export.md"], ids=lambda page: page.name)
def test_the_other_code_runs(page: Path, exported: Path) -> None:
    """The notebook lines and the recipes for pandas and Polars run to their end."""
    script = "".join(text for language, text in blocks(page) if language == "python")
    last = run([sys.executable, "-c", f"{script}\nprint({_END_OF_BLOCK!r})"], exported).splitlines()[-1]
    assert last == _END_OF_BLOCK


def test_the_sql_recipes_run(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each statement for DuckDB gives rows."""
    monkeypatch.chdir(exported)
    statements = [text for language, text in blocks(DOCS / "export.md") if language == "sql"]
    asked = [statement for statement in "".join(statements).split(";") if statement.strip()]
    with duckdb.connect() as database:
        assert all(database.execute(statement).fetchall() for statement in asked)
    assert len(asked) > 3
