"""Parquet to JSONL by DuckDB: each row put together again from its columns, two threads."""

import json
import sys
import time

import duckdb

source, output = sys.argv[1:]
ROWS = f"""
select json_merge_patch(coalesce(extra, '{{}}')::json, json_object(
  '_id', _id, '_creationTime', "_creationTime", 'sessionId', "sessionId", 'message', json_object('type', type, 'data',
    json_merge_patch('{{}}', case when json_type(extra::json, '$.message.data.content') is null
      then json_object('content', content, 'name', name, 'role', role, 'tool_call_id', tool_call_id)
      else json_object('name', name, 'role', role, 'tool_call_id', tool_call_id) end))))::varchar
from read_parquet('{source}')
"""
began = time.perf_counter()
base = duckdb.connect()
base.execute("set threads = 2")
base.execute(f"copy ({ROWS}) to '{output}' (format csv, header false, quote '', escape '', delimiter E'\\x01')")
seconds = time.perf_counter() - began
print(json.dumps({"rows": base.sql(f"select count(*) from '{source}'").fetchall()[0][0], "seconds": seconds}))
