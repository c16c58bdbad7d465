"""Parquet to JSONL by pandas: each row put together again from its columns."""

import json
import sys
import time

import pandas as pd

source, output = sys.argv[1:]
began = time.perf_counter()
frame = pd.read_parquet(source)
count = 0
with open(output, "w", encoding="utf-8") as file:
    for row in frame.itertuples(index=False, name=None):
        found = dict(zip(frame.columns, row, strict=True))
        document = json.loads(found["extra"]) if isinstance(found["extra"], str) else {}
        message = document.setdefault("message", {})
        message["type"] = found["type"]
        data = message.setdefault("data", {})
        if "content" not in data:
            data["content"] = found["content"]
        for name in ("role", "name", "tool_call_id"):
            if isinstance(found[name], str):
                data[name] = found[name]
        document |= {"_id": found["_id"], "_creationTime": found["_creationTime"], "sessionId": found["sessionId"]}
        file.write(json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n")
        count += 1
print(json.dumps({"rows": count, "seconds": time.perf_counter() - began}))
