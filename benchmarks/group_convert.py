"""P6 and P7: JSONL to Parquet and back, against DuckDB and pandas; what comes out is compared row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from data import chitchat, first_lines, large
from frame import Bench, Outcome, Run, faster, tool

_PANDAS_ROWS = 100_000


def run(bench: Bench) -> Iterator[Outcome]:
    """Yield the outcomes."""
    yield from _both_ways(bench, large(bench), bench.rows, "generated")
    path, rows = chitchat(bench)
    yield from _both_ways(bench, path, rows, "chitchat-dataset")


def _both_ways(bench: Bench, jsonl: Path, rows: int, what: str) -> Iterator[Outcome]:
    letter = "" if what == "generated" else "c"
    parquet = jsonl.parent / "ours.parquet"
    sample = first_lines(jsonl, min(rows, _PANDAS_ROWS))
    few = min(rows, _PANDAS_ROWS)
    work = f"convert JSONL → Parquet, {what}"
    ours, duckdb, pandas = bench.median(
        partial(_convert, jsonl, parquet, rows),
        partial(bench.peer, "to_parquet_duckdb", jsonl, jsonl.parent / "duckdb.parquet"),
        partial(bench.peer, "to_parquet_pandas", sample, jsonl.parent / "pandas.parquet"),
    )
    _convert(sample, jsonl.parent / "sample.parquet", few)
    same = _differ(bench, "compare_parquet", parquet, jsonl.parent / "duckdb.parquet")
    yield replace(faster(f"P6a{letter}", work, "DuckDB, 2 threads", 1, ours, duckdb), note=same)
    same = _differ(bench, "compare_parquet", jsonl.parent / "sample.parquet", jsonl.parent / "pandas.parquet")
    yield replace(faster(f"P6b{letter}", work, "pandas", 3, ours, pandas), note=same)

    work = f"convert Parquet → JSONL, {what}"
    ours, duckdb, pandas = bench.median(
        partial(_convert, parquet, jsonl.parent / "ours.jsonl", rows),
        partial(bench.peer, "to_jsonl_duckdb", parquet, jsonl.parent / "duckdb.jsonl"),
        partial(bench.peer, "to_jsonl_pandas", jsonl.parent / "sample.parquet", jsonl.parent / "pandas.jsonl"),
    )
    same = _differ(bench, "compare_jsonl", jsonl.parent / "ours.jsonl", jsonl.parent / "duckdb.jsonl")
    yield replace(faster(f"P7a{letter}", work, "DuckDB, 2 threads", 1, ours, duckdb), note=same)
    same = _differ(bench, "compare_jsonl", sample, jsonl.parent / "pandas.jsonl")
    yield replace(faster(f"P7b{letter}", work, "pandas", 3, ours, pandas), note=same)


def _convert(source: Path, output: Path, rows: int) -> Run:
    return tool(rows, "convert", "-q", "--overwrite", source, "-o", output)


def _differ(bench: Bench, how: str, ours: Path, theirs: Path) -> str:
    differ = bench.peer(how, ours, theirs).rows
    return "same rows" if differ == 0 else f"{differ:,} ROWS DIFFER"
