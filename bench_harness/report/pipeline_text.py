"""The text about a data pipeline and about a sweep over its workers, drawn from a record's results alone."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench_harness.report import units
from bench_harness.report.tables import new_table

_STAGES = (
    ("fetch", "fetch_s", "in a worker"),
    ("collate", "collate_s", "in a worker"),
    ("pickle", "pickle_s", "in a worker's second thread"),
    ("unpickle", "receive_s", "in main"),
    ("  of it off the CPU", "receive_idle_s", "main waits for a worker"),
    ("wait: being fetched", "loader_wait_s", "main is idle"),
    ("wait: on its way", "transport_wait_s", "main is idle"),
    ("draw and send indices", "own_s", "in main"),
    ("step", "step_s", "in main"),
)
LEAST_IN_LOOPS = 0.5  # of main's time: below, what a verdict does not speak of is said
_SHARES = {
    "fetch_s": None,
    "receive_s": "receive",
    "own_s": "own",
    "loader_wait_s": "loader_wait",
    "transport_wait_s": "transport_wait",
    "step_s": "step",
}


def parts(results: Mapping[str, Any]) -> Iterable[Any]:
    """Yield the lines and tables about results["pipeline"] and results["sweep"], whichever there are."""
    if results.get("pipeline"):
        yield from _pipeline(results["pipeline"], results.get("phases") or [])
    if results.get("sweep"):
        yield from _sweep(results["sweep"])


def _pipeline(pipeline: Mapping[str, Any], phases: Iterable[Mapping[str, Any]]) -> Iterable[Any]:
    share = pipeline.get("main_wait_share")
    waiting = "" if share is None else f" (main without a batch: {share:.0%} of the steady time)"
    yield f"\nPipeline: {pipeline.get('verdict') or 'no verdict'}{waiting}"
    yield from (f"  {line}" for line in pipeline.get("lines") or [])
    for loop in pipeline.get("loaders") or []:
        yield _loop(loop)
        yield from (f"  {line}" for line in _notes(loop))
    yield from _not_in_it(pipeline, phases)
    gpu = pipeline.get("gpu")
    if gpu is not None:
        yield from _gpu(gpu)


def _not_in_it(pipeline: Mapping[str, Any], phases: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Yield what share of main's time the steady batches are, if it is small: the verdict is on these alone."""
    loops = [loop for loop in pipeline.get("loaders") or [] if loop.get("process") == "main"]
    main_s = next((row["steady_s"] for row in phases if row["process"] == "main"), 0.0)
    loops_s = sum(loop["steady"]["wall_s"] for loop in loops)
    if loops_s and loops_s < LEAST_IN_LOOPS * main_s:
        yield (
            f"  The steady batches took {units.seconds(loops_s)} of the {units.seconds(main_s)} that main ran after "
            "its first one: the rest is no step of a steady loop, but starts of workers, first batches of later "
            "epochs, and what lies outside of loops"
        )


def _loop(loop: Mapping[str, Any]) -> Any:
    title = f"{loop['name']}, num_workers={loop.get('num_workers')}: {loop['verdict']}"
    table = new_table(
        title, "per batch", "mean", "median", "p95", "of the steady time", "where", right=["mean", "median", "p95"]
    )
    for name, key, where in _STAGES:
        values = loop["per_batch"].get(key) or {"mean": None}
        if not values["mean"] or (not loop.get("num_workers") and key in ("loader_wait_s", "pickle_s")):
            continue
        times = ["-" if values[one] is None else units.seconds(values[one]) for one in ("mean", "p50", "p95")]
        share = _share_of(loop, key)
        table.add_row(name, *times, share, where if loop.get("num_workers") else "in main")
    return table


def _share_of(loop: Mapping[str, Any], key: str) -> str:
    if not loop.get("num_workers") and key == "fetch_s":
        return f"{loop['shares']['loader_wait']:.1%} with collate"
    if key == "receive_idle_s":
        return f"({loop.get('receive_idle_share', 0.0):.1%})"
    name = _SHARES.get(key)
    return "" if name is None else f"{loop['shares'][name]:.1%}"


def _notes(loop: Mapping[str, Any]) -> Iterable[str]:
    steady = loop["steady"]
    left_out = "warming up included: too few" if steady["warming_up_included"] else "the first ones left out"
    yield f"{steady['batches']} of {loop['batches']} batches, {left_out}{_rate(loop)}"
    if loop["workers_busy_share"] is not None:
        cpu = loop["cpu_s_per_sample"]
        yield (
            f"workers: {loop['workers_busy_share']:.0%} fetching, {loop['workers_idle_share']:.0%} without an index"
            + ("" if cpu is None else f", {units.seconds(cpu)} CPU per sample")
        )
    copy = loop["copy"]
    if copy["measured"]:
        kinds = f"{copy['pinned']} from pinned memory, {copy['pageable']} from pageable memory"
        yield f"copies to the device: {kinds}, {units.size(copy['bytes'])}, {units.seconds(copy['seconds'])}"
    else:
        yield f"copies to the device: not measured ({copy['reason']})"
    if loop["matched_share"] < 1 and steady["batches"]:
        yield f"{1 - loop['matched_share']:.0%} of the batches have no note of their worker: their waits are not split"


def _rate(loop: Mapping[str, Any]) -> str:
    if loop["batches_per_s"] is None:
        return ""
    interval = loop["batches_per_s_interval"]
    within = "" if interval is None else f" (95 %: {units.digits(interval[0])} to {units.digits(interval[1])})"
    return f"; {units.digits(loop['batches_per_s'])} batches/s{within}"


def _gpu(gpu: Mapping[str, Any]) -> Iterable[str]:
    if not gpu["devices"]:
        yield f"  GPU: not measured ({gpu['reason']})"
        return
    for device in gpu["devices"]:
        if not device["samples"]:
            continue
        yield (
            f"  GPU {device['device']} ({device['name']}): {device['utilisation_mean']:.0%} used on average, idle in "
            f"{device['idle_share']:.0%} of {device['samples']} samples, at most "
            f"{units.size(device['memory_peak_bytes'])} of {units.size(device['memory_total_bytes'])}"
        )


def _sweep(sweep: Mapping[str, Any]) -> Iterable[Any]:
    prefetching = any(row["prefetch"] is not None for row in sweep["rows"])
    columns = ["num_workers", *(["prefetch"] if prefetching else [])]
    numbers = ["batches/s", "95 %", "CPU/sample", "main waits", "memory"]
    table = new_table("Sweep over workers", *columns, *numbers, "verdict", right=[*columns, *numbers])
    for row in sweep["rows"]:
        table.add_row(*_sweep_row(row, prefetching))
    yield table
    yield from (f"  {line}" for line in sweep["lines"])
    if sweep["limit_bytes"] is not None:
        yield f"  limit of memory: {units.size(sweep['limit_bytes'])} ({sweep['limit_source']})"


def _sweep_row(row: Mapping[str, Any], prefetching: bool) -> list[str]:
    recognised = [str(row["workers"]), *([str(row["prefetch"] or "-")] if prefetching else [])]
    if row["batches_per_s"] is None:
        return [*recognised, "-", "", "-", "-", "-", "not measured"]
    interval, cpu, wait, memory = row["interval"], row["cpu_s_per_sample"], row["main_wait_share"], row["memory_bytes"]
    return [
        *recognised,
        units.digits(row["batches_per_s"]),
        "" if interval is None else f"{units.digits(interval[0])} to {units.digits(interval[1])}",
        "-" if cpu is None else units.seconds(cpu),
        "-" if wait is None else f"{wait:.0%}",
        "-" if memory is None else units.size(memory),
        row["verdict"] or "",
    ]
