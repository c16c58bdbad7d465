"""JSONL to Parquet by DuckDB: the columns of docs/formats, lossless, session order, zstd level 1, two threads."""

import json
import sys
import time

import duckdb

HEAD = '"_id":null,"_creationTime":null,"sessionId":null'
TAKEN = [
    f'{{{HEAD},"message":{{"type":null,"data":{{{fields}"role":null,"tool_call_id":null}}}}}}'
    for fields in ('"content":null,"name":null,', '"content":null,', "")
]
"""Texts that json_merge_patch removes."""
COLUMNS = """
with lines as (select json as j from read_ndjson_objects('{source}')),
found as (
  select j, j->>'$._id' as _id, (j->>'$._creationTime')::double as t, j->>'$.sessionId' as session,
    json_type(j, '$.message.data.content') as content_type,
    json_merge_patch(j, case
      when json_type(j, '$.message.data.content') = 'VARCHAR'
           and coalesce(json_type(j, '$.message.data.name'), 'VARCHAR') = 'VARCHAR'
      then '{all}'
      when json_type(j, '$.message.data.content') = 'VARCHAR'
      then '{unnamed}'
      else '{odd}'
    end)::varchar as extra
  from lines)
select _id, t as "_creationTime", make_timestamptz((t * 1000)::bigint) as created_at,
  row_number() over (partition by session order by t, _id) as n, session as "sessionId", j->>'$.message.type' as type,
  case when content_type = 'VARCHAR' then j->>'$.message.data.content'
    else array_to_string(list_transform(json_extract(j, '$.message.data.content[*]'),
      lambda b: case when json_type(b) = 'VARCHAR' then b->>'$' else b->>'text' end), chr(10)) end as content,
  j->>'$.message.data.role' as role, j->>'$.message.data.name' as name,
  j->>'$.message.data.tool_call_id' as tool_call_id,
  coalesce(j->>'$.message.data.response_metadata.model_name', j->>'$.message.data.response_metadata.model') as model,
  (j->>'$.message.data.usage_metadata.input_tokens')::double::bigint as input_tokens,
  (j->>'$.message.data.usage_metadata.output_tokens')::double::bigint as output_tokens,
  nullif(extra, '{{"message":{{"data":{{}}}}}}') as extra
from found order by session, t, _id
"""

source, output = sys.argv[1:]
began = time.perf_counter()
base = duckdb.connect()
base.execute("set threads = 2")
columns = COLUMNS.format(source=source, all=TAKEN[0], unnamed=TAKEN[1], odd=TAKEN[2])
base.execute(f"copy ({columns}) to '{output}' (format parquet, compression zstd, compression_level 1)")
seconds = time.perf_counter() - began
print(json.dumps({"rows": base.sql(f"select count(*) from '{output}'").fetchall()[0][0], "seconds": seconds}))
