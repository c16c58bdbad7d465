"""The writing rules of CONTRIBUTING.md, for docstrings, comments, help texts and documentation."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from running import ROOT

PACKAGE: Final = sorted((ROOT / "sync_tool").rglob("*.py"))
PYTHON: Final = [
    *PACKAGE,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "benchmarks").rglob("*.py")),
    *sorted((ROOT / "examples").rglob("*.py")),
]
PAGES: Final = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

_CLAUSE: Final = re.compile(
    r"(?:What|Who|Whoever|Whose|Where|That|Those|Says?|Tells?|See that|Sees that|Be)\b(?! (?:is|are)\b.*\?)"
)
_RETIRED: Final = re.compile(
    r"\b(?:doors?|laid out|lays? out|gone on with|goes on with|go on with|set aside|sets aside|is had|be had|"
    r"so many of|ways? of reading|is told|are told|be told|was told|were told|is asked|stand beside|stands beside|"
    r"whoever|spelled|respelled|is brought|are brought)\b",
    re.IGNORECASE,
)


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every docstring and of every text that follows a definition."""
    for node in ast.walk(ast.parse(path.read_text())):
        body = getattr(node, "body", None)
        for item in body if isinstance(body, list) else []:
            if (
                isinstance(item, ast.Expr)
                and isinstance(item.value, ast.Constant)
                and isinstance(item.value.value, str)
            ):
                yield item.lineno, item.value.value


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every comment that is not a directive to a tool."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        text = token.string.lstrip("# ")
        if token.type == tokenize.COMMENT and not re.match(r"(?:noqa|type:|fmt:|pragma|mypy:|!)", text):
            yield token.start[0], text


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string of several words: errors, hints, help texts, notes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def headings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of the headings of a page, code blocks left out."""
    inside = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        inside ^= line.startswith("```")
        if not inside and line.startswith("#"):
            yield number, line.lstrip("# ")


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of a page, code blocks and code spans left out."""
    inside = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        inside ^= line.startswith("```")
        if not inside:
            yield number, re.sub(r"`[^`]*`", "", line)


def shown(path: Path, number: int, text: str) -> str:
    """Return a finding as a line."""
    return f"{path.relative_to(ROOT).as_posix()}:{number}: {text.strip().splitlines()[0][:80]}"


def test_docstrings_begin_with_a_noun_or_a_verb() -> None:
    """No docstring begins with a relative clause or with a verb that means "say"."""
    found = [shown(path, *text) for path in PYTHON for text in docstrings(path) if _CLAUSE.match(text[1].lstrip())]
    assert found == []


def test_code_uses_no_retired_word() -> None:
    """Docstrings, comments, errors, hints and help texts use the terms of the field."""
    assert [
        shown(path, number, found[0])
        for path in PYTHON
        for number, text in {*docstrings(path), *comments(path), *(messages(path) if path in PACKAGE else ())}
        if (found := _RETIRED.search(text))
    ] == []


def test_pages_use_no_retired_word() -> None:
    """Headings of the documentation begin with a noun or a verb, and its text uses the terms of the field."""
    found = [shown(path, *heading) for path in PAGES for heading in headings(path) if _CLAUSE.match(heading[1])]
    found += [
        shown(path, number, word[0])
        for path in PAGES
        for number, text in prose(path)
        if (word := _RETIRED.search(text))
    ]
    assert found == []
