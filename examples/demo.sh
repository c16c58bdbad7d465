#!/bin/sh
# The main job from end to end, against a sandbox with sample data. Stops what it started.
set -eu
exec 2>&1

work=$(mktemp -d)
sandbox=
trap 'status=$?; [ -n "$sandbox" ] && kill "$sandbox" 2>/dev/null && wait "$sandbox" 2>/dev/null; rm -rf "$work"; exit $status' EXIT
trap 'exit 130' INT TERM

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }

[ -t 1 ] || say() { printf '\n$ %s\n' "$*"; }

mkfifo "$work/ready"
say "convex-msgs sandbox --sample-data --env-file sandbox.env &"
convex-msgs sandbox --port 0 --sample-data --env-file "$work/sandbox.env" > "$work/ready" &
sandbox=$!
read -r line < "$work/ready" || { echo 'the sandbox did not start' >&2; exit 1; }
printf '%s\n' "$line" | sed "s|$work/||"
cd "$work"

say "convex-msgs sessions --recent 5 --env-file sandbox.env"
convex-msgs sessions --recent 5 --env-file sandbox.env

say "convex-msgs export -s cust-42 -o chat.md --env-file sandbox.env"
convex-msgs export -s cust-42 -o chat.md --env-file sandbox.env

say "convex-msgs export -s cust-42 -o chat.jsonl --env-file sandbox.env"
convex-msgs export -s cust-42 -o chat.jsonl --env-file sandbox.env

say "convex-msgs export -o messages.parquet --env-file sandbox.env"
convex-msgs export -o messages.parquet --env-file sandbox.env

say "head -12 chat.md"
head -12 chat.md | cut -c 1-110

say "python: what pyarrow reads back from messages.parquet"
"$(dirname "$(command -v convex-msgs)")/python" - <<'PYTHON'
import pyarrow.compute as pc
import pyarrow.parquet as pq

table = pq.read_table("messages.parquet")
print(f"{table.num_rows:,} rows, {len(pc.unique(table['sessionId'])):,} sessions, columns: {', '.join(table.column_names)}")
counts = table.group_by("type").aggregate([("type", "count")]).sort_by([("type_count", "descending")])
for row in counts.slice(0, 5).to_pylist():
    print(f"  {row['type_count']:>5}  {row['type']}")
if table.num_rows != sum(1 for _ in open("chat.jsonl")) + pc.sum(pc.not_equal(table["sessionId"], "cust-42")).as_py():
    raise SystemExit("the files disagree")
PYTHON

say "ls -l"
ls -l chat.md chat.jsonl messages.parquet | awk '{print $1, $5, $NF}'
