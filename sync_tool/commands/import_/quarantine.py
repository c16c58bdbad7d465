"""Quarantine files: records that were refused, and their repaired form read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any, Final

import msgspec

from sync_tool.commands.import_.staging import SourcedItem, Staging
from sync_tool.encoding.canonical import loads
from sync_tool.errors import UsageError
from sync_tool.files.bytes import check_output, new_file
from sync_tool.files.source import RecordFile
from sync_tool.messages.rules import Fault
from sync_tool.rows.model import Names
from sync_tool.text import one_line


def next_names(path: Path) -> Iterator[Path]:
    """Yield the path itself, then ``NAME-2.jsonl``, ``NAME-3.jsonl`` and so on in its folder."""
    yield path
    stem, dot, suffixes = path.name.partition(".")
    for number in count(2):
        yield path.with_name(f"{stem}-{number}{dot}{suffixes}")


_DEFAULT: Final = Path("quarantine.jsonl")
_encode: Final = msgspec.json.Encoder().encode


class _Line(msgspec.Struct):
    """The fields of a quarantine line that are read back."""

    file: str
    line: int
    of: str
    held: bool = False
    record: msgspec.Raw = msgspec.Raw()


_line: Final = msgspec.json.Decoder(_Line)
# Source, number and fingerprint of a record: in other stores each session numbers its own.
_Key = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Repaired:
    """The replacement of a record."""

    raw: bytes | None
    """The record as JSON; None to leave it out."""


def fingerprint(raw: bytes) -> str:
    """Return the digest that a quarantine line holds of its record, so that a changed file is noticed."""
    return blake2b(raw, digest_size=8).hexdigest()


class Fixes:
    """The repaired records of quarantine files, by file and line.

    Args:
        paths: quarantine files.

    Raises:
        UsageError: a file that is none, or a line that cannot be read; names it.
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
        """Return the replacement of a record, and mark it as used; None without one.

        Args:
            file: the source.
            line: the record's number there.
            of: its fingerprint.
            lines: False if numbers change: then the fingerprint alone identifies the record.

        Raises:
            UsageError: the file has changed since.
        """
        key = (file, line, of)
        if not lines and key not in self._fixes:
            known = self._of_content.get((file, of), [])
            key = next((other for other in known if other not in self._used), key)
        if key in self._fixes:
            self._used.add(key)  # not removed: a file that is given twice is repaired twice
            return self._fixes[key][0]
        if lines and (file, line) in self._at_line:
            _, where = self._fixes[self._at_line[file, line]]
            raise UsageError(
                f"{where} repairs another record than the one at {one_line(file)}:{line}: that file has changed.",
                hint=[("", "import without --fixes again, and repair the new quarantine file")],
            )
        return None

    def require_used(self) -> None:
        """Raise a UsageError if the record of a fix was not read."""
        for key, (_, where) in self._fixes.items():
            if key in self._used:
                continue
            file, line, _ = key
            raise UsageError(
                f"{where} repairs {one_line(file)}:{line}, which was not read.",
                hint=[("give", "the same files, by the same names, as the import that quarantined it")],
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
            return  # held records come from their own file again; without a record nothing was repaired
        repaired = None if record == b"null" else record
        key = (line.file, line.line, line.of)
        if key not in self._fixes:
            self._of_content.setdefault((line.file, line.of), []).append(key)
        self._fixes[key] = (Repaired(repaired), where)
        self._at_line[line.file, line.line] = key


def write_quarantine(staging: Staging, path: Path | None, *, skip_bad: bool) -> Path:
    """Write the quarantined records into a new file and return its path.

    Args:
        staging: all records.
        path: the file, or the next free name after it; None for ``quarantine.jsonl`` here. A file that already
            holds the same stays as it is.
        skip_bad: True if records after a bad one are not held.

    Raises:
        OutputError: it cannot be written.
    """
    chosen, same = _free_name(staging, path or _DEFAULT, skip_bad=skip_bad)
    if not same:
        with new_file(chosen) as stream:
            for line in _lines(staging, skip_bad=skip_bad):
                stream.write(line)
    return chosen


def faults_json(faults: tuple[Fault, ...]) -> str:
    """Return faults as a quarantine file holds them."""
    found = [
        {"rule": fault.rule, "path": fault.path, "says": fault.sentence, "found": fault.detail} for fault in faults
    ]
    return _encode(found).decode()


def faults_from_json(text: str) -> tuple[Fault, ...]:
    """Return the faults that `faults_json` encoded, without their rewrites."""
    return tuple(Fault(fault["rule"], fault["path"], fault["found"]) for fault in msgspec.json.decode(text))


def require_place(staging: Staging, path: Path | None, *, skip_bad: bool) -> None:
    """Check before the first write that the quarantine file can be written.

    Raises:
        OutputError: it exists and differs from the file to write, which the same import would have written.
    """
    if path is None or not path.exists() or next(_quarantined(staging, skip_bad=skip_bad), None) is None:
        return
    if _free_name(staging, path, skip_bad=skip_bad)[0] != path:
        check_output(path, overwrite=False)


def _free_name(staging: Staging, wanted: Path, *, skip_bad: bool) -> tuple[Path, bool]:
    """Return the first free name, or the file that holds exactly these lines, and True for the latter."""
    digest = blake2b(digest_size=16)
    for line in _lines(staging, skip_bad=skip_bad):
        digest.update(line)
    for path in next_names(wanted):
        if not path.exists():
            return path, False
        if path.is_file() and blake2b(path.read_bytes(), digest_size=16).digest() == digest.digest():
            return path, True
    raise AssertionError


def count_quarantined(staging: Staging, *, skip_bad: bool) -> tuple[int, int]:
    """Return the number of bad messages, and of good ones held because of a bad one before them."""
    bad = held = 0
    for item in _quarantined(staging, skip_bad=skip_bad):
        bad += item.faults is not None
        held += item.faults is None
    return bad, held


def _lines(staging: Staging, *, skip_bad: bool) -> Iterator[bytes]:
    return (_line_of(item, staging.names) for item in _quarantined(staging, skip_bad=skip_bad))


def _quarantined(staging: Staging, *, skip_bad: bool) -> Iterator[SourcedItem]:
    yield from staging.sourced(None)
    for session in staging.faulty_sessions():
        stopped = False
        for item in staging.sourced(session):
            stopped = stopped or item.faults is not None
            if item.faults is not None or (stopped and not skip_bad):
                yield item


def _line_of(item: SourcedItem, names: Names) -> bytes:
    line: dict[str, Any] = {"file": item.source, "line": item.line, "of": item.of}
    if item.session is not None:
        line["session"] = item.session
    if item.faults is None:
        line["held"] = True
    else:
        line["faults"] = msgspec.Raw(item.faults.encode())
    if item.digest is not None:
        line["record"] = _in_source_form(item, names)
    else:
        line.update(_json_or_text(item.document))
    return _encode(line) + b"\n"


def _in_source_form(item: SourcedItem, names: Names) -> dict[str, Any]:
    """Return a document with the source's field names and ids, so that it can replace the record there."""
    document = msgspec.json.decode(item.document)
    session, message = document.pop(names.session_field), document.pop(names.message_field)
    own = {"_id": item.id or None, "_creationTime": item.time}
    return {
        **{name: value for name, value in own.items() if value is not None},
        **document,
        item.message_field: message,
        item.session_field: session if item.own_session is None else item.own_session,
    }


def _json_or_text(raw: bytes) -> dict[str, Any]:
    try:
        loads(raw)
        return {"record": msgspec.Raw(raw)}
    except (ValueError, RecursionError):
        return {"raw": raw.decode("utf-8", "backslashreplace")} if raw else {}
