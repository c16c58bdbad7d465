"""Zip files for tests: what Convex writes, what others make of it, and what is broken."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import zstandard

from sync_tool.files.zip import ZipWriter, read_zip
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names
from sync_tool.rows.reading import RowReader

NAMES = Names()
UNIFORM = b'"uniform"\n'
README = b"# Welcome to your Convex snapshot export!\n"


def page_of(lines: Iterable[bytes], names: Names = NAMES) -> Page:
    """Return canonical lines as a page."""
    reader = RowReader(names)
    return reader.stored_page([*lines], 0)


def write_zip(path: Path, lines: Iterable[bytes], names: Names = NAMES) -> None:
    """Write canonical lines with the writer under test."""
    with path.open("wb") as stream:
        writer = ZipWriter(stream, names)
        writer.write(page_of(lines, names))
        writer.finish()
        writer.close()


def rows_in(path: Path, names: Names = NAMES) -> list[bytes]:
    """Return the canonical lines that the reader under test finds."""
    return [row.raw for page in read_zip(path, names) for row in page.rows]


def pack(path: Path, entries: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    """Write a zip with Python's own writer."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def snapshot(documents: bytes, schema: bytes | None = UNIFORM, folder: str = "") -> dict[str, bytes]:
    """Return the entries of a snapshot as `npx convex export` makes one, with file storage and a component."""
    entries = {
        "README.md": README,
        "_tables/documents.jsonl": b'{"name":"messages","id":10001}\n{"name":"users","id":10002}\n',
        "_storage/documents.jsonl": b'{"_id":"kg2","_creationTime":1.0,"sha256":"x","size":1.0}\n',
        "_storage/kg2.png": b"\x89PNG",
        "users/documents.jsonl": b'{"_id":"u1","_creationTime":1.0,"name":"Jim"}\n',
        "users/generated_schema.jsonl": UNIFORM,
        "messages/documents.jsonl": documents,
        "_components/agent/messages/documents.jsonl": b'{"_id":"c1","_creationTime":1.0,"text":"not ours"}\n',
        "_components/agent/messages/generated_schema.jsonl": UNIFORM,
    }
    if schema is not None:
        entries["messages/generated_schema.jsonl"] = schema
    return {folder + name: content for name, content in entries.items()}


def pack_zstd(path: Path, entries: Mapping[str, bytes]) -> None:
    """Write a zip whose entries are compressed with zstd (method 93), which Python's writer does not know."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            archive.writestr(info, zstandard.compress(content))
        for info in archive.infolist():
            info.compress_type = 93
            info.file_size, info.CRC = len(entries[info.filename]), zlib.crc32(entries[info.filename])
    path.write_bytes(stream.getvalue())
