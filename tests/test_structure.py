"""Rules for the shape of the code; import layers are checked by import-linter in `make check`."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import click
import pytest

import sync_tool
from running import ROOT
from sync_tool import errors
from sync_tool.cli.help import SECTIONS, Command
from sync_tool.cli.main import cli
from sync_tool.errors import EXIT_CODES, ConvexMsgsError, Exit

PACKAGE = sorted((ROOT / "sync_tool").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
COMMANDS = [name for names in SECTIONS.values() for name in names]
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in PACKAGE}
_MOST_LINES = 500
_FEW_LINES = 20
_MOST_LAYERS = 8
_MOST_FUNCTION_LINES = 50


def functions(paths: list[Path]) -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield every function of some files."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def test_files_are_short() -> None:
    """No file of the package is longer than what one idea needs."""
    assert [path.name for path in PACKAGE if len(path.read_text().splitlines()) > _MOST_LINES] == []


def imports() -> dict[str, set[str]]:
    """Return which modules each module of the package imports anywhere, also for type checkers only."""
    found: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        named = {(node.module or "", alias.name) for node in nodes for alias in node.names}
        found[name] = {f"{home}.{one}" if f"{home}.{one}" in MODULES else home for home, one in named}
        found[name] &= MODULES.keys() - {name}
    return found


def test_no_two_modules_share_a_public_name() -> None:
    """A public class or function has one meaning in the package (the sandbox is a program of its own)."""
    homes: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        if not name.startswith("sync_tool.sandbox"):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    homes.setdefault(node.name, []).append(name)
    assert {name: found for name, found in homes.items() if len(found) > 1 and not name.startswith("_")} == {}


def test_no_import_cycle() -> None:
    """Modules can be put in an order in which each imports only earlier ones, type checking included."""
    TopologicalSorter(imports()).prepare()


def test_small_modules_serve_several_others() -> None:
    """A module of few lines that only one other module imports belongs into that one; a folder has several modules."""
    importers: dict[str, list[str]] = {}
    for name, found in imports().items():
        for other in found:
            importers.setdefault(other, []).append(name)
    small = [
        name
        for name, path in MODULES.items()
        if path.name != "__init__.py"
        and len(path.read_text().splitlines()) < _FEW_LINES
        and len(importers.get(name, [])) == 1
    ]
    assert small == []
    folders = {path.parent for path in PACKAGE}
    assert [folder.name for folder in folders if len([path for path in PACKAGE if folder in path.parents]) < 3] == []


def test_layers_are_few_and_complex_functions_rare() -> None:
    """Imports pass at most eight layers; at most one function in a hundred may exceed a complexity of ten."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert len(settings["importlinter"]["contracts"][0]["layers"]) <= _MOST_LAYERS
    assert settings["ruff"]["lint"]["mccabe"]["max-complexity"] == 10
    exempt = sum("C901" in path.read_text() for path in PACKAGE)
    assert exempt <= len(list(functions(PACKAGE))) / 100


def test_functions_are_short() -> None:
    """No function has more than 50 lines of code below its docstring."""
    long = []
    for path, node in functions(PACKAGE):
        body = node.body[1:] if ast.get_docstring(node) else node.body
        if body and (body[-1].end_lineno or 0) - body[0].lineno >= _MOST_FUNCTION_LINES:
            long.append(f"{path.name}:{node.name}")
    assert long == []


def test_every_test_says_what_it_proves() -> None:
    """Each test has a docstring."""
    assert [
        node.name for _, node in functions(TESTS) if node.name.startswith("test_") and not ast.get_docstring(node)
    ] == []


def called(node: ast.Call) -> str:
    """Return the last name of what is called."""
    return str(getattr(node.func, "attr", None) or getattr(node.func, "id", ""))


def test_nothing_sleeps_or_is_skipped() -> None:
    """No test and no helper waits by the clock, by whatever name or inside a script, and none leaves anything out."""
    skips = {"skip", "skipif", "xfail", "importorskip", "skipTest", "SkipTest"}
    found = set()
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = called(node) if isinstance(node, ast.Call) else getattr(node, "attr", getattr(node, "name", ""))
            sleeps = isinstance(node, ast.Call | ast.alias) and name == "sleep"
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if sleeps or (isinstance(node, ast.Attribute | ast.alias) and name in skips) or "sleep(" in text:
                found.add(path.relative_to(ROOT / "tests").as_posix())
    assert found == {
        "faults/proxy.py",  # a network that drips
        "fixtures/make.py",  # no test: it waits for the moment to kill
        "test_structure.py",  # the words above
    }


def names_in(node: ast.expr | None) -> set[str]:
    """Return the last names in an expression: of ``(a.B, C)`` B and C; of nothing, which catches all, BaseException."""
    if node is None:
        return {"BaseException"}
    found = (getattr(inner, "attr", None) or getattr(inner, "id", None) for inner in ast.walk(node))
    return {name for name in found if name}


def test_broad_excepts_are_few() -> None:
    """Everything is caught only at the borders: the command line, threads, other processes, the sandbox's server."""
    found = []
    for path in PACKAGE:
        for node in ast.walk(ast.parse(path.read_text())):
            caught: set[str] = set()
            if isinstance(node, ast.ExceptHandler):
                caught = names_in(node.type)
            elif isinstance(node, ast.Call) and called(node) == "suppress":
                caught = set().union(*map(names_in, node.args))
            if caught & {"Exception", "BaseException"}:
                found.append(path.relative_to(ROOT / "sync_tool").as_posix())
    assert sorted(name for name in found if not name.startswith("sandbox/")) == [
        "cli/main.py",
        "files/bytes.py",
        "parallel/ordered.py",
        "parallel/processes.py",
    ]
    assert sum(name.startswith("sandbox/") for name in found) <= 2


def test_only_the_command_line_prints_or_exits() -> None:
    """No print, echo or exit outside cli/ (the sandbox prints its ready line)."""
    names = {"print", "exit", "echo"}
    found = {
        path.relative_to(ROOT / "sync_tool").parts[0]
        for path in PACKAGE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and called(node) in names
    }
    assert found <= {"cli", "sandbox"}


def test_every_error_has_a_documented_exit_code() -> None:
    """The whole tree of errors maps into the one table."""
    classes = [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ConvexMsgsError)
    ]
    assert len(classes) > 8
    for found in classes:
        assert found.exit_code in EXIT_CODES
        assert found.__name__ in (errors.__doc__ or "")
    assert set(EXIT_CODES) == set(Exit)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_examples_and_exit_codes(name: str) -> None:
    """Help has both, and every option says what it is for."""
    command = cli.get_command(click.Context(cli), name)
    assert isinstance(command, Command)
    assert command.examples
    assert Exit.DONE in command.exits
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help, option.name


@pytest.mark.parametrize("arguments", [["--help"], ["export", "--help"], ["sandbox", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """`--help` is quick: neither pyarrow nor convex nor urllib3 nor the sandbox's server is imported for it."""
    script = (
        "import sys\nfrom sync_tool.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = ('pyarrow', 'convex', 'urllib3', 'starlette', 'tqdm', 'stamina')\n"
        "print(','.join(name for name in heavy if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == ""


def test_the_public_interface_is_written_down() -> None:
    """Every name in __all__ exists and has a docstring; nothing else is offered."""
    assert sorted(sync_tool.__all__) == dir(sync_tool)
    for name in sync_tool.__all__:
        value = getattr(sync_tool, name)
        assert name == "__version__" or value.__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sync_tool.nothing


def test_no_machine_or_registry_is_named() -> None:
    """No tracked file holds an absolute path of a machine or the address of a package registry."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    names = [name for name in listed.split("\0") if name and Path(name).suffix != ".jsonl"]
    suspects = ("/" + "root/", "/" + "work/", "registry." + "npmjs", "pypi." + "org", "files.python" + "hosted")
    found = [
        f"{name}: {suspect}"
        for name in names
        if (ROOT / name).is_file()
        for suspect in suspects
        if suspect in (ROOT / name).read_text(errors="replace")
    ]
    assert found == []
