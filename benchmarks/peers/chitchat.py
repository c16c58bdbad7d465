"""Writes the conversations of chitchat-dataset (MIT) as rows of LangChain's table, in session order."""

import hashlib
import json
import sys
import time
from datetime import datetime

import chitchat_dataset

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def document_id(table: int, name: bytes) -> str:
    """Return an ``_id`` as Convex makes them: table number, 16 bytes, Fletcher checksum, base 32."""
    body = bytes([table & 0x7F | 0x80, table >> 7]) + hashlib.blake2b(name, digest_size=16).digest()
    low = high = 0
    for byte in body:
        low = (low + byte) % 256
        high = (high + low) % 256
    data = body + bytes([low, high])
    count = -(-len(data) * 8 // 5)
    number = int.from_bytes(data, "big") << (count * 5 - len(data) * 8)
    return "".join(ALPHABET[number >> shift & 31] for shift in range((count - 1) * 5, -1, -5))


def rows(session: str, conversation: dict) -> list[str]:
    """Return the lines of one conversation; who speaks first is the human."""
    messages = [message for turn in conversation["messages"] for message in turn]
    lines, last = [], 0.0
    for number, message in enumerate(messages):
        data = {"additional_kwargs": {}, "content": message["text"], "response_metadata": {}}
        kind = "human" if message["sender"] == messages[0]["sender"] else "ai"
        if kind == "ai":
            data |= {"invalid_tool_calls": [], "tool_calls": []}
        told = datetime.fromisoformat(message["timestamp"]).timestamp() * 1000
        last = max(told, last + 0.25)
        row = {
            "_creationTime": last,
            "_id": document_id(10001, f"{session}/{number}".encode()),
            "message": {"data": data, "type": kind},
            "sessionId": session,
        }
        lines.append(json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
    return lines


began = time.perf_counter()
count = 0
with open(sys.argv[1], "w", encoding="utf-8") as file:
    for session, conversation in sorted(chitchat_dataset.Dataset().items()):
        for line in rows(session, conversation):
            file.write(line + "\n")
            count += 1
print(json.dumps({"rows": count, "seconds": time.perf_counter() - began}))
