"""What `bench memory` prints: the tree, its processes, its phases, what stays, and what more workers would need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench_harness.record import Record
from bench_harness.report import deaths_text
from bench_harness.report.memray_text import memray_parts
from bench_harness.report.tables import new_table, print_parts
from bench_harness.report.units import size

_SHOWN_PROCESSES = 20


def print_memory(record: Record, folder: str) -> None:
    """Print a record of `bench memory`."""
    print_parts(memory_parts(record, folder))


def memory_parts(record: Record, folder: str) -> Iterator[Any]:
    """Return the lines and tables."""
    results = record.results
    yield f"bench memory: {results['target']}"
    yield from _tree(results["tree"])
    yield from _processes(results["processes"])
    yield from _phases(results["phases"])
    for pool in results["kept_pools"]:
        yield f"{size(pool['step_bytes'])} stay after the first pass over {pool['loader']}: " + (
            f"{_workers(pool['workers'])} live on; {pool['reason']}"
        )
    yield from _attribution(results)
    yield from _forecast(results.get("forecast"))
    if "memray" in results:
        yield from memray_parts(results["memray"])
    workers = record.workers
    if workers and workers["expected"]:
        yield f"{workers['delivered']} of {workers['expected']} workers delivered"
        for row in workers["missing"]:
            yield f"missing: worker {row['worker']} of {row['loader']}, epoch {row['epoch']}: {row['reason']}"
    yield from deaths_text.lines(workers or {})
    for warning in record.warnings:
        yield f"warning: {warning}"
    code = results["exit"]
    if code.get("code"):
        yield f"the target ended with {code['signal'] or code['code']}: passed on"
    plot = record.artifacts.get("plot")
    yield f"kept in {folder}" + (f"; plot: {folder}/{plot}" if plot else "")


def _tree(tree: Mapping[str, Any]) -> Iterator[str]:
    peak = tree["peak_pss_bytes"]
    if peak is None:
        yield "nothing was seen: it ended before the first look"
        return
    before = tree["before_fork_pss_bytes"]
    grown = f", {size(before)} before its first workers" if before is not None else ""
    yield f"the tree held {size(peak)} at its peak ({tree['peak_at_s']:.1f} s){grown} (sum of PSS)"
    rss = size(tree["peak_rss_sum_bytes"])
    yield f"for contrast: the sum of RSS, which counts shared pages again in each process, was {rss}"
    if tree["cgroup_highest_bytes"] is not None and tree["cgroup_before_bytes"] is not None:
        grown_bytes = tree["cgroup_highest_bytes"] - tree["cgroup_before_bytes"]
        yield f"the control group grew by {size(grown_bytes)}, files read among it" + _since_fork(tree["since_fork"])
    if tree["shm_highest_bytes"]:
        yield f"/dev/shm held at most {size(tree['shm_highest_bytes'])}"


def _since_fork(grown: Mapping[str, int] | None) -> str:
    if grown is None or grown["cgroup_bytes"] < 0:
        return ""
    group, tree = size(grown["cgroup_bytes"]), size(grown["pss_bytes"])
    return f"; from the first fork to the peak by {group}, and the tree by {tree}"


def _processes(rows: list[Mapping[str, Any]]) -> Iterator[Any]:
    columns = ("peak USS", "peak PSS", "peak RSS")
    table = new_table("Processes", "process", *columns, right=columns)
    for row in rows[:_SHOWN_PROCESSES]:
        kinds = ("peak_uss_bytes", "peak_pss_bytes", "peak_rss_bytes")
        table.add_row(row["label"], *("-" if row[kind] is None else size(row[kind]) for kind in kinds))
    yield table
    if len(rows) > _SHOWN_PROCESSES:
        yield f"and {len(rows) - _SHOWN_PROCESSES} more in record.json"


def _phases(rows: list[Mapping[str, Any]]) -> Iterator[Any]:
    columns = ("from", "to", "tree at start", "at end", "peak", "per batch", "processes")
    table = new_table("Phases", "phase", *columns, right=columns)
    for row in rows:
        sizes = ("start_pss_bytes", "end_pss_bytes", "peak_pss_bytes", "growth_per_batch_bytes")
        shown = ["-" if row[kind] is None else size(row[kind]) for kind in sizes]
        table.add_row(row["name"], f"{row['start_s']:.1f} s", f"{row['end_s']:.1f} s", *shown, str(row["processes"]))
    if rows:
        yield table


def _attribution(results: Mapping[str, Any]) -> Iterator[Any]:
    rows = results.get("attribution")
    if not rows:
        return
    columns = ("copied per worker", "share")
    table = new_table("Copied by the workers (copy-on-write)", "owner", "type", *columns, right=columns)
    for row in rows:
        table.add_row(row["owner"], row["type"], size(row["copied_bytes"]), f"{100 * row['share']:.0f} %")
    yield table
    about = results["attribution_about"]
    yield about["headline"]
    yield f"how it was found: {about['census']}"
    for line in about["advice"]:
        yield f"- {line}"


def _forecast(forecast: Mapping[str, Any] | None) -> Iterator[str]:
    if forecast is None:
        return
    yield ""
    yield (
        f"forecast: {size(forecast['base_bytes'])} + {size(forecast['per_worker_bytes'])} per num_workers: "
        + ", ".join(f"{size(row['peak_pss_bytes'])} at {row['workers']}" for row in forecast["rows"])
    )
    rows = forecast["rows"]
    if forecast["collected_bytes"]:
        yield (
            f"where Python's garbage collector runs in a worker it copies {size(forecast['collected_bytes'])}: in all "
            + "or none of them, "
            + ", ".join(
                f"{size(row['least_pss_bytes'])} to {size(row['most_pss_bytes'])} at {row['workers']}"
                for row in rows[-2:]
            )
            + "; gc.freeze() before the loader starts its workers spares it"
        )
    if forecast["limit_bytes"] is not None:
        most, surely = forecast["most_workers"], forecast["most_workers_if_collected"]
        fits = "not even the main process fits" if most is None else f"{_workers(most)} per loader fit"
        collected = "" if most == surely else f", {surely} where the collector runs in each of them"
        yield f"{fits} into {size(forecast['limit_bytes'])}{collected}"


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
