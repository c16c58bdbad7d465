"""P10: the peak memory of an export does not grow with the history, nor with the longest session."""

from __future__ import annotations

from collections.abc import Iterator

from data import deployment, history, large
from frame import Bench, Outcome, Run, sandbox, tool

_MOST = 200


def run(bench: Bench) -> Iterator[Outcome]:
    """Yield the outcomes."""
    histories = {
        "all": (large(bench), bench.rows),
        "a tenth": (history(bench, bench.rows // 10, bench.rows // 500), bench.rows // 10),
        "one session": (history(bench, bench.rows // 2, 1), bench.rows // 2),
    }
    peaks: dict[str, dict[str, Run]] = {"jsonl": {}, "parquet": {}}
    for what, (source, rows) in histories.items():
        with sandbox(deployment(source)) as env_file:
            for kind, found in peaks.items():
                output = bench.work / f"memory.{kind}"
                found[what] = tool(rows, "export", "-q", "--overwrite", "--env-file", env_file, "-o", output)
    for letter, (kind, found) in zip("ab", peaks.items(), strict=True):
        whole, tenth, one = (found[what] for what in histories)
        ratio, most = whole.megabytes / tenth.megabytes, max(whole.megabytes, one.megabytes)
        yield Outcome(
            f"P10{letter}", f"peak memory, export to {kind}", "itself with a tenth of the rows",
            f"≤ 1.1 x, ≤ {_MOST} MB",
            min(1.1 / ratio, _MOST / most), f"{ratio:.2f} x, {most:.0f} MB",
            f"{_said(whole, 'rows')}; {_said(one, 'rows in one session')}", _said(tenth, "rows"),
        )  # fmt: skip


def _said(run: Run, what: str) -> str:
    helpers = f", {run.helpers:.0f} of them in other processes" if run.helpers else ""
    return f"{run.rows:,} {what}: {run.megabytes:.0f} MB{helpers}"
