"""Typed decoding is really used: hardly any row of chat history is decoded exactly, and no page is split."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sync_tool as cm
from running import ROOT, Sandbox
from sync_tool.commands.validate import validate as checking
from sync_tool.encoding.canonical import dumps
from sync_tool.encoding.ids import DocumentId, encode_id
from sync_tool.rows import batch, columns, model

SAMPLE = ROOT / "sample_data" / "messages.jsonl"
OTHER = cm.Names(table="chats", index="byUser", session_field="userId", message_field="body")
EXACT = 0.01
"""Share of rows that may be decoded exactly."""


class Counter:
    """Counts calls of the exact functions."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.exact = 0
        self.split = 0
        for module in (batch, columns, model):
            patch.setattr(module, "loads", self._counting(module.loads))
        patch.setattr(batch.Batch, "rows", self._counting_rows(batch.Batch.rows))

    def _counting(self, function: Callable[[bytes], object]) -> Callable[[bytes], object]:
        def counted(text: bytes) -> object:
            self.exact += 1
            return function(text)

        return counted

    def _counting_rows(self, function: Callable[[batch.Batch], list[model.Row]]) -> Any:
        def counted(rows: batch.Batch) -> list[model.Row]:
            self.split += rows.count
            return function(rows)

        return counted


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Counts what the test does."""
    return Counter(monkeypatch)


def chitchat(names: cm.Names) -> bytes:
    """Return short conversations of two people, as rows of chitchat-dataset are made."""
    random_ = random.Random(1)
    words = ["hi", "how", "are", "you", "não", "well,", "yes", "😀", "no", "music", "dog"]
    lines = []
    for session in range(60):
        for number in range(40):
            data: dict[str, object] = {
                "additional_kwargs": {},
                "content": " ".join(random_.choices(words, k=9)),
                "response_metadata": {},
            }
            if number % 2:
                data |= {"invalid_tool_calls": [], "tool_calls": []}
            row = {
                "_creationTime": 1.5e12 + session * 1000 + number + 0.25,
                "_id": encode_id(DocumentId(10001, random_.randbytes(16))),
                names.message_field: {"data": data, "type": "ai" if number % 2 else "human"},
                names.session_field: f"{session:04}",
            }
            lines.append(dumps(row) + b"\n")
    return b"".join(lines)


def renamed(line: bytes, names: cm.Names) -> bytes:
    """Return a row under the field names of another table."""
    row = json.loads(line)
    row[names.session_field], row[names.message_field] = row.pop("sessionId"), row.pop("message")
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


@pytest.fixture(params=["sample", "sample, other names", "chitchat", "chitchat, other names"])
def history(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, cm.Names, int]:
    """A file, its field names and its number of rows."""
    names = OTHER if request.param.endswith("other names") else cm.Names()
    content = chitchat(names) if request.param.startswith("chitchat") else SAMPLE.read_bytes()
    if request.param == "sample, other names":
        content = b"".join(renamed(line, names) for line in content.splitlines())
    path = tmp_path / "history.jsonl"
    path.write_bytes(content)
    return path, names, content.count(b"\n")


def test_files_are_converted_by_typed_decoding(
    tmp_path: Path, history: tuple[Path, cm.Names, int], counter: Counter
) -> None:
    """JSONL to JSONL, to Parquet, to zip, and back."""
    path, names, rows = history
    steps = [(path, "a.jsonl"), (path, "a.parquet"), (tmp_path / "a.parquet", "b.jsonl")]
    for source, output in [*steps, (path, "a.zip"), (tmp_path / "a.zip", "c.jsonl")]:
        counter.exact = counter.split = 0
        assert cm.convert(source, tmp_path / output, names=names, processes=1).rows == rows
        assert counter.exact <= EXACT * rows, output
        assert counter.split == 0, output
    one = (tmp_path / "a.jsonl").read_bytes()
    assert [(tmp_path / name).read_bytes() == one for name in ("b.jsonl", "c.jsonl")] == [True, True]


@pytest.mark.parametrize("output", ["a.jsonl", "a.parquet"])
def test_a_selection_is_read_once_and_by_typed_decoding(
    tmp_path: Path, history: tuple[Path, cm.Names, int], counter: Counter, output: str
) -> None:
    """`-s` reads the file once, decodes nothing exactly and splits no page."""
    path, names, rows = history
    first = json.loads(path.read_bytes().splitlines()[0])[names.session_field]
    source = cm.open(path, names=names)
    report = cm.convert(source, tmp_path / output, sessions=[first])
    assert 0 < report.rows < rows
    assert counter.exact <= EXACT * rows
    assert counter.split == 0


def test_arrow_is_made_by_typed_decoding(history: tuple[Path, cm.Names, int], counter: Counter) -> None:
    """Tables of notebooks are made of batches too."""
    path, names, rows = history
    with cm.open(path, names=names) as source:
        assert source.messages().to_arrow().num_rows == rows
    assert counter.exact <= EXACT * rows
    assert counter.split == 0


def test_validate_checks_by_typed_decoding(
    history: tuple[Path, cm.Names, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good records are not checked one by one."""
    path, names, rows = history
    slow = 0
    exact = checking._closer

    def counted(*given: Any) -> checking.Noted:
        nonlocal slow
        found = exact(*given)
        slow += not (found.verdict.faults or found.verdict.warnings)
        return found

    monkeypatch.setattr(checking, "_closer", counted)
    assert cm.validate(path, names=names, processes=1).rows == rows
    assert slow <= EXACT * rows


@pytest.mark.parametrize("output", ["a.jsonl", "a.parquet"])
@pytest.mark.parametrize("selection", [{}, {"sessions": ["cust-42"]}])
def test_a_deployment_is_exported_by_typed_decoding(
    tmp_path: Path, sandbox: Sandbox, counter: Counter, output: str, selection: dict[str, list[str]]
) -> None:
    """Pages of a deployment go into files as batches, a selection too."""
    with cm.connect(sandbox.url, key=sandbox.key) as source:
        report = cm.export(source, tmp_path / output, **selection)  # type: ignore[arg-type]
    assert report.rows > 400
    assert counter.exact <= EXACT * report.rows
    assert counter.split == 0
