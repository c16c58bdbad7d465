"""Snapshot imports by hand: what the official command line sends, step by step."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from sync_tool.encoding.ids import DocumentId, encode_id

from .box import Running

QUERY = "_system/cli/queryImport"


def row_id(number: int, table: int = 10_001) -> str:
    """Return the id of a row of a table."""
    return encode_id(DocumentId(table, number.to_bytes(16, "big")))


def row(number: int, table: int = 10_001, **extra: Any) -> dict[str, Any]:
    """Return a row with id and time."""
    time = 1000.5 + number
    return {"_id": row_id(number, table), "_creationTime": time, "sessionId": "s", "tag": float(number), **extra}


def lines(*rows: Any) -> bytes:
    """Return JSON lines; text stays as it is."""
    return b"".join((item if isinstance(item, bytes) else json.dumps(item).encode()) + b"\n" for item in rows)


def zipped(schema: bytes | None = b'"uniform"\n', **tables: bytes) -> bytes:
    """Return a zip with the documents of tables."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, documents in tables.items():
            archive.writestr(f"snapshot/{name}/documents.jsonl", documents)
            if schema is not None:
                archive.writestr(f"snapshot/{name}/generated_schema.jsonl", schema)
    return file.getvalue()


def post(box: Running, path: str, body: Any = None, **extra: Any) -> Any:
    """POST and return the JSON of the answer, None if it is empty; its status must be 200."""
    answer = box.request("POST", path, body, **extra)
    assert answer.status == 200, answer.data
    return json.loads(answer.data) if answer.data else None


def upload(box: Running, *parts: bytes, **form: Any) -> str:
    """Upload parts and return the id of the import."""
    token = post(box, "/api/import/start_upload")["uploadToken"]
    query = f"/api/import/upload_part?uploadToken={token}&partNumber="
    tokens = [post(box, f"{query}{number}", part) for number, part in enumerate(parts, 1)]
    settings = {"format": "zip", **form}
    body = {"import": settings, "uploadToken": token, "partTokens": tokens}
    return str(post(box, "/api/import/finish_upload", body)["importId"])


def status(box: Running, import_id: str) -> Any:
    """Wait until the worker has nothing to do for an import; return its document."""
    while True:
        document = box.query(QUERY, {"importId": import_id})
        if document["state"]["state"] not in ("uploaded", "in_progress"):
            return document


def perform(box: Running, import_id: str) -> Any:
    """Confirm an import and return its state when it has ended."""
    status(box, import_id)
    assert post(box, "/api/perform_import", {"importId": import_id}) is None
    return status(box, import_id)["state"]


def failure(box: Running, *parts: bytes, **form: Any) -> str:
    """Upload and perform, and return why it failed."""
    state = perform(box, upload(box, *parts, **form))
    assert state["state"] == "failed", state
    return str(state["error_message"])


def tags(box: Running, table: str = "messages") -> list[Any]:
    """Return the tags of a table's rows by time."""
    options = {"numItems": 1000, "cursor": None}
    page = box.query("_system/cli/tableData", {"table": table, "order": "asc", "paginationOpts": options})["page"]
    return [document["tag"] for document in page]
