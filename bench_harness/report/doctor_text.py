"""The terminal report of `bench doctor`, drawn from its record alone."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bench_harness.record import Record
from bench_harness.report import units
from bench_harness.report.summary_text import conditions
from bench_harness.report.tables import new_table, print_parts

_COUNTED = (("fatal", "fatal", "fatal"), ("warning", "warning", "warnings"), ("note", "note", "notes"))


def print_doctor(record: Record, folder: str, *, show_all: bool = False) -> None:
    """Print the report, at most 100 columns wide; `show_all`: with what is fine."""
    print_parts(parts(record, folder, show_all=show_all))


def parts(record: Record, folder: str, *, show_all: bool = False) -> Iterable[Any]:
    """Yield the lines and tables of the report."""
    results = record.results
    findings = results["findings"]
    yield conditions(record.environment)
    if results.get("target"):
        yield _target(results)
    shown = [row for row in findings if show_all or row["level"] != "ok"]
    if shown:
        yield _table(shown)
    yield f"\n{_summary(findings, show_all)}"
    yield f"Artifacts in {folder}: record.json"
    for warning in record.warnings:
        yield f"warning: {warning}"


def _target(results: Mapping[str, Any]) -> str:
    loaders = [
        f"{row['name']}: {row['num_workers']} workers by {row['start_method']}, {row['batches']} batches"
        + (f" of {units.size(row['batch_bytes'])}" if row.get("batch_bytes") else "")
        for row in results.get("loaders") or []
    ]
    return f"{results['target']}: " + ("; ".join(loaders) or "no loader with workers")


def _table(findings: Iterable[Mapping[str, Any]]) -> Any:
    table = new_table("Findings", "level", "about, loader", "seen, why it hurts, what to do")
    for row in findings:
        about = f"{row['check']}\n{row['where']}" if row["where"] else row["check"]
        lines = [row["seen"], row["why"], f"-> {row['do']}" if row["do"] else ""]
        table.add_row(row["level"], about, "\n".join(filter(None, lines)))
    return table


def _summary(findings: list[Mapping[str, Any]], show_all: bool) -> str:
    count = Counter(row["level"] for row in findings)
    said = [f"{count[level]} {one if count[level] == 1 else many}" for level, one, many in _COUNTED if count[level]]
    fine = f"{count['ok']} checks are fine" + ("" if show_all or not count["ok"] else " (--all shows them)")
    return ", ".join([*said, fine])
