"""From verdicts of known pairs to rates: false alarms, detections, and what they took."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench_harness.statistics.intervals import mean_interval, proportion_interval, proportion_upper_bound

ALL = "all"
CONFIDENCE = 0.95
WITHIN_S = (5.0, 20.0)
# No look comes before so many rounds: these are there whatever the numbers were, so they are no choice of chance.
_FIRST_ROUNDS = 5


def rates(verdicts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per workload, planted slowdown, metrics and effect; one of all workloads with nothing planted."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for verdict in verdicts:
        metrics = tuple(verdict["metrics"])
        effect = verdict["metrics"][metrics[0]]["effect"]
        groups.setdefault((verdict["planted"], effect, metrics, verdict["workload"]), []).append(verdict)
        if not verdict["planted"]:
            groups.setdefault((0.0, effect, metrics, ALL), []).append(verdict)
    rows = [_row(key, group) for key, group in groups.items() if key[-1] != ALL or _are_of_many(group)]
    return sorted(rows, key=lambda row: (row["metrics"], row["effect"], row["planted"], row["workload"] == ALL))


def _are_of_many(group: Sequence[Mapping[str, Any]]) -> bool:
    return len({verdict["workload"] for verdict in group}) > 1


def _row(key: tuple[Any, ...], group: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    planted, effect, metrics, workload = key
    found = [verdict for verdict in group if is_found(verdict)]
    row = {
        "workload": workload,
        "what": group[0]["what"] if workload != ALL else "all workloads",
        "planted": planted,
        "effect": effect,
        "metrics": list(metrics),
        "n": len(group),
        "found": _proportion(len(found), len(group)),
        "screening_alarms": _proportion(sum(map(_alarmed, group)), len(group)),
        "undecided": _proportion(sum(map(_is_undecided, group)), len(group)),
        "measured": None if workload == ALL else measured_effect(group),
        "load": _median([verdict["load"] for verdict in group if verdict["load"] is not None]),
        **{f"{name}_{kind}": value for name in _TIMES for kind, value in _spread(group, name).items()},
    }
    for within_s in WITHIN_S:
        in_time = sum(verdict["body_s"] <= within_s for verdict in found)
        row[f"found_within_{within_s:g}_s"] = _proportion(in_time, len(group))
    return row


_TIMES = ("body_s", "startup_s", "wall_s", "rounds")


def is_found(verdict: Mapping[str, Any]) -> bool:
    """Tell whether the comparison ended in an alarm: head worse, or, where nothing is planted, worse or better."""
    kinds = ("regression",) if verdict["planted"] else ("regression", "improvement")
    return any(metric["verdict"] in kinds for metric in verdict["metrics"].values())


def _alarmed(verdict: Mapping[str, Any]) -> bool:
    return any(metric["alarm"] for metric in verdict["metrics"].values())


def _is_undecided(verdict: Mapping[str, Any]) -> bool:
    """Tell whether the first metric, which must be decided, was not."""
    first = next(iter(verdict["metrics"].values()))
    return not is_found(verdict) and first["verdict"] == "undecided"


def measured_effect(group: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the slowdown of the first metric that was truly there, with its interval over the verdicts.

    From the first rounds of each verdict alone: how many more there were depends on what they said.
    """
    logs = []
    for verdict in group:
        first = next(iter(verdict["metrics"].values()))
        pairs = list(zip(first["a"], first["b"], strict=True))[:_FIRST_ROUNDS]
        if pairs and min(min(pair) for pair in pairs) > 0:
            logs.append(math.fsum(math.log(b / a) for a, b in pairs) / len(pairs))
    if not logs:
        return None
    effect = math.expm1(statistics.fmean(logs))
    if len(logs) < 2:
        return {"effect": effect, "ci": [None, None]}
    span = mean_interval(logs, CONFIDENCE)
    return {"effect": effect, "ci": [math.expm1(span.low), math.expm1(span.high)]}


def _proportion(count: int, n: int) -> dict[str, Any]:
    """Return a proportion with its two-sided Clopper-Pearson bounds; of none, with the one-sided upper bound too."""
    span = proportion_interval(count, n, CONFIDENCE)
    found: dict[str, Any] = {"count": count, "rate": count / n, "ci": [span.low, span.high]}
    if count == 0:
        found["upper_bound"] = proportion_upper_bound(count, n, CONFIDENCE)
    return found


def _spread(group: Sequence[Mapping[str, Any]], name: str) -> dict[str, float | None]:
    values = sorted(verdict[name] for verdict in group)
    return {"median": _median(values), "p95": values[min(len(values) - 1, math.ceil(0.95 * len(values)) - 1)]}


def _median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 4) if values else None
