"""The same loop with the client's HTTP side."""

import json
import sys
import time

from convex.http_client import ConvexHttpClient

from loop import export, settings

url, key = settings(sys.argv[1])
client = ConvexHttpClient(url)
client.set_admin_auth(key)
began = time.perf_counter()
count = export(client.query, sys.argv[2], int(sys.argv[3]))
print(json.dumps({"rows": count, "seconds": time.perf_counter() - began}))
