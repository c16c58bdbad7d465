"""A transcript that people read: Markdown, out only.

Tool calls are folded into one line each, together with their results. Control characters are spelled
as escapes, and a line of a message that looks like one of the transcript's own gets a backslash.
"""

from __future__ import annotations

import json
import re
import shutil
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Final

from sync_tool.rows.model import Page, Row
from sync_tool.text import harmless, moment, one_line, plural, shortened

_OWN_MARK = re.compile(r"^(?=# |> tool |\*\*[^*\n]+\*\* (?:\d{4}-|undated))", re.MULTILINE)
_IN_MEMORY: Final = 1 << 20
_FOLDED: Final = 500


class MarkdownWriter:
    """Writes sessions as transcripts, one after the other; a session waits on disk until its end is known."""

    def __init__(self, stream: BinaryIO, origin: str) -> None:
        self._stream = stream
        self._origin = origin
        self._transcript: _Transcript | None = None
        self._written = 0

    def write(self, page: Page) -> None:
        """Append the rows of a page."""
        for row in page.rows:
            if row.n == 1 or self._transcript is None:
                self._close_transcript()
                self._transcript = _Transcript(row)
            self._transcript.add(row)

    def finish(self) -> None:
        """Write the last session."""
        self._close_transcript()

    def close(self) -> None:
        """Drop a session that was not finished."""
        if self._transcript is not None:
            self._transcript.close()
            self._transcript = None

    def _close_transcript(self) -> None:
        if self._transcript is not None:
            self._stream.write(b"\n" if self._written else b"")
            self._transcript.copy_to(self._stream, self._origin)
            self._transcript = None
            self._written += 1


class _Transcript:
    """One session on its way."""

    def __init__(self, first: Row) -> None:
        self._title = first.session if isinstance(first.session, str) else repr(first.session)
        self._first = self._last = first.time
        self._count = 0
        self._calls: list[tuple[str, str]] = []
        self._body = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # closed in close()

    def add(self, row: Row) -> None:
        """Append a message. A tool's result joins the call that waits for it."""
        self._count += 1
        self._last = row.time
        data = row.message.get("data")
        data = data if isinstance(data, dict) else {}
        if _kind(row) in ("tool", "function"):
            self._add_result(row, data)
            return
        self._flush_calls()
        text = _text(row, data)
        asked = [*_list(data, "tool_calls"), *_list(data, "invalid_tool_calls")]
        calls = [call for call in asked if isinstance(call, dict)]
        if text or not calls:
            self._block(f"**{_speaker(row, data)}** {_time(row)}  {text}".rstrip())
        for position, call in enumerate(calls):
            self._calls.append((str(call.get("id") or position), _call(call)))

    def copy_to(self, stream: BinaryIO, origin: str) -> None:
        """Write heading and body."""
        self._flush_calls()
        heading = f"# {one_line(self._title)}\n{self._span()}, {plural(self._count, 'message')}, {origin}\n"
        stream.write(heading.encode())
        self._body.seek(0)
        shutil.copyfileobj(self._body, stream)
        self.close()

    def close(self) -> None:
        """Give back the temporary file."""
        self._body.close()

    def _add_result(self, row: Row, data: dict[str, Any]) -> None:
        asked = str(data.get("tool_call_id"))
        place = next((place for place, (id_, _) in enumerate(self._calls) if id_ == asked), None)
        call = self._calls.pop(place)[1] if place is not None else ""
        call = call or f"> tool {one_line(str(data.get('name') or data.get('tool_call_id') or '?'))}"
        failed = "error: " if data.get("status") == "error" else ""
        self._block(f"{call} -> {failed}{shortened(_text(row, data), _FOLDED)}")

    def _flush_calls(self) -> None:
        """Write the calls that nobody answered."""
        for _, call in self._calls:
            self._block(call)
        self._calls.clear()

    def _block(self, text: str) -> None:
        self._body.write(f"\n{text}\n".encode())

    def _span(self) -> str:
        days = [found.strftime("%Y-%m-%d") for found in map(moment, (self._first, self._last)) if found]
        return " to ".join(dict.fromkeys(days)) or "undated"


def _kind(row: Row) -> str:
    """Return the message's type; a streamed chunk's is that of the message it became."""
    return row.type.removesuffix("MessageChunk").lower() if row.type.endswith("MessageChunk") else row.type


def _speaker(row: Row, data: dict[str, Any]) -> str:
    kind = data.get("role") if _kind(row) in ("generic", "chat") else _kind(row)
    name = data.get("name")
    shown = str(kind or "unknown")
    if isinstance(name, str) and name:
        shown = f"{shown} ({name})"
    return one_line(shown).replace("*", "")  # or it could end the mark early and go on as another speaker


def _time(row: Row) -> str:
    created = row.created_at
    return created.strftime("%Y-%m-%d %H:%M") if created else "undated"


def _text(row: Row, data: dict[str, Any]) -> str:
    text = row.text or (data.get("text") if isinstance(data.get("text"), str) else "") or ""
    others = [
        f"[{one_line(str(block.get('type') or 'block'))}]"
        for block in [*_list(data, "content"), *_list(data, "content_blocks")]
        if isinstance(block, dict) and block.get("type") != "text"
    ]
    return _OWN_MARK.sub(r"\\", harmless("\n".join([*([text] if text else []), *dict.fromkeys(others)])))


def _call(call: dict[str, Any]) -> str:
    arguments = call.get("args")
    if isinstance(arguments, dict):
        listed = ", ".join(f"{one_line(name)}={_json(value)}" for name, value in arguments.items())
    else:  # an invalid call keeps the text that could not be parsed
        listed = shortened(str(arguments or ""), _FOLDED)
    return f"> tool {one_line(str(call.get('name') or '?'))}({listed})"


def _json(value: object) -> str:
    """Spell an argument as JSON, integral numbers as people write them."""
    return shortened(json.dumps(_whole(value), ensure_ascii=False, separators=(",", ":"), default=repr), _FOLDED)


def _whole(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _list(data: dict[str, Any], name: str) -> list[Any]:
    found = data.get(name)
    return found if isinstance(found, list) else []
