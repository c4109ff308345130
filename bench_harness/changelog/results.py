"""The tables as plain JSON data for the record: numbers in asv's units, verdicts in words."""

import math
from collections.abc import Iterable
from typing import Any

from bench_harness.changelog.ratios import FEWEST, Comparison, has_enough
from bench_harness.changelog.rows import Block, Row
from bench_harness.changelog.tables import Table
from bench_harness.history.steps import Step
from bench_harness.statistics.multiplicity import holm

LEVEL = 0.025  # one side of the 95 % intervals


def results(tables: Iterable[Table]) -> dict[str, Any]:
    """Return results of the record: tables, and what decides the exit code.

    `worse` holds the rows of each machine's newest commit that are worse, by the interval and after Holm's correction
    over all rows of these commits; `failed` those that failed and did not before; `unmet` every row that is not as a
    commit announced.
    """
    tables = list(tables)
    return {
        "tables": [_table(table) for table in tables],
        "worse": [_named(block, row) for block, row in worse_rows(tables)],
        "failed": [_named(block, row) for block, row in _newest(tables) if _fails_now(block, row)],
        "unmet": [
            {**_named(block, row), "expected": one.expectation.text, "announced_by": one.expectation.commit}
            for block, row in _rows(tables)
            for one in row.checked
            if not one.met
        ],
        "values": sum(row.estimate is not None for _, row in _rows(tables)),
    }


def advice(tables: Iterable[Table]) -> list[str]:
    """Return what would let more rows be compared, in one line at most."""
    times = [
        row.estimate
        for block, row in _rows(tables)
        if row.estimate is not None and (block.series.rounds is not None or row.estimate.samples)
    ]
    few = sum(not has_enough(one) for one in times)
    if not few:
        return []
    return [
        f"{few} of {len(times)} times come from fewer than {FEWEST} processes, or asv kept no samples of them, and are "
        "not compared; next time: asv run --record-samples -a rounds=5 (then bench log --rounds 5)"
    ]


def _rows(tables: Iterable[Table]) -> Iterable[tuple[Block, Row]]:
    return ((block, row) for table in tables for block in table.blocks for row in block.rows)


def worse_rows(tables: Iterable[Table]) -> list[tuple[Block, Row]]:
    """Return the rows of each machine's newest measured commit that are worse than the row before."""
    newest = [(block, row) for block, row in _newest(tables) if row.comparison is not None]
    # A row that is no worse is a test that found nothing: it counts in the correction.
    adjusted = holm([_p_value(block, row) for block, row in newest])
    return [found for found, p_value in zip(newest, adjusted, strict=True) if p_value <= LEVEL]


def _newest(tables: Iterable[Table]) -> list[tuple[Block, Row]]:
    """Return the rows of each machine's newest measured commit."""
    blocks = [block for table in tables for block in table.blocks]
    newest_at: dict[str, int] = {}
    for block in blocks:
        position = block.series.points[-1].position
        newest_at[block.series.machine] = max(newest_at.get(block.series.machine, 0), position)
    return [
        (block, row)
        for block in blocks
        for row in block.rows
        if block.series.points[-1].position == newest_at[block.series.machine]
        if row.commit.commit == block.series.points[-1].commit
    ]


def _fails_now(block: Block, row: Row) -> bool:
    before = block.series.points[-2:-1]  # the row is that of the last point
    return row.estimate is None and any(point.value is not None for point in before)


def _p_value(block: Block, row: Row) -> float:
    if row.comparison is None or row.comparison.p_value is None or not block.is_worse(row):
        return 1.0
    return row.comparison.p_value


def _named(block: Block, row: Row) -> dict[str, Any]:
    ratio = row.comparison.ratio if row.comparison else None
    return {"benchmark": block.title, "commit": row.commit.commit, "machine": block.series.machine, "ratio": ratio}


def _table(table: Table) -> dict[str, Any]:
    first = table.first
    return {
        "benchmark": first.benchmark,
        "machine": first.machine,
        "environment": first.environment,
        "version": first.version,
        "unit": first.unit,
        "rounds": first.rounds,
        "began": first.began,
        "blocks": [_block(block) for block in table.blocks],
    }


def _block(block: Block) -> dict[str, Any]:
    return {
        "title": block.title,
        "params": dict(block.series.params),
        "margin": block.margin,
        "better": block.better,
        "rows": [_row(row) for row in block.rows],
        "steps": [_step(step) for step in block.steps.steps],
        "refuted": [_step(step) | {"same_job_ci": over.interval(0.95)} for step, over in block.steps.refuted],
    }


def _row(row: Row) -> dict[str, Any]:
    commit, found = row.commit, row.estimate
    return {
        "commit": commit.commit,
        "date": commit.date,
        "change": commit.text,
        "source": commit.source,
        "mean": found.mean if found else None,
        "sd": found.sd if found else None,
        "n": found.n if found else None,
        "samples": found.samples if found else 0,
        "ci": None if found is None or found.low is None else [found.low, found.high],
        "why": row.why,
        "previous": row.previous,
        **_compared(row.comparison),
        "expected": [{"text": one.expectation.text, "met": one.met} for one in row.checked],
    }


def _compared(comparison: Comparison | None) -> dict[str, Any]:
    if comparison is None:
        return {"ratio": None, "ratio_ci": None, "verdict": None, "same_job": False}
    low, high = comparison.low, comparison.high
    # JSON has no infinity: an interval without an upper end has null there.
    span = None if low is None or high is None else [low, high if math.isfinite(high) else None]
    same_job = comparison.same_job
    return {"ratio": comparison.ratio, "ratio_ci": span, "verdict": comparison.verdict, "same_job": same_job}


def _step(step: Step) -> dict[str, Any]:
    return {
        "last_good": step.last_good,
        "first_bad": step.first_bad,
        "commits_between": list(step.commits_between),
        "ratio": step.ratio,
        "ci": [step.low, step.high],
        "p_value": step.p_value,
        "same_job": step.same_job,
    }
