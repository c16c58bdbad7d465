"""``python -m faults.endurance export --kills 200 --faults 200``: promises counted in the hundreds.

By hand: ``PYTHONPATH=tests python -m faults.endurance export``. Ends with 1, and the seed, at the first violation.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from faults.all_subjects import SUBJECTS
from faults.killing import KILLED, Violation, kill_until_done
from faults.plan import HTTP_FAULTS, Plan
from faults.proxying import Event, running_proxy
from faults.subjects import Case, Subject

_RATES = (0.05, 0.15, 0.3, 0.5)
_TRIES = (2, 4, 6)
_WITH_STALLS = 0.25
_QUICK = tuple(name for name in HTTP_FAULTS if not name.startswith("stall"))
_EVERY = 20
_KILLS_A_CASE = 4


@dataclass
class Tally:
    """Counts of what happened."""

    runs: int = 0
    kills: int = 0
    fault_runs: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Take another tally in."""
        self.runs += other.runs
        self.kills += other.kills
        self.fault_runs += other.fault_runs
        self.counts.update(other.counts)

    def table(self) -> str:
        """Return all counts, one a line."""
        rows = [("runs", self.runs), ("kills", self.kills), ("runs with faults", self.fault_runs)]
        rows += sorted(self.counts.items())
        return "\n".join(f"  {name:<52}{number:>6}" for name, number in rows)


def kill_case(subject: Subject, seed: int, folder: Path) -> Tally:
    """Kill one case a few times, run it again to its end, and check after every run."""
    with closing(subject.case(random.Random(seed), folder)) as case:
        return _kill_case(case, seed)


def _kill_case(case: Case, seed: int) -> Tally:
    tally = Tally()

    def check(code: int) -> None:
        case.check(code)
        tally.runs += 1
        if code == KILLED:
            tally.counts[f"kill leaves: {case.found()}"] += 1

    try:
        endings = kill_until_done(
            case.tool, seed=seed, life=case.life, check=check, kills=_KILLS_A_CASE, done=case.done
        )
    except Violation as broken:
        raise Violation(f"{case.label}: {broken}") from None
    for ending in endings:
        if ending.code == KILLED:
            tally.kills += 1
            at = ending.moment
            tenth = int(at.where * 10)
            shown = (
                f"time, {tenth * 10:02}-{tenth * 10 + 10} % of its life" if at.way == "time" else f"{at.way} {at.state}"
            )
            tally.counts[f"kill at {shown.strip()}"] += 1
        else:
            tally.counts["outran its kill"] += 1
    return tally


def fault_case(subject: Subject, seed: int, folder: Path) -> Tally:
    """Run one case through a proxy with a random plan, again and again until it is done; one run in ten waits."""
    chance = random.Random(seed)
    with closing(subject.case(chance, folder)) as case:
        return _fault_case(case, chance)


def _fault_case(case: Case, chance: random.Random) -> Tally:
    tries, waits = chance.choice(_TRIES), chance.random() < 0.1
    tally = Tally()
    code = KILLED
    while code not in case.tool.success:
        rate = 0.05 if waits else chance.choice(_RATES)
        kinds = HTTP_FAULTS if chance.random() < _WITH_STALLS else _QUICK
        plan = Plan.random(chance.randrange(1 << 30), rate, kinds)
        settings = {"CONVEX_MSGS_ATTEMPTS": str(tries)} | ({} if waits else {"FAULTS_NO_WAITS": "1"})
        with running_proxy(case.tool.url, plan) as proxy:
            code = case.tool.run(proxy.url, **settings)
            events = proxy.events()
        try:
            case.check(code)
            ending = _explain(case, code, events, tries)
        except Violation as broken:
            seen = " ".join(f"{event.number}:{event.fault}" for event in events if event.fault)
            raise Violation(f"{case.label}: {broken}\n  {tries} attempts; {plan}; met {seen}") from None
        tally.runs += 1
        tally.fault_runs += 1
        tally.counts[f"fault run: {ending}"] += 1
        tally.counts.update(f"fault {event.fault}" for event in events if event.fault)
    return tally


def _explain(case: Case, code: int, events: list[Event], tries: int) -> str:
    """Giving up is right only if one request met as many faults as there are attempts, or on a machine too slow."""
    if code in case.tool.success:
        return f"exit {code}"
    if code != 5:
        raise Violation(f"exit {code}: {case.tool.words}")
    if case.gave_up_rightly(events, tries):
        return "exit 5"
    if "no answer in time" in case.tool.words:
        return "exit 5, the machine itself too slow"
    raise Violation(f"gave up too early: {case.tool.words}")


def endure(subject: Subject, *, kills: int, faults: int, seed: int, jobs: int, say: Callable[[str], None]) -> Tally:
    """Run cases until so many kills and so many runs with faults are counted.

    Raises:
        Violation: the first one, with what it needs to be repeated.
    """
    total, started = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:

        def one(number: int, kind: str) -> Tally:
            own = seed * 1_000_003 + number
            try:
                return (kill_case if kind == "kill" else fault_case)(subject, own, Path(folder, f"{number}{kind[0]}"))
            except Violation as broken:
                raise Violation(f"{kind} case {number} (--seed {seed} --only {number}{kind[0]}): {broken}") from None

        def needed() -> Iterable[tuple[int, str]]:
            for number in count():
                if total.kills < kills:
                    yield number, "kill"
                if total.fault_runs < faults:
                    yield number, "fault"
                if total.kills >= kills and total.fault_runs >= faults:
                    return

        for done in _in_parallel(one, needed(), jobs):
            before = total.runs
            total.add(done)
            if total.runs // _EVERY > before // _EVERY:
                seconds = time.monotonic() - started
                say(f"{total.runs:>5} runs, {total.kills} kills, {total.fault_runs} with faults, {seconds:.0f} s")
    return total


def _in_parallel(one: Callable[[int, str], Tally], needed: Iterable[tuple[int, str]], jobs: int) -> Iterable[Tally]:
    """Yield results as they come; the first violation ends it."""
    with ThreadPoolExecutor(jobs) as pool:
        running: set[Future[Tally]] = set()
        for number, kind in needed:
            running.add(pool.submit(one, number, kind))
            if len(running) >= jobs:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        for future in running:
            yield future.result()


def main() -> None:
    """Run the counts, print a table, end with 1 at a violation."""
    parser = argparse.ArgumentParser(prog="python -m faults.endurance", description="Promises, counted.")
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", metavar="CASE", help="repeat one case, such as 12k or 7f")
    given = parser.parse_args()
    print(f"{given.subject}: {given.kills} kills, {given.faults} runs with faults, --seed {given.seed}", flush=True)
    started = time.monotonic()
    try:
        with SUBJECTS[given.subject]() as subject, tempfile.TemporaryDirectory() as folder:
            if given.only:
                run = kill_case if given.only.endswith("k") else fault_case
                total = run(subject, given.seed * 1_000_003 + int(given.only[:-1]), Path(folder, "case"))
            else:
                total = endure(
                    subject,
                    kills=given.kills,
                    faults=given.faults,
                    seed=given.seed,
                    jobs=given.jobs,
                    say=lambda line: print(line, flush=True),
                )
    except Violation as broken:
        print(f"VIOLATION in {broken}", flush=True)
        sys.exit(1)
    print(f"{total.table()}\nno violation in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
