"""The noise certificate of a comparison: how far its numbers can be trusted, from its own rounds and its own machine.

The control compares a side with itself: rounds 1 and 2 of the base, 3 and 4, and so on, and of the head likewise; which
of the two plays head is left to chance. Each pair is two fresh processes of the same code in the same run: what they
differ by is noise. It costs no process of its own, has as many pairs as there are rounds, and the two of a pair lie
further apart in time than the sides of a round, so the noise it finds is at least as large as the comparison's.

Where both sides of a round ran at once, rounds differ by what the sides do not feel. Then the control compares the
ratios of rounds 1 and 2, 3 and 4, and so on: four processes, the noise of two rounds, and no difference of the sides.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_harness.verdict.judgement import Judgement
from bench_harness.verdict.outcomes import Outcome
from bench_harness.verdict.rounds import Comparison
from bench_harness.verdict.sequential import Sequential

_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_SIMD = ("avx512f", "avx2", "avx", "sse4_2", "sve", "asimd")
_BUSY_COLUMNS = (0, 1, 2, 5, 6, 7)  # user nice system irq softirq steal; what guests use is in user


def control_of(outcome: Outcome, seed: int) -> Judgement | None:
    """Judge a number against itself by its own rule; None where there are fewer than two rounds."""
    chance = random.Random(seed)
    firsts: list[float] = []
    seconds: list[float] = []
    for values in _series(outcome):
        for pair in zip(values[::2], values[1::2], strict=False):
            first, second = chance.sample(pair, 2)
            firsts.append(first)
            seconds.append(second)
    return Sequential(outcome.rule).look(firsts, seconds) if firsts else None


def _series(outcome: Outcome) -> list[list[float]]:
    """Return series whose successive values differ by noise alone."""
    screening, fresh = outcome.screening, outcome.confirmation
    if not outcome.abreast:
        return [screening.a, screening.b, fresh.a, fresh.b]
    return [[b / a for a, b in zip(each.a, each.b, strict=True) if a] for each in (screening, fresh)]


def control_entry(judgement: Judgement) -> dict[str, Any]:
    """Return a control as it stands in the record."""
    return {
        "ratio": judgement.ratio,
        "ci": finite_pair(judgement.ci_low, judgement.ci_high),
        "confidence": judgement.confidence,
        "verdict": judgement.verdict.value,
        "pairs": judgement.rounds,
    }


def finite_pair(low: float | None, high: float | None) -> list[float | None]:
    """Return an interval for JSON, which knows no infinity: an open end is null."""
    return [None if end is None or not math.isfinite(end) else end for end in (low, high)]


def control_summary(entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how the controls of all numbers came out, and the one that strayed furthest from 1."""
    checked = [entry for entry in entries if entry.get("aa") and entry["aa"]["ratio"]]
    worst = max(checked, key=lambda entry: abs(math.log(max(entry["aa"]["ratio"], 1e-9))), default=None)
    alarms = sum(entry["aa"]["verdict"] in ("regression", "improvement") for entry in checked)
    summary: dict[str, Any] = {"numbers": len(checked), "alarms": alarms}
    if worst is not None:
        name = {field: worst[field] for field in ("name", "params", "metric")}
        summary["furthest"] = {**name, **worst["aa"]}
    return summary


@dataclass
class LoadMeter:
    """How many cores others kept busy since it was made: those of the machine less our own processes'."""

    def __post_init__(self) -> None:
        self._begin = self._now()

    def others_cores(self) -> float | None:
        """Return the mean number of cores; None where the system does not tell."""
        end = self._now()
        if self._begin is None or end is None or end[0] <= self._begin[0]:
            return None
        wall_s, busy_s, own_s = (after - before for after, before in zip(end, self._begin, strict=True))
        return round(max(0.0, (busy_s - own_s) / wall_s), 2)

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        try:
            fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
            busy_s = sum(int(fields[column]) for column in _BUSY_COLUMNS) / _TICKS_PER_S
        except (OSError, ValueError, IndexError):
            return None
        own = os.times()  # with what we have waited for, which the process above a command adds up
        return time.monotonic(), busy_s, own.user + own.system + own.children_user + own.children_system


def certificate(
    comparison: Comparison,
    entries: Sequence[Mapping[str, Any]],
    environment: Mapping[str, Any],
    *,
    load: float | None,
    build_s: float,
    seed: int,
) -> dict[str, Any]:
    """Return the certificate of a comparison as it stands in the record.

    Args:
        entries: of results.benchmarks, with their controls.
        load: cores that others kept busy while it measured.
        build_s: what building the sides took, before the first round.
    """
    rounds = [each.rounds for each in comparison.outcomes]
    return {
        "aa": control_summary(entries),
        "load": load,
        "cpu": environment["cpu"]["model"],
        "cores": environment["cpu"]["logical_count"],
        "simd": simd_of(environment),
        "rounds": len(comparison.orders),
        "rounds_most": max(rounds, default=0),
        "body_s": round(comparison.body_s, 3),
        "startup_s": round(comparison.startup_s, 3),
        "build_s": round(build_s, 3),
        "wall_s": round(comparison.wall_s, 3),
        "seed": seed,
        "orders": comparison.orders,
    }


def simd_of(environment: Mapping[str, Any]) -> str:
    """Return what installed packages say they use, else the widest instruction set of the processor."""
    told = {name: value["simd"] for name, value in environment.items() if isinstance(value, dict) and "simd" in value}
    if told:
        return ", ".join(f"{name} {variant}" for name, variant in sorted(told.items()))
    features = environment["cpu"].get("features") or []
    return next((name for name in _SIMD if name in features), "unknown")
