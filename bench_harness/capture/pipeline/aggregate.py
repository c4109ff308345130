"""From the files of counters to results["pipeline"] of a record; works on what is left of a killed run as well."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_harness.capture.pipeline.layout import read_slots
from bench_harness.capture.pipeline.verdict import MIN_BATCHES, Evidence, decide
from bench_harness.segments import PIPELINE

_PARTS = ("loader_wait", "transport_wait", "unknown_wait", "receive", "own")
_WAITS = ("loader_wait_s", "transport_wait_s")
_PER_BATCH = (
    "fetch_s",
    "collate_s",
    "pickle_s",
    "receive_s",
    "receive_idle_s",
    "own_s",
    "step_s",
    "request_s",
    *_WAITS,
)
_COUNTS = ("steps", "samples", "batches", "steady_batches", "steady_steps")
_MIN_BLOCKS = 8
# Student's t at 97.5 % for n - 1 = 7, 15, 31 degrees of freedom and more; between, the smaller n's is taken.
_T = ((64, 2.0), (32, 2.04), (16, 2.13), (8, 2.36))


@dataclass
class Pipeline:
    """What was read: results["pipeline"], the rows of results["counts"], and what could not be read.

    Counts are those of the loop whose loader's batches were trained on. As in segments, its first batch is not steady.
    """

    results: dict[str, Any]
    counts: dict[str, int | None]
    warnings: list[str] = field(default_factory=list)


def read_pipeline(folder: Path) -> Pipeline:
    """Read the counters of all processes of a run."""
    loops: list[dict[str, Any]] = []
    warnings: list[str] = []
    for path in sorted(folder.glob(f"*{PIPELINE}"), key=lambda path: (len(path.name), path.name)):
        loops += _read_loops(path, warnings)
    if not loops:
        nothing = {"verdict": "undecided", "main_wait_share": None, "lines": ["no torch DataLoader was iterated"]}
        return Pipeline(nothing | {"loader": None, "loaders": []}, dict.fromkeys(_COUNTS), warnings)
    main = trained_on(loops)
    keys = ("verdict", "main_wait_share", "lines")
    results: dict[str, Any] = {"loader": main["name"], **{key: main[key] for key in keys}, "loaders": loops}
    return Pipeline(results, _counts(main), warnings)


def _read_loops(path: Path, warnings: list[str]) -> list[dict[str, Any]]:
    try:
        return [summarize(slot) | {"process": path.name.removesuffix(PIPELINE)} for slot in read_slots(path)]
    except (OSError, ValueError, KeyError) as error:
        warnings.append(f"pipeline: {path.name} cannot be read: {error}")
        return []


def trained_on(loops: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the loop with most steps of an optimizer; without any, the one that took longest."""
    return max(loops, key=lambda loop: (loop["optimizer_steps"], loop["steady"]["wall_s"], loop["batches"]))


def _counts(loop: Mapping[str, Any]) -> dict[str, int | None]:
    batches, steps = loop["batches"], loop["optimizer_steps"]
    return {
        "batches": batches,
        "samples": loop["samples"],
        "steps": steps or batches,
        "steady_batches": max(0, batches - 1),
        "steady_steps": max(0, steps - loop["first_optimizer_steps"]) if steps else max(0, batches - 1),
    }


def summarize(slot: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is to say about the loop over one loader."""
    meta, counters = slot["meta"], slot["counters"]
    enough = slot["steady"]["steady"] >= MIN_BATCHES
    sums = slot["steady"] if enough else {key: value + slot["warm"][key] for key, value in slot["steady"].items()}
    batches = int(slot["steady"]["steady"]) if enough else _all_batches(slot)
    samples = [row for row in slot["samples"] if row["steady"] or not enough]
    wall_s = sums["request_s"] + sums["step_s"]
    workers = meta.get("num_workers", 0)
    copy = _copy(meta, counters, sums)
    shares = {part: _share(sums[f"{part}_s"], wall_s) for part in _PARTS}
    shares["copy"] = _share(copy["seconds"] or 0.0, wall_s)
    shares["step"] = max(0.0, _share(sums["step_s"], wall_s) - shares["copy"])
    matched = sums["matched"]
    busy_s = sums["fetch_s"] + sums["collate_s"]
    cpus = meta.get("cpus", 1)
    noted = bool(workers and matched)
    worker_wall_s = workers * wall_s
    loop: dict[str, Any] = {
        **meta,
        "batches": int(counters["batches"]),
        "samples": int(counters["samples"]),
        "iterators": int(counters["iterators"]),
        "optimizer_steps": int(counters["optimizer_steps"]),
        "first_optimizer_steps": int(counters["first_optimizer_steps"]),
        "steady": {
            "batches": batches,
            "samples": int(sums["samples"]),
            "wall_s": wall_s,
            "left_out_batches": int(counters["batches"]) - batches,
            "warming_up_included": not enough,
        },
        "shares": shares,
        "per_batch": {name: _distribution(name, sums, samples, batches) for name in _PER_BATCH},
        "batches_per_s": batches / wall_s if wall_s else None,
        "batches_per_s_interval": _rate_interval(slot["blocks"], counters["block_batches"]) if enough else None,
        "samples_per_s": sums["samples"] / wall_s if wall_s else None,
        "cpu_s_per_sample": sums["worker_cpu_s"] / sums["samples"] if sums["samples"] else None,
        "workers_busy_share": min(1.0, _share(busy_s, worker_wall_s)) if noted else None,
        "workers_idle_share": min(1.0, _share(sums["idle_s"], worker_wall_s)) if noted else None,
        "workers_cpu_share": _share(sums["worker_cpu_s"], cpus * wall_s) if noted else None,
        "message_bytes": sums["message_bytes"] / matched if noted else None,
        "tensor_bytes": int(counters["tensor_bytes"]),
        "tensors": int(counters["tensors"]),
        "behind_share": _share(sums["behind_s"], wall_s),
        "dispatch_share": _share(sums["dispatch_s"], wall_s),
        "receive_idle_share": _share(sums["receive_idle_s"], wall_s),
        "held_up_share": _share(sums["held_up_s"], wall_s),
        "stalled_share": _share(sums["stalled_s"], worker_wall_s) if workers else None,
        "matched_share": _share(matched, batches),
        "pin_thread": {
            "receive_s": sums["pin_receive_s"] / batches if batches else None,
            "pin_s": sums["pin_s"] / batches if batches else None,
        }
        if meta.get("pin_memory") and workers
        else None,
        "copy": copy,
    }
    return loop | _judged(loop)


def _judged(loop: Mapping[str, Any]) -> dict[str, Any]:
    evidence = evidence_of(loop)
    verdict = decide(evidence)
    bounds = {"workers": evidence.workers_bound_per_s, "main": evidence.main_bound_per_s}
    return {
        "bounds_batches_per_s": {side: rate if math.isfinite(rate) else None for side, rate in bounds.items()},
        "verdict": verdict.bound,
        "main_wait_share": verdict.main_wait_share,
        "lines": verdict.lines,
    }


def evidence_of(loop: Mapping[str, Any]) -> Evidence:
    """Return what a verdict is decided from."""
    shares, each = loop["shares"], {name: values["mean"] or 0.0 for name, values in loop["per_batch"].items()}
    return Evidence(
        batches=loop["steady"]["batches"],
        workers=loop.get("num_workers", 0),
        loader_share=shares["loader_wait"],
        transport_share=shares["transport_wait"],
        unknown_share=shares["unknown_wait"],
        receive_share=shares["receive"],
        own_share=shares["own"],
        copy_share=shares["copy"],
        step_share=shares["step"],
        behind_share=loop["behind_share"],
        dispatch_share=loop["dispatch_share"],
        receive_idle_share=loop["receive_idle_share"],
        held_up_share=loop["held_up_share"],
        fetch_s=each["fetch_s"],
        collate_s=each["collate_s"],
        pickle_s=each["pickle_s"],
        step_s=each["step_s"],
        receive_s=each["receive_s"],
        receive_idle_s=each["receive_idle_s"],
        own_s=each["own_s"],
        batches_per_s=loop["batches_per_s"] or 0.0,
        busy_share=loop["workers_busy_share"],
        cpu_share=loop["workers_cpu_share"],
        cpus=loop.get("cpus", 1),
        message_bytes=loop["message_bytes"] or 0.0,
        tensor_bytes=loop["tensor_bytes"],
        tensors=loop["tensors"],
        pageable_copies=loop["copy"]["pageable"],
        pin_s=(loop["pin_thread"] or {}).get("pin_s") or 0.0,
    )


def _all_batches(slot: Mapping[str, Any]) -> int:
    """Return how many batches, with the step after them, are in the sums of both groups."""
    return int(slot["counters"]["warm_batches"] + slot["steady"]["steady"])


def _copy(meta: Mapping[str, Any], counters: Mapping[str, float], sums: Mapping[str, float]) -> dict[str, Any]:
    measured = meta.get("copies") == "measured"
    return {
        "measured": measured,
        "reason": None if measured else meta.get("copies", "no batch was handed out"),
        "pinned": int(counters["copies_pinned"]),
        "pageable": int(counters["copies_pageable"]),
        "bytes": int(counters["copied_bytes"]) if measured else None,
        # The device may copy while the host goes on, or keep the host waiting: the larger of both, at most the step.
        "seconds": min(max(counters["copy_device_s"], sums["copy_host_s"]), sums["step_s"]) if measured else None,
        "device_s": counters["copy_device_s"] if measured else None,
        "host_s": sums["copy_host_s"] if measured else None,
        "unread": int(counters["copies_unread"]),
    }


def _distribution(
    name: str, sums: Mapping[str, float], samples: Sequence[Mapping[str, float]], batches: int
) -> dict[str, float | None]:
    if not batches:
        return {"mean": None, "p50": None, "p95": None}
    values = [row[name] for row in samples]
    twentieths = statistics.quantiles(values, n=20, method="inclusive") if len(values) > 1 else values * 19
    p50, p95 = (twentieths[9], twentieths[18]) if twentieths else (None, None)
    return {"mean": sums[name] / batches, "p50": p50, "p95": p95}


def _rate_interval(blocks: Sequence[float], block_batches: float) -> list[float] | None:
    """Return a 95 % interval of batches per second from the times of blocks of consecutive batches.

    Batches of W workers come in bursts; blocks even these out, single batches would not be independent.
    """
    while len(blocks) >= 2 * _MIN_BLOCKS and len(blocks) % 2 == 0 and len(blocks) > 32:
        blocks, block_batches = [a + b for a, b in zip(blocks[::2], blocks[1::2], strict=True)], 2 * block_batches
    if len(blocks) < _MIN_BLOCKS:
        return None
    mean_s = statistics.fmean(blocks)
    t = next(value for least, value in _T if len(blocks) >= least)
    error_s = t * statistics.stdev(blocks) / math.sqrt(len(blocks))
    if error_s >= mean_s:
        return None
    return [block_batches / (mean_s + error_s), block_batches / (mean_s - error_s)]


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
