"""The official client as its README shows it, over the WebSocket: ask for a page of 1,000 rows, write it, and again."""

import json
import sys
import time

from convex import ConvexClient
from loop import export, settings

url, key = settings(sys.argv[1])
client = ConvexClient(url)
client.set_admin_auth(key)
began = time.perf_counter()
count = export(client.query, sys.argv[2], int(sys.argv[3]))
print(json.dumps({"rows": count, "seconds": time.perf_counter() - began}))
