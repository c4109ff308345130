"""The text and the Markdown of `bench compare --self-test`, drawn from its record alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench_harness.record import Record
from bench_harness.report import units
from bench_harness.report.tables import new_table, print_parts

COLUMNS = ("workload", "planted", "measured, %", "found", "rate, %", "in 5 s", "in 20 s", "bodies", "starts", "wall")
EXPLAINED = (
    "Planted 0: what is found is a false alarm, after confirming. Measured: the slowdown of the first",
    "metric that was truly there. Intervals are of 95 %. In 5 s, in 20 s: found with no more than so many",
    "seconds of bodies. Per verdict, both sides and all rounds: seconds of bodies (median and 95th",
    "percentile), of starting processes (median), of wall time (median).",
)


def print_rates(record: Record, folder: str, *, as_markdown: bool) -> None:
    """Print the report."""
    if as_markdown:
        print("\n".join(_markdown_lines(record)))
    else:
        print_parts(_parts(record, folder))


def _parts(record: Record, folder: str) -> Iterable[Any]:
    for title, rows in _tables(record):
        table = new_table(title, *COLUMNS, right=COLUMNS[1:])
        for row in rows:
            table.add_row(*cells(row))
        yield table
    yield from ("", *EXPLAINED, *_notes(record))
    yield f"\nArtifacts in {folder}: record.json, {record.artifacts['verdicts']}"
    for warning in record.warnings:
        yield f"warning: {warning}"


def _markdown_lines(record: Record) -> Iterable[str]:
    for title, rows in _tables(record):
        yield from (f"**{title}**", "", f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}")
        yield from (f"| {' | '.join(cells(row))} |" for row in rows)
        yield ""
    yield from (*EXPLAINED, "", *(f"- {note}" for note in _notes(record)))
    yield from (f"- warning: {warning}" for warning in record.warnings)


def _tables(record: Record) -> list[tuple[str, list[Mapping[str, Any]]]]:
    tables: dict[str, list[Mapping[str, Any]]] = {}
    for row in record.results["rates"]:
        title = f"Verdicts of {' and '.join(row['metrics'])} at --effect {100 * row['effect']:g}%"
        tables.setdefault(title, []).append(row)
    return list(tables.items())


def cells(row: Mapping[str, Any]) -> list[str]:
    """Return the cells of one kind of pair."""
    found, measured = row["found"], row["measured"]
    low, high = found["ci"]
    return [
        row["workload"],
        _percent(row["planted"]),
        _measured(measured) if measured else "-",
        f"{found['count']} of {row['n']}",
        f"{100 * found['rate']:.3g} [{100 * low:.3g}, {100 * high:.3g}]",
        _percent(row["found_within_5_s"]["rate"]),
        _percent(row["found_within_20_s"]["rate"]),
        f"{units.digits(row['body_s_median'], 2)}, {units.digits(row['body_s_p95'], 2)}",
        units.digits(row["startup_s_median"], 2),
        units.digits(row["wall_s_median"], 2),
    ]


def _measured(measured: Mapping[str, Any]) -> str:
    low, high = measured["ci"]
    text = f"{100 * measured['effect']:+.2f}"
    return text if low is None else f"{text} [{100 * low:.2f}, {100 * high:.2f}]"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _notes(record: Record) -> Iterable[str]:
    for row in record.results["rates"]:
        alarms, found, undecided = (row[name]["count"] for name in ("screening_alarms", "found", "undecided"))
        yield (
            f"{row['workload']}, planted {_percent(row['planted'])}: {alarms} alarms in screening, {found} confirmed, "
            f"{undecided} undecided; others kept {row['load']} cores busy"
        )
        if "upper_bound" in row["found"] and not row["planted"]:
            bound = _percent(row["found"]["upper_bound"])
            yield f"  so at most {bound} of such comparisons are false alarms (95 %, one-sided)"
