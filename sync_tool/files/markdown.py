"""A transcript for people: Markdown, out only.

A tool call is one line, together with its result. Control characters are escaped, and a line of a message that looks
like one of the transcript's own gets a backslash.
"""

from __future__ import annotations

import json
import re
import shutil
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final

from sync_tool.messages.normal import normal
from sync_tool.messages.parts import Citation, Data, Media, Message, Part, Reasoning, Text, ToolCall, ToolResult, whole
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Row
from sync_tool.text import harmless, moment, one_line, plural, shortened

_OWN_MARK = re.compile(r"^(?=# |> tool |\*\*[^*\n]+\*\* (?:\d{4}-|undated))", re.MULTILINE)
_IN_MEMORY: Final = 1 << 20
_FOLDED: Final = 500


class MarkdownWriter:
    """Writes sessions as transcripts; a session is kept on disk until its end is known."""

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
    """The transcript of one session."""

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
        message = normal(row.message)
        if message.result is not None:
            self._add_result(message, message.result)
            return
        self._flush_calls()
        text, calls = _text(message.content), list(message.calls)
        if text or not calls:
            self._block(f"**{_speaker(message)}** {_time(row)}  {text}".rstrip())
        for position, call in enumerate(calls):
            self._calls.append((call.id or str(position), _call(call)))

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

    def _add_result(self, message: Message, result: ToolResult) -> None:
        place = next((place for place, (id_, _) in enumerate(self._calls) if id_ == result.call_id), None)
        call = self._calls.pop(place)[1] if place is not None else ""
        call = call or f"> tool {one_line(message.name or result.call_id or '?')}"
        failed = "error: " if result.failed else ""
        self._block(f"{call} -> {failed}{shortened(_text(result.content), _FOLDED)}")

    def _flush_calls(self) -> None:
        """Write the calls without a result."""
        for _, call in self._calls:
            self._block(call)
        self._calls.clear()

    def _block(self, text: str) -> None:
        self._body.write(f"\n{text}\n".encode())

    def _span(self) -> str:
        days = [found.strftime("%Y-%m-%d") for found in map(moment, (self._first, self._last)) if found]
        return " to ".join(dict.fromkeys(days)) or "undated"


def _speaker(message: Message) -> str:
    shown = message.role or "unknown"
    if message.name:
        shown = f"{shown} ({message.name})"
    return one_line(shown).replace("*", "")  # a star could end the bold type early and pretend another speaker


def _time(row: Row) -> str:
    created = row.created_at
    return created.strftime("%Y-%m-%d %H:%M") if created else "undated"


def _text(content: tuple[Part, ...]) -> str:
    texts = [part.text for part in content if isinstance(part, Text)]
    marks = dict.fromkeys(_mark(part) for part in content if not isinstance(part, Text | ToolCall))
    text = "\n".join(texts)
    return _OWN_MARK.sub(r"\\", harmless("\n".join([*([text] if text else []), *marks])))


def _mark(part: Part) -> str:
    """Return a part that is no text in brackets: its kind, and the name or address of a file or source."""
    kind: str
    place = None
    if isinstance(part, Media):
        kind, place = part.kind, part.name or part.url or part.file_id or part.media_type
    elif isinstance(part, Citation):
        kind, place = "source", part.url or part.title
    elif isinstance(part, Data):
        kind = part.type or "block"
    else:
        kind = "reasoning" if isinstance(part, Reasoning) else "tool result"
    return f"[{one_line(f'{kind} {place}' if place else kind)}]"


def _call(call: ToolCall) -> str:
    if isinstance(call.arguments, dict):
        listed = ", ".join(f"{one_line(name)}={_json(value)}" for name, value in call.arguments.items())
    else:  # an invalid call keeps the text that could not be parsed
        listed = shortened(str(call.arguments or ""), _FOLDED)
    return f"> tool {one_line(call.name or '?')}({listed})"


def _json(value: object) -> str:
    return shortened(json.dumps(whole(value), ensure_ascii=False, separators=(",", ":"), default=repr), _FOLDED)
