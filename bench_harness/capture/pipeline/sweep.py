"""Which number of workers to use, from the same target measured with several."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench_harness import environment

# A gain in throughput below this does not pay for a process.
WORTHWHILE = 0.05
# Of the memory that is free, as much is left to the rest of the machine.
_RESERVE = 0.10


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Args:
        workers: num_workers of the run.
        prefetch: prefetch_factor, if that is swept as well.
        batches_per_s: in steady state, with `interval` at 95 %; None if it could not be measured.
        samples_per_s: the same in samples.
        cpu_s_per_sample: of loading, over all workers.
        main_wait_share: of the steady time.
        verdict: of the run.
        worker_uss_bytes: memory of its own of the largest worker.
        main_pss_bytes: proportional memory of the main process.
        problem: why there are no numbers.
    """

    workers: int
    prefetch: int | None = None
    batches_per_s: float | None = None
    interval: tuple[float, float] | None = None
    samples_per_s: float | None = None
    cpu_s_per_sample: float | None = None
    main_wait_share: float | None = None
    verdict: str | None = None
    worker_uss_bytes: int | None = None
    main_pss_bytes: int | None = None
    problem: str | None = None

    @property
    def memory_bytes(self) -> int | None:
        """Memory of main and of all workers; None if it was not measured."""
        if self.main_pss_bytes is None or (self.workers and self.worker_uss_bytes is None):
            return None
        return self.main_pss_bytes + self.workers * (self.worker_uss_bytes or 0)


def point(
    workers: int,
    pipeline: Mapping[str, Any] | None,
    *,
    prefetch: int | None = None,
    worker_uss_bytes: Sequence[int | None] = (),
    main_pss_bytes: int | None = None,
    problem: str | None = None,
) -> Point:
    """Return the point of a run.

    Args:
        workers: num_workers of the run.
        pipeline: its results["pipeline"]; None with a `problem`.
        prefetch: its prefetch_factor, if overridden.
        worker_uss_bytes: per worker; of several epochs' workers the largest counts.
        main_pss_bytes: of the main process.
        problem: one line, if the run failed.
    """
    loaders = pipeline["loaders"] if pipeline else []
    loop = next((loop for loop in loaders if loop["name"] == (pipeline or {})["loader"]), None)
    if loop is None or not loop["batches_per_s"]:
        return Point(workers, prefetch, problem=problem or "no steady batches were measured")
    interval = loop["batches_per_s_interval"]
    return Point(
        workers=workers,
        prefetch=prefetch,
        batches_per_s=loop["batches_per_s"],
        interval=(interval[0], interval[1]) if interval else None,
        samples_per_s=loop["samples_per_s"],
        cpu_s_per_sample=loop["cpu_s_per_sample"],
        main_wait_share=loop["main_wait_share"],
        verdict=loop["verdict"],
        worker_uss_bytes=max((size for size in worker_uss_bytes if size is not None), default=None),
        main_pss_bytes=main_pss_bytes,
        problem=problem,
    )


def assess(points: Sequence[Point], *, limit_bytes: int | None = None) -> dict[str, Any]:
    """Return results["sweep"]: the rows, where more stops paying, and what to set, each with its reason.

    Args:
        points: of one sweep.
        limit_bytes: of memory for main and workers; by default what is available, within the control group's limit.
    """
    points = _with_whole_main(points)
    limit, source = (limit_bytes, "given") if limit_bytes is not None else available_bytes()
    measured = sorted((one for one in points if one.batches_per_s is not None), key=_order)
    rows = [asdict(one) | {"memory_bytes": one.memory_bytes} for one in sorted(points, key=_order)]
    document: dict[str, Any] = {
        "rows": rows,
        "limit_bytes": limit,
        "limit_source": source,
        "stops_paying_at": None,
        "recommended_num_workers": None,
        "recommended_prefetch_factor": None,
        "lines": [f"{_setting(one)}: {one.problem}" for one in points if one.problem],
    }
    if not measured:
        document["lines"].append("no run could be measured: nothing to recommend")
        return document
    knee = where_it_stops_paying(measured)
    chosen, memory_line = _within(measured, knee, limit)
    document["stops_paying_at"] = knee.workers
    document["lines"] += [_knee_line(measured, knee)] + ([memory_line] if memory_line else [])
    if chosen is not None:
        document["recommended_num_workers"] = chosen.workers
        document["recommended_prefetch_factor"] = chosen.prefetch
        document["lines"].append(_recommendation(chosen))
    return document


def _with_whole_main(points: Sequence[Point]) -> list[Point]:
    """Return the points with the largest size of main for each.

    Pages that main shares with living workers count to it in part only: it seems to shrink with more of them.
    """
    whole = max((one.main_pss_bytes for one in points if one.main_pss_bytes is not None), default=None)
    return [replace(one, main_pss_bytes=one.main_pss_bytes and whole) for one in points]


def where_it_stops_paying(points: Sequence[Point]) -> Point:
    """Return the smallest setting that no larger one beats by WORTHWHILE and by more than the noise."""
    best = points[0]
    for one in points[1:]:
        if _pays(best, one):
            best = one
    return best


def _pays(now: Point, more: Point) -> bool:
    assert now.batches_per_s is not None
    assert more.batches_per_s is not None
    if more.batches_per_s < (1 + WORTHWHILE) * now.batches_per_s:
        return False
    return now.interval is None or more.interval is None or more.interval[0] > now.interval[1]


def _within(points: Sequence[Point], knee: Point, limit: int | None) -> tuple[Point | None, str | None]:
    """Return the fastest setting up to the knee that fits into memory, and a line if that is another one."""
    if limit is None or knee.memory_bytes is None:
        return knee, None
    fitting = [one for one in points if one.workers <= knee.workers and (one.memory_bytes or 0) <= limit]
    if knee in fitting:
        return knee, None
    needed = f"{_setting(knee)} needs {_gigabytes(knee.memory_bytes)} of {_gigabytes(limit)}"
    if not fitting:
        return None, f"{needed}, and fewer workers do not fit either: nothing to recommend"
    return max(fitting, key=lambda one: one.batches_per_s or 0.0), f"{needed}: fewer workers must do"


def available_bytes() -> tuple[int | None, str]:
    """Return what main and workers may use, less a reserve: the free memory, within the control group's limit."""
    memory = environment.collect_memory()
    sizes = {
        "MemAvailable": memory.get("available_bytes"),
        "limit of the control group": environment.cgroup_limit_bytes(),
    }
    known = {source: size for source, size in sizes.items() if size}
    if not known:
        return None, "unknown"
    source = min(known, key=lambda name: known[name])
    return int((1 - _RESERVE) * known[source]), f"{source} less {_RESERVE:.0%}"


def _knee_line(points: Sequence[Point], knee: Point) -> str:
    assert knee.batches_per_s is not None
    rate = f"{knee.batches_per_s:.3g} batches/s"
    larger = [one for one in points if _order(one) > _order(knee)]
    if not larger:
        return f"{_setting(knee)} is the fastest measured ({rate}), and the largest: more may pay, sweep further"
    best = max(larger, key=lambda one: one.batches_per_s or 0.0)
    gain = (best.batches_per_s or 0.0) / knee.batches_per_s - 1
    why = "within noise" if gain >= WORTHWHILE else f"less than {WORTHWHILE:.0%}" if gain > 0 else "no faster"
    return f"beyond {_setting(knee)} ({rate}) more stops paying: {_setting(best)} gives {gain:+.1%}, {why}"


def _recommendation(chosen: Point) -> str:
    reason = f" (then {chosen.verdict})" if chosen.verdict else ""
    return f"recommended: {_setting(chosen)}{reason}"


def _setting(one: Point) -> str:
    prefetch = "" if one.prefetch is None else f", prefetch_factor={one.prefetch}"
    return f"num_workers={one.workers}{prefetch}"


def _order(one: Point) -> tuple[int, int]:
    return one.workers, one.prefetch or 0


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.3g} GB"
