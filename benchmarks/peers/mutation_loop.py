"""LangChain's way of writing: one mutation for each message, through the official client."""

import json
import sys
import time

from convex import ConvexClient
from loop import settings

url, key = settings(sys.argv[1])
client = ConvexClient(url)
client.set_admin_auth(key)
with open(sys.argv[2], encoding="utf-8") as lines:
    rows = [json.loads(line) for line, _ in zip(lines, range(int(sys.argv[3])), strict=False)]
documents = [{"sessionId": row["sessionId"], "message": row["message"]} for row in rows]
began = time.perf_counter()
for document in documents:
    client.mutation("langchain/db:insert", {"table": "messages", "document": document})
print(json.dumps({"rows": len(documents), "seconds": time.perf_counter() - began}))
