"""Airbyte's connector reads a table as Airbyte has it do; its start is measured apart and taken off.

Runs in an environment of its own (benchmarks/requirements-airbyte.txt): what it needs does not go with the others.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from loop import settings

CONNECTOR = str(Path(sys.executable).parent / "source-convex")


def run(*arguments: str) -> tuple[int, float]:
    """Run the connector; return how many records it put out, and its seconds."""
    began, count = time.perf_counter(), 0
    with subprocess.Popen([CONNECTOR, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            count += b'"type":"RECORD"' in line.replace(b" ", b"")
    if process.returncode:
        raise SystemExit(f"source-convex {arguments[0]}: exit {process.returncode}")
    return count, time.perf_counter() - began


def main() -> None:
    """Read the table messages of the sandbox that an env file names."""
    url, key = settings(sys.argv[1])
    stream = {
        "name": "messages",
        "json_schema": {"type": "object"},
        "supported_sync_modes": ["full_refresh", "incremental"],
        "source_defined_cursor": True,
        "default_cursor_field": ["_ts"],
        "source_defined_primary_key": [["_id"]],
    }
    catalog = {"streams": [{"stream": stream, "sync_mode": "incremental", "destination_sync_mode": "append_dedup",
                            "cursor_field": ["_ts"], "primary_key": [["_id"]]}]}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        config, asked = Path(folder, "config.json"), Path(folder, "catalog.json")
        config.write_text(json.dumps({"deployment_url": url, "access_key": key}))
        asked.write_text(json.dumps(catalog))
        _, start = run("spec")
        count, seconds = run("read", "--config", str(config), "--catalog", str(asked))
    print(json.dumps({"rows": count, "seconds": max(seconds - start, 0.001)}))


main()
