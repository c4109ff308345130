"""The report as plain text for a terminal or a log: what is worse, why that is said, and what to do next."""

import itertools
from collections.abc import Iterator
from typing import Any

from bench_harness.alert import wording
from bench_harness.alert.wording import Row
from bench_harness.record import Record
from bench_harness.report.tables import new_table, print_parts, render_parts

MAX_ROWS = 30
MAX_DETAILS = 10
MAX_WARNINGS = 10


class Unbroken(str):
    """A line that stays one however long it is, so that it can be pasted into a shell."""


def report(record: Record, where: str | None = None) -> str:
    """Return the text; `where` is the folder of the record."""
    return "".join(
        "".join(f"{line}\n" for line in parts) if unbroken else render_parts(parts)
        for unbroken, parts in _grouped(record, where)
    )


def print_report(record: Record, where: str) -> None:
    """Print the text, coloured on a terminal."""
    for unbroken, parts in _grouped(record, where):
        if unbroken:
            print(*parts, sep="\n")
        else:
            print_parts(parts)


def _grouped(record: Record, where: str | None) -> Iterator[tuple[bool, Iterator[Any]]]:
    return itertools.groupby(_parts(record, where), key=lambda part: isinstance(part, Unbroken))


def _parts(record: Record, where: str | None) -> Iterator[Any]:
    results = record.results
    rows = results["benchmarks"]
    yield f"{wording.headline(results['counts'])}: {wording.sides(results)}"
    yield f"reported on {wording.runner(record.environment)}"
    yield from (f"\n!! {wording.clean(line, 400)}" for line in results["loud"])
    yield _table(rows[:MAX_ROWS])
    if len(rows) > MAX_ROWS:
        yield f"  {len(rows) - MAX_ROWS:,} more rows in the record"
    for row in [row for row in rows if wording.needs_attention(row)][:MAX_DETAILS]:
        yield from _details(row)
    for step in results["steps"][:MAX_DETAILS]:
        yield f"\nstep in the history: {wording.clean(step['text'], 300)}"
    shown = record.warnings[:MAX_WARNINGS]
    yield from (f"{'' if index else chr(10)}warning: {wording.clean(line, 400)}" for index, line in enumerate(shown))
    if len(record.warnings) > len(shown):
        yield f"{len(record.warnings) - len(shown)} more warnings in the record"
    if where:
        yield f"\nrecord: {where}"


def _table(rows: list[Row]) -> Any:
    columns = ("verdict", "benchmark", "metric", "base", "head", "ratio (interval)", "threshold")
    table = new_table("Base and head", *columns, right=("base", "head"))
    for row in rows:
        values = (wording.value(row, "base"), wording.value(row, "head"), wording.ratio(row), wording.rule(row))
        table.add_row(wording.verdict(row), wording.name(row), wording.clean(row["metric"], 40), *values)
    return table


def _details(row: Row) -> Iterator[str]:
    yield f"\n{wording.verdict(row)}: {wording.name(row)} {wording.clean(row['metric'], 40)}"
    yield from (f"  {what}: {text}" for what, text in wording.facts(row))
    for side in ("base", "head"):
        links = [f"{run['path']} ({wording.clean(run['command'])})" for run in row["profiles"].get(side, [])]
        if links:
            yield f"  profiles of {side}: {', '.join(links)}"
    if row["rerun"]:
        yield Unbroken(f"  rerun: {wording.clean(row['rerun'], 1000)}")
    if row["acknowledge"]:
        yield Unbroken(f"  accept: {wording.clean(row['acknowledge'], 1000)}")
