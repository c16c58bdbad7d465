"""Export of large histories: how long it takes, and the peak memory of the exporting process.

    make scale              1,000,000 rows in 20,000 sessions, then one session of 500,000 rows
    make scale SCALE=10     a tenth of that

Both are loaded into a sandbox of their own and exported to JSONL and Parquet, by default through the
deployed functions. The JSONL must be byte for byte what was loaded, and the exporting process must stay under
200 MB (those that help it are not counted).
"""

from __future__ import annotations

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments import write_history

_MOST_MB = 200


def main() -> int:
    """Run both histories and return 0 if every export was whole and small."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", type=int, default=1, help="divide the row counts by this")
    parser.add_argument("--via", default="auto", choices=["auto", "functions", "system"])
    options = parser.parse_args()
    good = True
    for rows, sessions in ((1_000_000, 20_000), (500_000, 1)):
        with tempfile.TemporaryDirectory() as name:
            good = measure(Path(name), rows // options.part, max(1, sessions // options.part), options.via) and good
    return 0 if good else 1


def measure(folder: Path, rows: int, sessions: int, via: str) -> bool:
    """Export one history in two formats; print a line for each."""
    source = folder / "history.jsonl"
    write_history(source, rows, sessions)
    print(
        f"{rows:,} rows in {sessions:,} sessions, {source.stat().st_size / 1e6:.0f} MB of JSONL: loading …", flush=True
    )
    good = True
    with sandbox(folder, source) as env_file:
        for kind in ("jsonl", "parquet"):
            output = folder / f"export.{kind}"
            seconds, megabytes = export(output, env_file, via)
            whole = kind == "parquet" or filecmp.cmp(source, output, shallow=False)
            good = good and whole and megabytes < _MOST_MB
            verdict = (
                ("same bytes" if kind == "jsonl" else f"{output.stat().st_size / 1e6:.0f} MB") if whole else "NOT WHOLE"
            )
            print(
                f"  {kind:<8} {seconds:6.1f} s  {rows / seconds:9,.0f} rows/s  peak {megabytes:4.0f} MB  {verdict}",
                flush=True,
            )
    return good


@contextmanager
def sandbox(folder: Path, source: Path) -> Iterator[Path]:
    """Run a sandbox that holds a history."""
    env_file = folder / "sandbox.env"
    command = [sys.executable, "-m", "sync_tool", "sandbox", "--with-parent", "--port", "0", "--load", str(source)]
    with subprocess.Popen(
        [*command, "--data", str(folder / "data.sqlite"), "--env-file", str(env_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if not (process.stdout and process.stdout.readline().startswith("sandbox ready")):
            raise SystemExit("the sandbox did not start")
        yield env_file
        process.terminate()


def export(output: Path, env_file: Path, via: str) -> tuple[float, float]:
    """Run the command line; return its seconds and its peak memory in MB, as the operating system counts."""
    before = os.times().elapsed
    command = [sys.executable, "-m", "sync_tool", "export", "-q", "-o", str(output)]
    process = subprocess.Popen([*command, "--env-file", str(env_file), "--via", via])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the export ended with {os.waitstatus_to_exitcode(status)}")
    return os.times().elapsed - before, usage.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
