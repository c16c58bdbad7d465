"""What was set aside: written as a quarantine file, and read back once somebody repaired it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any, Final

import msgspec

from sync_tool.commands.import_.staging import Found, Staged
from sync_tool.encoding.canonical import loads
from sync_tool.errors import UsageError
from sync_tool.files.bytes import check_output, new_file
from sync_tool.files.source import RecordFile
from sync_tool.messages.rules import Fault
from sync_tool.rows.model import Names
from sync_tool.text import one_line

# Names for files that must not replace another.


def next_names(path: Path) -> Iterator[Path]:
    """Yield the path itself, then ``NAME-2.jsonl``, ``NAME-3.jsonl`` and so on beside it."""
    yield path
    stem, dot, suffixes = path.name.partition(".")
    for number in count(2):
        yield path.with_name(f"{stem}-{number}{dot}{suffixes}")


_USUAL: Final = Path("quarantine.jsonl")
_encode: Final = msgspec.json.Encoder().encode


class _Line(msgspec.Struct):
    """A line of a quarantine file, as far as it is read back."""

    file: str
    line: int
    of: str
    held: bool = False
    record: msgspec.Raw = msgspec.Raw()


_line: Final = msgspec.json.Decoder(_Line)
_Key = tuple[str, int, str]
"""Source, number and fingerprint of a record: in other stores each session numbers its own."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What stands in the place of a record."""

    raw: bytes | None
    """The record as JSON; None if it is to be left out."""


def fingerprint(raw: bytes) -> str:
    """Return what a quarantine line says of the record it is about, so that a changed file is noticed."""
    return blake2b(raw, digest_size=8).hexdigest()


class Fixes:
    """The repaired records of quarantine files, by file and line.

    Args:
        paths: quarantine files.

    Raises:
        UsageError: a file that is none, or a line that cannot be read; says which.
    """

    def __init__(self, paths: tuple[str | Path, ...] = ()) -> None:
        self._fixes: dict[_Key, tuple[Repaired, str]] = {}
        self._at_line: dict[tuple[str, int], _Key] = {}
        self._of_content: dict[tuple[str, str], list[_Key]] = {}
        self._used: set[_Key] = set()
        for path in paths:
            for record in RecordFile(path, Names()).records():
                self._add(record.raw, f"{path}:{record.line}")

    def __bool__(self) -> bool:
        return bool(self._fixes)

    def at(self, file: str, line: int, of: str, *, lines: bool = True) -> Repaired | None:
        """Return what stands in the place of a record; None where nothing does. It counts as used.

        Args:
            file: the source.
            line: its number there.
            of: its fingerprint.
            lines: False where numbers change: then the record is known by its content.

        Raises:
            UsageError: the file has changed since.
        """
        key = (file, line, of)
        if not lines and key not in self._fixes:
            known = self._of_content.get((file, of), [])
            key = next((other for other in known if other not in self._used), key)
        if key in self._fixes:
            self._used.add(key)  # a file that is given twice is repaired twice
            return self._fixes[key][0]
        if lines and (file, line) in self._at_line:
            _, where = self._fixes[self._at_line[file, line]]
            raise UsageError(
                f"{where} repairs another record than the one at {one_line(file)}:{line}: that file has changed.",
                hint=[("", "import without --fixes again, and repair what is then set aside")],
            )
        return None

    def require_used(self) -> None:
        """Raise a UsageError if a repaired record has no place in what was read."""
        for key, (_, where) in self._fixes.items():
            if key in self._used:
                continue
            file, line, _ = key
            raise UsageError(
                f"{where} repairs {one_line(file)}:{line}, which was not read.",
                hint=[("give", "the same files, by the same names, as the import that set it aside")],
            )

    def _add(self, raw: bytes, where: str) -> None:
        try:
            line = _line.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(
                f"{where} is no line of a quarantine file: {error}.",
                hint=[("each line has", "file, line, of and the repaired record")],
            ) from None
        record = bytes(line.record)
        if line.held or not record:
            return  # what only waited comes from its own file again; what cannot be read was not repaired
        repaired = None if record == b"null" else record
        key = (line.file, line.line, line.of)
        if key not in self._fixes:
            self._of_content.setdefault((line.file, line.of), []).append(key)
        self._fixes[key] = (Repaired(repaired), where)
        self._at_line[line.file, line.line] = key


def write_quarantine(staged: Staged, path: Path | None, *, skip_bad: bool) -> Path:
    """Write what was set aside into a file that was not there before, and return its path.

    Args:
        staged: all records.
        path: where to, or to the next free name after it; None for ``quarantine.jsonl`` here. A file that holds
            the same already stays as it is.
        skip_bad: True if the records behind a bad one did not have to wait.

    Raises:
        OutputError: it cannot be written.
    """
    chosen, same = _free_name(staged, path or _USUAL, skip_bad=skip_bad)
    if not same:
        with new_file(chosen) as stream:
            for line in _lines(staged, skip_bad=skip_bad):
                stream.write(line)
    return chosen


def faults_json(faults: tuple[Fault, ...]) -> str:
    """Return faults as they stand in a quarantine file."""
    said = [{"rule": fault.rule, "path": fault.path, "says": fault.sentence, "found": fault.detail} for fault in faults]
    return _encode(said).decode()


def require_place(staged: Staged, path: Path | None, *, skip_bad: bool) -> None:
    """See before anything is sent that what is set aside can go into the file that was asked for.

    Raises:
        OutputError: it exists, and holds something else than would be written (as it does after the same import).
    """
    if path is None or not path.exists() or next(_set_aside(staged, skip_bad=skip_bad), None) is None:
        return
    if _free_name(staged, path, skip_bad=skip_bad)[0] != path:
        check_output(path, overwrite=False)


def _free_name(staged: Staged, wanted: Path, *, skip_bad: bool) -> tuple[Path, bool]:
    """Return the first name that is free, or holds exactly what would be written."""
    digest = blake2b(digest_size=16)
    for line in _lines(staged, skip_bad=skip_bad):
        digest.update(line)
    for path in next_names(wanted):
        if not path.exists():
            return path, False
        if path.is_file() and blake2b(path.read_bytes(), digest_size=16).digest() == digest.digest():
            return path, True
    raise AssertionError


def count_set_aside(staged: Staged, *, skip_bad: bool) -> tuple[int, int]:
    """Return how many messages are bad, and how many good ones wait for one."""
    bad = held = 0
    for found in _set_aside(staged, skip_bad=skip_bad):
        bad += found.faults is not None
        held += found.faults is None
    return bad, held


def _lines(staged: Staged, *, skip_bad: bool) -> Iterator[bytes]:
    return (_line_of(found, staged) for found in _set_aside(staged, skip_bad=skip_bad))


def _set_aside(staged: Staged, *, skip_bad: bool) -> Iterator[Found]:
    yield from staged.found(None)
    for session in staged.troubled():
        stopped = False
        for found in staged.found(session):
            stopped = stopped or found.faults is not None
            if found.faults is not None or (stopped and not skip_bad):
                yield found


def _line_of(found: Found, staged: Staged) -> bytes:
    line: dict[str, Any] = {"file": found.source, "line": found.line, "of": found.of}
    if found.session is not None:
        line["session"] = found.session
    if found.faults is None:
        line["held"] = True
    else:
        line["faults"] = msgspec.Raw(found.faults.encode())
    if found.digest is not None:
        line["record"] = _as_in_its_source(found, staged.names)
    else:
        line.update(_shown(found.document))
    return _encode(line) + b"\n"


def _as_in_its_source(found: Found, names: Names) -> dict[str, Any]:
    """Return a document as the source would have it, so that it can be read in its old place."""
    document = msgspec.json.decode(found.document)
    session, message = document.pop(names.session_field), document.pop(names.message_field)
    own = {"_id": found.id or None, "_creationTime": found.time}
    return {
        **{name: value for name, value in own.items() if value is not None},
        **document,
        found.message_field: message,
        found.session_field: session if found.own_session is None else found.own_session,
    }


def _shown(raw: bytes) -> dict[str, Any]:
    """Return the record as JSON where it is that, else as text."""
    try:
        loads(raw)
        return {"record": msgspec.Raw(raw)}
    except (ValueError, RecursionError):
        return {"raw": raw.decode("utf-8", "backslashreplace")} if raw else {}
