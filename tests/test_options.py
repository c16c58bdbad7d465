"""Options are declared once, and the command line and the library agree on them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest

import sync_tool as cm
from running import ROOT
from sync_tool.cli.main import cli
from sync_tool.commands import options as declarations
from sync_tool.commands.declaration import Options, declared
from sync_tool.commands.selection import SelectionKeywords, SelectionOptions
from sync_tool.langchain import ConvexChatMessageHistory

SAMPLE = ROOT / "sample_data" / "messages.jsonl"
PAIRS = [
    (SelectionOptions, SelectionKeywords),
    (declarations.TrainingOptions, declarations.TrainingKeywords),
    (declarations.ExportOptions, declarations.ExportKeywords),
    (declarations.ConvertOptions, declarations.ConvertKeywords),
    (declarations.ImportOptions, declarations.ImportKeywords),
    (declarations.MigrateOptions, declarations.ImportKeywords),
    (declarations.SyncOptions, declarations.SyncKeywords),
    (declarations.RestoreOptions, declarations.RestoreKeywords),
    (declarations.DiffOptions, declarations.DiffKeywords),
    (declarations.ValidateOptions, declarations.ValidateKeywords),
    (declarations.VerifyOptions, declarations.VerifyKeywords),
]
COMMANDS = {
    "sessions": declarations.SessionsOptions,
    "export": declarations.ExportOptions,
    "convert": declarations.ConvertOptions,
    "import": declarations.ImportOptions,
    "migrate": declarations.MigrateOptions,
    "sync": declarations.SyncOptions,
    "restore": declarations.RestoreOptions,
    "diff": declarations.DiffOptions,
    "validate": declarations.ValidateOptions,
    "verify": declarations.VerifyOptions,
}


@pytest.mark.parametrize(("options", "keywords"), PAIRS)
def test_type_checkers_see_the_declared_keywords(options: type[Options], keywords: Any) -> None:
    """The TypedDict of a command has the names and types of its options, and nothing else."""
    declared_types: dict[str, Any] = {}
    for base in reversed(options.__mro__):
        declared_types |= inspect.get_annotations(base)
    typed = {name: reference.__forward_arg__ for name, reference in keywords.__annotations__.items()}
    assert typed == {name: declared_types[name] for name in (field.name for field in fields(options))}


@pytest.mark.parametrize(("name", "options"), COMMANDS.items())
def test_the_command_line_offers_what_is_declared(name: str, options: type[Options]) -> None:
    """Every declared option is one of the command's, with its help and its default."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    offered = {one.name: one for one in command.params if isinstance(one, click.Option)}
    defaults = {field.name: field.default for field in fields(options)}
    for field, shown in declared(options).items():
        assert offered[field].help == shown.help
        given = offered[field].get_default(click.Context(command))
        assert given == defaults[field] or not given, field  # a switch that is off, or nothing


def _calls(tmp_path: Path) -> dict[str, Callable[..., Any]]:
    saved = cm.open(SAMPLE)
    out = str(tmp_path / "out.jsonl")
    return {
        "export": lambda **given: cm.export(saved, out, **given),
        "convert": lambda **given: cm.convert(SAMPLE, out, **given),
        "import_": lambda **given: cm.import_(SAMPLE, "@none.env", **given),
        "migrate": lambda **given: cm.migrate(SAMPLE, "@none.env", **given),
        "sync": lambda **given: cm.sync(saved, tmp_path / "archive", **given),
        "restore": lambda **given: cm.restore(saved, "@none.env", **given),
        "diff": lambda **given: cm.diff(saved, saved, **given),
        "validate": lambda **given: cm.validate(SAMPLE, **given),
        "verify": lambda **given: cm.verify(tmp_path, **given),
        "runs": lambda **given: cm.runs(tmp_path, **given),
        "tail": lambda **given: cm.tail(saved, "cust-42", **given),
        "doctor": lambda **given: cm.doctor(saved, **given),
        "init": lambda **given: cm.init(tmp_path, **given),
        "connect": lambda **given: cm.connect("http://127.0.0.1:9", **given),
        "open": lambda **given: cm.open(SAMPLE, **given),
        "History.sessions": saved.sessions,
        "History.messages": saved.messages,
        "ConvexChatMessageHistory": lambda **given: ConvexChatMessageHistory("cust-42", **given),
    }


MISSPELT = {
    "export": ("afer", "after"),
    "convert": ("formt", "format"),
    "import_": ("dryrun", "dry_run"),
    "migrate": ("sesions", "sessions"),
    "sync": ("fulll", "full"),
    "restore": ("sesion", "session"),
    "diff": ("macth", "match"),
    "validate": ("levle", "level"),
    "verify": ("subsets", "subset"),
    "runs": ("archives", "archive"),
    "tail": ("waiting", "wait"),
    "doctor": ("plase", "place"),
    "init": ("readonly", "read_only"),
    "connect": ("envfile", "env_file"),
    "open": ("asof", "as_of"),
    "History.sessions": ("recnt", "recent"),
    "History.messages": ("befor", "before"),
    "ConvexChatMessageHistory": ("tabel", "table"),
}


def test_every_public_function_is_in_the_table() -> None:
    """No public function escapes the two tests below."""
    functions = {name for name in cm.__all__ if inspect.isfunction(getattr(cm, name))}
    assert functions <= MISSPELT.keys()


@pytest.mark.parametrize(("name", "wrong", "right"), [(name, *pair) for name, pair in MISSPELT.items()])
def test_a_misspelt_keyword_is_a_type_error(name: str, wrong: str, right: str, tmp_path: Path) -> None:
    """An unknown keyword is named beside the nearest known one, and nothing is read or written."""
    with pytest.raises(TypeError) as caught:
        _calls(tmp_path)[name](**{wrong: "x"})
    assert repr(wrong) in str(caught.value)
    assert repr(right) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_session_is_a_selection_of_one_everywhere(tmp_path: Path) -> None:
    """`session=` selects the same as `sessions=[…]`."""
    saved = cm.open(SAMPLE)
    out = str(tmp_path / "out.jsonl")
    assert cm.export(saved, out, session="cust-42").rows == 412
    assert cm.convert(SAMPLE, out, session="cust-42", overwrite=True).rows == 412
    assert cm.validate(SAMPLE, session="cust-42").rows == 412
    assert cm.diff(SAMPLE, out, session="cust-42").same == 1
    assert [info.count for info in saved.sessions(session="cust-42", count=True)] == [412]
    assert len(list(saved.messages(session="cust-42"))) == 412
    assert len(list(saved.messages("cust-42"))) == 412


def test_help_shows_every_keyword() -> None:
    """The signature that editors and help() show has the declared keywords with their defaults."""
    shown = inspect.signature(cm.sync).parameters
    assert shown["full_every"].default == "7d"
    assert "keywords" not in shown
