"""Rows of an upload: JSON lines of one table, or the tables of a zip.

Source: get-convex/convex-backend, ``crates/application/src/snapshot_import/parse.rs`` and ``import_error.rs``.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Final

import msgspec

from sync_tool.encoding.values import INT64_MAX, INT64_MIN, Json, Value
from sync_tool.sandbox.functions.calls import decode_strictly
from sync_tool.sandbox.imports.records import Record
from sync_tool.sandbox.paths import is_identifier

_ENTRY: Final = re.compile(r"(?:.*/)?([^/]+)/(documents|generated_schema)\.jsonl")
_BOM: Final = b"\xef\xbb\xbf"
_UNIFORM: Final = "uniform"


class ImportFault(Exception):
    """The upload cannot be imported; the import's document gets the text."""


@dataclass(frozen=True)
class UploadedTable:
    """Table of an upload; `rows` reads its JSON from the start, `uniform` makes bare integers int64."""

    name: str
    rows: Callable[[], Iterator[Json]]
    uniform: bool = False

    def documents(self) -> Iterator[Value]:
        """Yield the rows as Convex values."""
        on_int = _int64 if self.uniform else float
        for number, json in enumerate(self.rows(), 1):
            if not isinstance(json, dict):
                raise ImportFault(f"Row {number} wasn't an object")
            try:
                if not self.uniform:
                    _refuse_tags(json)
                yield decode_strictly(json, on_int=on_int)
            except (ValueError, OverflowError) as error:
                raise ImportFault(f"Row {number} wasn't a valid Convex value: {error}") from None


def uploaded_tables(form: Record, file: BinaryIO) -> list[UploadedTable]:
    """Return the tables of an upload."""
    if form["format"] != "zip":
        return [UploadedTable(form["table"], partial(_plain_lines, file))]
    try:
        archive = zipfile.ZipFile(file)
        return _tables_of(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        raise ImportFault("invalid zip file") from None


def _tables_of(archive: zipfile.ZipFile) -> list[UploadedTable]:
    found: dict[str, dict[str, str]] = {}
    for entry in archive.namelist():
        match = _ENTRY.fullmatch(entry)
        if match is None:
            continue
        if "_components/" in entry:
            raise ImportFault("the sandbox has no components")
        found.setdefault(match[1], {})[match[2]] = entry
    tables = []
    for name, entries in found.items():
        if name == "_storage":
            raise ImportFault("the sandbox has no file storage")
        if name.startswith("_") or "documents" not in entries:
            continue
        if not is_identifier(name):
            raise ImportFault(f"table name '{name}' invalid: Identifier must start with an alphabetic character")
        uniform = "generated_schema" in entries and _is_uniform(archive, entries["generated_schema"])
        tables.append(UploadedTable(name, partial(_zipped_lines, archive, entries["documents"]), uniform))
    return tables


def _is_uniform(archive: zipfile.ZipFile, entry: str) -> bool:
    with archive.open(entry) as lines:
        first = next(iter(lines), b"")
    try:
        if msgspec.json.decode(first) == _UNIFORM:
            return True
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    raise ImportFault('the sandbox reads only zips whose generated schema is "uniform"')


def _plain_lines(file: BinaryIO) -> Iterator[Json]:
    file.seek(0)
    for number, line in enumerate(file, 1):
        if number == 1 and line.startswith(_BOM):
            raise ImportFault("UTF-8 BOM is not supported. Please save your file without BOM.")
        yield _parsed(number, line)


def _zipped_lines(archive: zipfile.ZipFile, entry: str) -> Iterator[Json]:
    try:
        with archive.open(entry) as lines:
            for number, line in enumerate(lines, 1):
                yield _parsed(number, line)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        raise ImportFault("invalid zip file") from None


def _parsed(number: int, line: bytes) -> Json:
    try:
        line.decode()
        return msgspec.json.decode(line)
    except UnicodeDecodeError:
        raise ImportFault("Import wasn't valid UTF8: stream did not contain valid UTF-8") from None
    except msgspec.DecodeError as error:
        raise ImportFault(f"Row {number} wasn't valid JSON: {error}") from None


def _int64(number: int) -> int:
    if not INT64_MIN <= number <= INT64_MAX:
        raise ValueError("Arbitrary precision JSON integers unsupported")
    return number


def _refuse_tags(json: Json) -> None:
    """Refuse ``{"$integer"}`` and the like: in plain JSON lines these are objects with an invalid field name."""
    if isinstance(json, dict):
        for name, item in json.items():
            if name.startswith("$"):
                raise ValueError(f"Field name {name} starts with '$', which is reserved.")
            _refuse_tags(item)
    elif isinstance(json, list):
        for item in json:
            _refuse_tags(item)
