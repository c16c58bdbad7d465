"""LangChain's histories in JSON files: one file a session (Python), or one file for all (JavaScript).

Layouts: langchain-community 0.4.2 ``chat_message_histories/file.py`` (an array of ``{type, data}``);
@langchain/community 1.1.29 ``stores/message/file_system`` (``{userId: {sessionId: {context?, messages}}}``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from sync_tool.errors import UsageError
from sync_tool.messages.records import Record
from sync_tool.messages.rules import Fault
from sync_tool.stores.store import Builder, Facts
from sync_tool.text import one_line, size

MAX_FILE_BYTES: Final = 256 << 20
"""A larger file is not read. LangChain's classes read and write the whole file for every message."""
_HEAD: Final = 4096
_OTHERS: Final = (".jsonl", ".md")
"""Suffixes of files that may begin like an array and hold none."""
_SPACE: Final = b" \t\r\n\xef\xbb\xbf"
_TEXT: Final = rb'"(?:[^"\\]|\\.)*"\s*:\s*'
_THREE_LEVELS: Final = re.compile(rb"\{\s*" + _TEXT + rb"\{\s*(?:\}|" + _TEXT + rb"\{)", re.DOTALL)
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Entry(msgspec.Struct):
    """A session in JavaScript's file."""

    messages: msgspec.Raw = msgspec.Raw()
    """Empty where there are none."""


_users = msgspec.json.Decoder(dict[str, dict[str, _Entry]]).decode


_NOT_HERE: Final = frozenset({".jsonl", ".parquet", ".zip", ".md", ".zst", ".gz"})
"""Suffixes of this tool's own files: a folder of exports is no store."""


class JsonFiles:
    """A file, or a folder of them.

    The sessions of Python's files are called as the files without their suffix, where only one is called so.

    Raises:
        UsageError: a file that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.title = one_line(str(path))
        self.method = "JSON files, one in memory at a time"
        self._files = [path]
        self._skipped = 0
        if path.is_dir():
            self._files = sorted(_files_in(path))
            self._skipped = sum(file.is_file() for file in path.iterdir()) - len(self._files)

    def facts(self) -> Facts:
        """Count files or sessions and name the layout."""
        javascript = [file for file in self._files if _is_javascript(file)]
        sessions = len(self._files) - len(javascript) + sum(len(_sessions(_read(file))) for file in javascript)
        notes = []
        if self._skipped:
            notes.append(f"{self._skipped} files skipped: not written by LangChain")
        languages = "JavaScript" if javascript else "Python"
        if javascript and len(javascript) < len(self._files):
            languages = "Python and JavaScript"
        return Facts(
            product="the file",
            dialect=f"{languages} dialect, oldest first",
            sessions=sessions,
            lost=("when messages were written",),
            notes=tuple(notes),
        )

    def records(self) -> Iterator[Record]:
        """Yield the messages; see `Store.records`. A file that is no JSON is one record with a fault."""
        builder = Builder()
        count = Counter(file.stem for file in self._files)
        for file in self._files:
            name = file.stem if count[file.stem] == 1 else file.name
            try:
                text = _read(file)
                if _is_javascript(file):
                    yield from _of_javascript(builder, text, file)
                else:
                    yield from _of_array(builder, name, text, one_line(str(file)))
            except (ValueError, RecursionError) as error:
                fault = Fault("not-json", "$", one_line(str(error)))
                raw = msgspec.json.encode({"sessionId": name.encode(errors="backslashreplace").decode()})
                yield Record(1, raw, fault, one_line(str(file)))

    def close(self) -> None:
        """Nothing is held open."""


def is_json_store(path: Path) -> bool:
    """Return True if a file, or any file of a folder, has one of LangChain's layouts."""
    return any(True for _ in _files_in(path)) if path.is_dir() else path.is_file() and _is_file(path)


def _files_in(folder: Path) -> Iterator[Path]:
    files = (file for file in folder.iterdir() if not file.name.startswith(".") and file.suffix not in _NOT_HERE)
    return (file for file in files if file.is_file() and _is_file(file))


def _is_file(file: Path) -> bool:
    return file.suffix not in _OTHERS and (_head(file).startswith(b"[") or _is_javascript(file))


def _head(file: Path) -> bytes:
    """Return the beginning of a file without space; empty if there is none, or no right to read."""
    try:
        with file.open("rb") as stream:
            return stream.read(_HEAD).lstrip(_SPACE)
    except OSError:
        return b""


def _is_javascript(file: Path) -> bool:
    """Return True for three levels of objects; a line of JSONL, for one, has other values on the second."""
    if not _THREE_LEVELS.match(_head(file)) or file.stat().st_size > MAX_FILE_BYTES:
        return False
    try:
        users = _users(_read(file))
    except (ValueError, RecursionError):
        return False
    return any(bytes(entry.messages) for sessions in users.values() for entry in sessions.values())


def _read(file: Path) -> bytes:
    try:
        length = file.stat().st_size
        if length > MAX_FILE_BYTES:
            raise UsageError(
                f"{one_line(str(file))} has {size(length)}; files of at most {size(MAX_FILE_BYTES)} are read."
            )
        return file.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise UsageError(f"cannot read {one_line(str(file))}: {error.strerror}.") from None


def _sessions(text: bytes) -> list[tuple[str, str, msgspec.Raw]]:
    """Return session id, place and messages; the user's id stands before ids that several users have."""
    found = [
        (user, session, entry.messages)
        for user, sessions in _users(text).items()
        for session, entry in sessions.items()
        if bytes(entry.messages)
    ]
    count = Counter(session for _, session, _ in found)
    return [
        (session if count[session] == 1 or not user else f"{user}/{session}", f"{user}/{session}", messages)
        for user, session, messages in found
    ]


def _of_javascript(builder: Builder, text: bytes, file: Path) -> Iterator[Record]:
    for session, place, messages in _sessions(text):
        where = one_line(f"{file} {place}")
        try:
            yield from _of_array(builder, session, bytes(messages), where)
        except ValueError as error:
            yield builder.unreadable(session, bytes(messages), where, "unreadable", str(error))


def _of_array(builder: Builder, session: str, text: bytes, where: str) -> Iterator[Record]:
    for index, message in enumerate(_array(text)):
        yield builder.text(session, bytes(message), f"{where}[{index}]")
