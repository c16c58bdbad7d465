"""The package is typed: what the documentation shows passes a strict type checker, as does every kind of source."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

from running import ROOT

PAGES = [
    page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if "```python" in page.read_text()
]
OPENED = """
import sync_tool as cm
from sync_tool.rows.ports import Source

def functions(db: cm.History, source: Source) -> None:
    port: Source = db
    for one in (db, port, source):
        cm.export(one, "x.jsonl")
        cm.convert(one, "x.jsonl")
        cm.import_(one, one)
        cm.migrate(one, one)
        cm.restore(one, one)
        cm.sync(one, "archive")
        cm.diff(one, one)
        cm.validate(one)
        cm.tail(one, "cust-42")
        cm.doctor(one)
    for address in ("x.jsonl", "@.env", "https://a.convex.cloud"):
        cm.export(address, "x.jsonl")
        cm.convert([address, db], "x.jsonl")
        cm.import_([address, db], address)
        cm.migrate(address, address)
        cm.restore(address, address)
        cm.sync(address, "archive")
        cm.sync(lambda: cm.connect(address), "archive")
        cm.diff(address, db)
        cm.validate(address, db)
        cm.tail(address, "cust-42")
        cm.doctor(address)
"""


SLIP = """
import sync_tool as cm

cm.export("a.jsonl", "b.jsonl", sesions=["x"])
"""


def python_of(page: Path) -> str:
    """Return the Python blocks of a page, on the lines where they stand there."""
    lines = []
    inside = False
    for line in page.read_text().splitlines():
        inside = line.startswith("```python") or (inside and line != "```")
        lines.append(line if inside and not line.startswith("```") else "")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Everything that a strict type checker says of the examples, in one run."""
    folder = tmp_path_factory.mktemp("examples")
    codes = {**{page.stem: python_of(page) for page in PAGES}, "every_function": OPENED, "slip": SLIP}
    paths = [folder / f"{name.replace('-', '_')}.py" for name in codes]
    for path, code in zip(paths, codes.values(), strict=True):
        path.write_text(code)
    flags = ["--strict", "--ignore-missing-imports", "--follow-imports=silent", "--python-version=3.11"]
    out, err, _ = api.run([*flags, "--config-file=", f"--cache-dir={folder / 'cache'}", *map(str, paths)])
    return out + err


def test_the_documentations_examples_are_typed(complaints: str) -> None:
    """The Python blocks of each page, one after the other, have no type error; addresses stand wherever sources do."""
    assert [line for line in complaints.splitlines() if ": error:" in line and "slip.py" not in line] == []


def test_a_slip_in_a_keyword_is_a_type_error(complaints: str) -> None:
    """The keywords of a function are known to the checker; this also proves that it has looked."""
    assert [line for line in complaints.splitlines() if "slip.py" in line and "sesions" in line] != []
