"""Speed, measured against what people would do instead: in one run on one machine, by ratio.

    make bench                everything; the table goes to benchmarks/RESULTS.md, the picture to RESULTS.svg
    make bench ONLY=export    one group; the other lines of the table stay as they were

Each side runs several times by turns, and the run of median rate counts. Our time is that of the whole process, its
start included; a peer measures itself without its start. Where a peer is slow it gets fewer rows, and rates are
compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path

from frame import HERE, Bench, Outcome, environment
from report import write_results

GROUPS = ("start", "convert", "validate", "export", "import", "sync", "memory")
"""Each is a file ``group_<name>.py`` with a function ``run(bench)`` that yields outcomes. A new one is one file and its
name here."""


def main() -> None:
    """Run the groups that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"groups, with commas between them: {', '.join(GROUPS)}")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the large deployment")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs")
    parser.add_argument("--work", type=Path, default=HERE / ".work", help="folder for data, kept between runs")
    options = parser.parse_args()
    groups = options.only.split(",") if options.only else GROUPS
    if unknown := set(groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.work, environment(options.work, "peers", "requirements.txt"), options.rows, options.rounds)
    found = _earlier(options.work)
    for group in groups:
        print(f"{group}:", flush=True)
        for outcome in import_module(f"group_{group}").run(bench):
            found[outcome.number] = replace(outcome, rounds=bench.rounds)
            print(f"  {outcome.number:<5} {outcome.work}: {outcome.result} (goal {outcome.goal}) "
                  f"against {outcome.peer} {outcome.note}", flush=True)  # fmt: skip
            (options.work / "outcomes.json").write_text(json.dumps([asdict(one) for one in found.values()]))
    write_results(HERE, found)


def _earlier(work: Path) -> dict[str, Outcome]:
    """Return the outcomes of earlier runs."""
    path = work / "outcomes.json"
    known = json.loads(path.read_text()) if path.exists() else []
    return {one["number"]: Outcome(**one) for one in known}


if __name__ == "__main__":
    sys.exit(main())
