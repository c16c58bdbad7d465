"""JSONL to Parquet by pandas: the same columns, zstd level 1."""

import json
import sys
import time

import pandas as pd

TAKEN = ("content", "role", "name", "tool_call_id")


def text(content: object) -> object:
    """Return text as it is, and of blocks the text."""
    if isinstance(content, list):
        return "\n".join(block if isinstance(block, str) else block.get("text", "") for block in content)
    return content


def rest(row: dict) -> str | None:
    """Return what no column holds."""
    data = row["message"]["data"]
    left = {key: value for key, value in data.items() if key not in TAKEN or not isinstance(value, str)}
    return (
        json.dumps({"message": {"data": left}}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if left
        else None
    )


source, output = sys.argv[1:]
began = time.perf_counter()
with open(source, encoding="utf-8") as lines:
    rows = [json.loads(line) for line in lines]
frame = pd.DataFrame({"_id": [row["_id"] for row in rows], "_creationTime": [row["_creationTime"] for row in rows]})
frame["created_at"] = pd.to_datetime((frame["_creationTime"] * 1000).round(), unit="us", utc=True)
frame["sessionId"] = [row["sessionId"] for row in rows]
frame["n"] = frame.groupby("sessionId").cumcount() + 1
frame["type"] = [row["message"]["type"] for row in rows]
datas = pd.Series([row["message"]["data"] for row in rows])
frame["content"] = datas.map(lambda data: text(data.get("content")))
for name in TAKEN[1:]:
    frame[name] = (
        datas.map(lambda data, name=name: data.get(name))
        .astype("str")
        .where(datas.map(lambda data, name=name: isinstance(data.get(name), str)))
    )
metadata = datas.map(lambda data: data.get("response_metadata") or {})
frame["model"] = metadata.map(lambda found: found.get("model_name", found.get("model"))).astype(object)
usage = datas.map(lambda data: data.get("usage_metadata") or {})
for name in ("input_tokens", "output_tokens"):
    frame[name] = usage.map(lambda found, name=name: found.get(name)).astype("Int64")
frame["extra"] = [rest(row) for row in rows]
frame.to_parquet(output, compression="zstd", compression_level=1, index=False)
print(json.dumps({"rows": len(frame), "seconds": time.perf_counter() - began}))
