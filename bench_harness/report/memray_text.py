"""The table of memray's captures, drawn from the part "memray" of a record's results."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench_harness.report import units
from bench_harness.report.tables import new_table

MAX_ROWS = 20
MAX_PLACES = 3


def memray_parts(memray: Mapping[str, Any]) -> Iterable[Any]:
    """Yield one table of all processes, one of the places that allocated most in each, and what memray cannot see."""
    processes = memray["processes"][:MAX_ROWS]
    yield _processes(processes)
    if len(memray["processes"]) > MAX_ROWS:
        yield f"  ... {len(memray['processes']) - MAX_ROWS} more in record.json"
    for missing in memray["missing"]:
        yield f"  {missing['label']} is missing: {missing['reason']}"
    if any(process["allocating"] or process["held"] for process in processes):
        yield _places(processes)
    yield from ("  " + line for line in memray["note"].split("; "))


def _processes(processes: Iterable[Mapping[str, Any]]) -> Any:
    right = ["allocations", "allocated", "peak"]
    table = new_table("Allocations (memray)", "process", "pid", *right, "capture", right=["pid", *right])
    for process in processes:
        counted = process["allocations"]
        table.add_row(
            process["label"],
            str(process["pid"]),
            "-" if counted is None else f"{counted:,}",
            "-" if process["allocated_bytes"] is None else units.size(process["allocated_bytes"]),
            units.size(process["peak_bytes"]),
            process["capture"] + ("" if process["closed"] else " (not closed)"),
        )
    return table


def _places(processes: Iterable[Mapping[str, Any]]) -> Any:
    table = new_table("Where", "process", "", "share", "bytes", "function", right=["share", "bytes"])
    for process in processes:
        for what, key in (("allocated", "allocating"), ("at the peak", "held")):
            for number, place in enumerate(process[key][:MAX_PLACES]):
                table.add_row(
                    process["label"] if number == 0 and key == "allocating" else "",
                    what if number == 0 else "",
                    f"{place['share']:.0%}",
                    units.size(place["bytes"]),
                    _named(place),
                )
    return table


def _named(place: Mapping[str, Any]) -> str:
    at = f" ({'/'.join(place['file'].split('/')[-2:])}:{place['line']})" if place["file"] else ""
    return f"{place['function']}{at}" + (f" in {place['native']}" if place["native"] else "")
