"""The cost of a read: estimated, printed, and capped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import sync_tool as cm
from running import Sandbox
from sync_tool.commands.arguments import parse_size
from sync_tool.commands.metering import Cap, Estimate, Meter, read_cap
from sync_tool.errors import UsageError
from sync_tool.rows.batch import Page
from sync_tool.rows.reading import empty_page

FREE = 200_000_000


def test_the_free_plans_share_is_said_before_reading() -> None:
    """The text of user (b)'s error: how much, which share of the plan, how to go on, how to read less."""
    with pytest.raises(UsageError) as caught:
        Meter(Cap(FREE), Estimate(184_212, 212_000_000))
    assert caught.value.message == (
        "reading 212 MB is 21 % of the Free plan's 1 GB a month, and the app may stop answering when it is used up."
    )
    month = datetime.now(UTC).strftime("%Y-%m-01")
    assert caught.value.hint == (
        f"go on  --max-read 250MB            smaller: --after {month}     nothing was read but one page."
    )


@pytest.mark.parametrize("count", [1, 999_999, 1_000_001, 212_000_000, 3_100_000_000, 10**12])
def test_the_size_advised_is_enough(count: int) -> None:
    """Whatever would be read, the --max-read that the error names lets it through."""
    with pytest.raises(UsageError) as caught:
        Meter(Cap(0), Estimate(1, count))
    advised = parse_size(caught.value.hint.split()[3], "--max-read")
    assert advised is not None
    Meter(Cap(advised), Estimate(1, count))


def test_what_is_read_counts_over_all_readings() -> None:
    """The cap holds for the job as a whole, also where nothing was estimated."""

    def pages(sizes: list[int]) -> Iterator[Page]:
        yield from map(empty_page, sizes)

    meter = Meter(Cap(100), None)
    assert len(list(meter.watch(pages([40, 40])))) == 2
    with pytest.raises(UsageError, match="--max-read"):
        list(meter.watch(pages([10, 11])))


def test_an_estimate_reads_as_people_say_it() -> None:
    """Three digits are enough for a guess."""
    assert str(Estimate(184_212, 212_345_678)) == "about 184,000 rows, 212 MB"
    assert str(Estimate(7, 900)) == "about 7 rows, 900 bytes"


def test_only_a_cloud_plan_without_streaming_is_capped(sandbox: Sandbox, bare_sandbox: Sandbox, tmp_path: Path) -> None:
    """Self-hosted deployments and files are not capped; what was asked for always counts."""
    (tmp_path / "a.jsonl").write_text("")
    free = cm.connect(bare_sandbox.url, key=bare_sandbox.key)
    cap = read_cap(free, None)
    assert cap is not None
    assert (cap.bytes, cap.lifted()) == (FREE, False)
    assert read_cap(free, 5) == Cap(5)
    assert read_cap(cm.connect(sandbox.url, key=sandbox.key), None) is None
    assert read_cap(cm.open(tmp_path / "a.jsonl"), None) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("250MB", 250_000_000),
        ("2MiB/s", 2 << 20),
        ("1.5 GB", 1_500_000_000),
        ("7", 7),
        ("3k", 3000),
        (12, 12),
        (None, None),
    ],
)
def test_sizes_are_read(text: str | int | None, size: int | None) -> None:
    """Powers of 1,000 and of 1,024, with or without a rate's /s."""
    assert parse_size(text, "--x") == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1XB", "ten"])
def test_what_is_no_size_is_said(text: str) -> None:
    """The option is named, with an example."""
    with pytest.raises(UsageError, match="--max-read") as caught:
        parse_size(text, "--max-read")
    assert "250MB" in caught.value.hint
