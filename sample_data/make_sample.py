"""Write messages.jsonl and old-flat.jsonl, the sample history of an invented shop.

    python make_sample.py            write the files beside this one
    python make_sample.py --check    only say whether they are what would be written
    python make_sample.py --table    print how many rows each session has

The same bytes come out on every machine. Needs Python 3.11 and msgspec.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from recipe import given, told
from recipe.canonical import Dice, document_id, to_line
from recipe.plan import SESSIONS

FOLDER = Path(__file__).parent
SEED = "kettle & crane"


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description="Write the sample history.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--table", action="store_true", help="print the rows of each session")
    options = parser.parse_args()
    rows = all_rows()
    if options.table:
        for session_id, count in Counter(row["sessionId"] for row in rows).items():
            print(f"{count:5} {session_id!r}")
        return 0
    same = True
    for name, chosen in (("messages.jsonl", _is_whole), ("old-flat.jsonl", _is_flat)):
        content = b"".join(to_line(row) for row in rows if chosen(row))
        path = FOLDER / name
        if options.check:
            same = same and path.exists() and path.read_bytes() == content
        else:
            path.write_bytes(content)
    if options.check:
        print("the files are", "as written by this recipe" if same else "different")
    return 0 if same else 1


def _is_whole(row: dict[str, Any]) -> bool:
    return "data" in row["message"]


def _is_flat(row: dict[str, Any]) -> bool:
    """Return whether a message is `{type, text}`, the oldest form, which needs a table without the shipped schema."""
    return not _is_whole(row)


def all_rows() -> list[dict[str, Any]]:
    """Return every row in session order: session, creation time, id."""
    rows = []
    for session in SESSIONS:
        messages = [(at, {"message": message}) for at, message in told.tell(session)]
        rows += _documents(session.id, messages)
    for session_given in given.sessions():
        rows += _documents(session_given.id, session_given.rows)
    return sorted(rows, key=_place)


def _documents(session_id: str, dated: list[tuple[float, dict[str, Any]]]) -> list[dict[str, Any]]:
    dice = Dice(f"{SEED} {session_id}")
    return [
        {
            "_id": document_id(dice.bytes(14), at_ms),
            "_creationTime": at_ms,
            "sessionId": session_id,
            **fields,
        }
        for at_ms, fields in dated
    ]


def _place(row: dict[str, Any]) -> tuple[bytes, float, str]:
    return row["sessionId"].encode(), row["_creationTime"], row["_id"]


if __name__ == "__main__":
    sys.exit(main())
