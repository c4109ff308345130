"""The terminal summary, drawn from a record of `bench summary` alone."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench_harness.record import Record
from bench_harness.report import units
from bench_harness.report.tables import WIDTH, new_table, print_parts, render_parts

MAX_ROWS = 12
MAX_LOAD_COLUMNS = 6
# Shown first where a workload printed them; the other keys follow in the workload's order.
LOAD_FIRST = ("examples_per_s", "example_s", "workers", "start_method", "batch_size", "wall_s")


def print_summary(record: Record, folder: str) -> None:
    """Print the summary, at most 100 columns wide; colours only on a terminal and without NO_COLOR."""
    print_parts(_parts(record, folder))


def render_text(record: Record, folder: str, width: int = WIDTH, *, colour: bool = False) -> str:
    """Return the summary as text; `folder` is the run folder as the reader knows it."""
    return render_parts(_parts(record, folder), width, colour=colour)


def _parts(record: Record, folder: str) -> Iterable[Any]:
    yield conditions(record.environment)
    results = record.results
    if results.get("headlines"):
        yield from _headlines(results["headlines"])
    if results.get("load"):
        yield from _load(results["load"])
    if results.get("memory", {}).get("processes"):
        yield from _memory(results["memory"], record.workers)
    if results.get("history"):
        yield from _history(results["history"])
    yield from _tail(record, folder)


def conditions(environment: Mapping[str, Any]) -> str:
    """Return the line that says under which conditions the summary was made; missing pieces are left out."""
    git, cpu, load = (environment.get(key) or {} for key in ("git", "cpu", "load"))
    commit = git.get("commit")
    pieces = [
        f"commit {commit[:12]}{' + uncommitted changes' if git.get('dirty') else ''}" if commit else "no commit",
        environment.get("machine"),
        f"{cpu['model']}, {cpu.get('logical_count')} cores" if cpu.get("model") else None,
        f"load {load['1_min']}" if "1_min" in load else None,
        f"Python {environment['python']['version']}" if "python" in environment else None,
    ]
    return " | ".join(str(piece) for piece in pieces if piece)


def _headlines(rows: list[dict[str, Any]]) -> Iterable[Any]:
    first = rows[0]
    table = new_table(f"Headlines at {_where(first)}", "what", "value", "benchmark", right=["value"])
    # A list that somebody chose is shown whole; "every benchmark there is" is cut.
    chosen = any(not row["label"].startswith(row["benchmark"]) for row in rows)
    shown = rows if chosen else rows[:MAX_ROWS]
    for row in shown:
        value = units.quantity(row["value"], row["unit"]) if row["value"] is not None else row.get("why") or "-"
        table.add_row(row["label"], value, row["benchmark"] if row["label"] != row["benchmark"] else "")
    yield table
    if len(rows) > len(shown):
        yield f"  ... {len(rows) - len(shown)} more in record.json; choose with [tool.bench_harness.summary] headlines"


def _where(row: Mapping[str, Any]) -> str:
    commit, machine = row.get("commit"), row.get("machine")
    return f"{commit[:12]} on {machine}" if commit else "an unknown commit"


def _load(rows: list[dict[str, Any]]) -> Iterable[Any]:
    keys = list(dict.fromkeys(key for row in rows for key, value in row["values"].items() if _is_plain(value)))
    keys.sort(key=lambda key: LOAD_FIRST.index(key) if key in LOAD_FIRST else len(LOAD_FIRST))
    shown = keys[:MAX_LOAD_COLUMNS]
    numbers = {key for key in shown if any(isinstance(row["values"].get(key), (int, float)) for row in rows)}
    table = new_table("Throughput", "run", *shown, right=numbers)
    for row in rows:
        table.add_row(row["file"], *(units.by_key(key, row["values"].get(key)) for key in shown))
    yield table
    if len(keys) > len(shown):
        yield f"  also in record.json: {', '.join(keys[MAX_LOAD_COLUMNS:])}"


def _is_plain(value: object) -> bool:
    return isinstance(value, (str, int, float)) and len(str(value)) <= 24


def _memory(memory: Mapping[str, Any], workers: Mapping[str, Any] | None) -> Iterable[Any]:
    right = ["pid", "peak", "allocations"]
    table = new_table("Memory per process", "role", "pid", "peak", "allocations", "held at the peak by", right=right)
    processes = memory["processes"]
    for process in processes[:MAX_ROWS]:
        count = process["allocations"]
        table.add_row(
            process["role"],
            str(process["pid"]),
            units.size(process["peak_bytes"]),
            "-" if count is None else f"{count:,}",
            "\n".join(_allocator(item) for item in process["top"][:2] if item["share"] >= 0.01),
        )
    yield table
    if len(processes) > MAX_ROWS:
        yield f"  ... {len(processes) - MAX_ROWS} more in record.json"
    if workers:
        yield f"  {workers['delivered']} of {workers['expected']} forked processes delivered a capture"
    yield from ("  " + line for line in memory["note"].split("; "))


def _allocator(item: Mapping[str, Any]) -> str:
    place = "/".join(item["file"].split("/")[-2:])
    return f"{item['share']:.0%} {item['function']} {place}:{item['line']}"


def _history(rows: list[dict[str, Any]]) -> Iterable[Any]:
    labels = [value["label"] for value in rows[0]["values"]]
    table = new_table("History", "landmark", "commit", "date", "machine", *labels, right=labels)
    for row in rows:
        cells = [_history_cell(value) for value in row["values"]]
        table.add_row(
            row["label"], (row["commit"] or "-")[:8], (row["date"] or "-")[:10], row["machine"] or "-", *cells
        )
    yield table


def _history_cell(value: Mapping[str, Any]) -> str:
    if value["value"] is None:
        return value.get("why") or "-"
    compared = units.ratio(value.get("ratio"), value["unit"])
    return units.quantity(value["value"], value["unit"]) + (f"\n{compared}" if compared else "")


def _tail(record: Record, folder: str) -> Iterable[str]:
    yield f"\nArtifacts in {folder}: record.json" + "".join(f", {path}" for path in record.artifacts.values())
    for warning in record.warnings:
        yield f"warning: {warning}"
