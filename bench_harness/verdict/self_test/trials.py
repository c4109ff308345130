"""Verdicts of known pairs, each by the driver that `bench compare` uses, kept as one line of a compressed file each."""

from __future__ import annotations

import gzip
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench_harness.config import Config
from bench_harness.errors import CouldNotMeasureError, RecordError
from bench_harness.record import utc_now
from bench_harness.verdict.certificate import LoadMeter
from bench_harness.verdict.outcomes import Outcome
from bench_harness.verdict.rounds import Comparison, Limits, compare
from bench_harness.verdict.rule_choice import choose_rule
from bench_harness.verdict.self_test.workloads import WORKLOADS, Workload, share_of_units

FILE_NAME = "verdicts.jsonl.gz"
_DIGITS = 6


@dataclass(frozen=True)
class Plan:
    """What to try.

    Args:
        workloads: names of WORKLOADS.
        planted: slowdowns of head; 0 is the same code on both sides.
        verdicts: how many for each workload and slowdown.
        metrics: as for `bench compare`; the first one is what slowdowns are calibrated in.
        effect: as for `bench compare`; None: its default.
        limits: of each verdict; each has a seed of its own, drawn from this one's.
        budget_s: for all of them; no verdict begins after it.
    """

    workloads: Sequence[str]
    planted: Sequence[float]
    verdicts: int
    metrics: Sequence[str]
    effect: float | None
    limits: Limits
    budget_s: float


def run_trials(plan: Plan, keep: Callable[[dict[str, Any]], None], progress: Callable[[int, int], None]) -> bool:
    """Run the verdicts in turns, so that the machine's moods fall on all kinds; return whether there was time for all.

    Args:
        keep: called with each verdict, as it goes into the file.
        progress: called with how many there are, and how many there shall be.
    """
    begin_s = time.monotonic()
    chance = random.Random(plan.limits.seed)
    shares: dict[str, float] = {}
    kinds = [(name, planted) for name in plan.workloads for planted in plan.planted]
    turns = [kind for _ in range(plan.verdicts) for kind in chance.sample(kinds, len(kinds))]
    for number, (name, planted) in enumerate(turns):
        progress(number, len(turns))
        if time.monotonic() - begin_s > plan.budget_s:
            return False
        if planted and name not in shares:
            timeout_s = plan.limits.timeout_s or plan.limits.budget_s
            shares[name] = share_of_units(WORKLOADS[name], plan.metrics[0], timeout_s, chance.randrange(2**31))
        keep(trial(WORKLOADS[name], planted, shares.get(name), plan, chance.randrange(2**31)))
    progress(len(turns), len(turns))
    return True


def trial(workload: Workload, planted: float, share: float | None, plan: Plan, seed: int) -> dict[str, Any]:
    """Return one verdict with every number it came from.

    Raises:
        CouldNotMeasureError: a process of the workload failed.
        KeyboardInterrupt: the user has had enough; a verdict cut short is none.
    """
    extra = planted / share if planted and share else 0.0
    a, b = (workload.side(label, more, plan.metrics) for label, more in (("base", 0.0), ("head", extra)))
    limits = replace(plan.limits, seed=seed)
    started, meter = utc_now(), LoadMeter()
    comparison = compare(a, b, lambda key: choose_rule(key, plan.metrics, plan.effect, Config()).rule, limits)
    if not comparison.completed:
        raise KeyboardInterrupt
    if comparison.failures or not comparison.outcomes:
        why = next(iter(comparison.failures.values()), {"b": "it gave no number"})
        raise CouldNotMeasureError(f"self-test of {workload.name}: {'; '.join(why.values())}")
    return {
        "workload": workload.name,
        "what": workload.describe(),
        "planted": planted,
        "extra": _rounded(extra),
        "share": share and _rounded(share),
        "metric": plan.metrics[0],
        "started": started,
        "seed": seed,
        "load": meter.others_cores(),
        **_seconds(comparison),
        "orders": ",".join(comparison.orders),
        "metrics": {each.key.metric: _outcome(each) for each in comparison.outcomes},
    }


def _seconds(comparison: Comparison) -> dict[str, float | int]:
    times = {name: round(getattr(comparison, name), 4) for name in ("body_s", "startup_s", "wall_s")}
    return {"rounds": len(comparison.orders), **times}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    judgement = outcome.judgement
    return {
        "effect": outcome.rule.effect,
        "verdict": judgement.verdict.value if judgement else "undecided",
        "confirmed": bool(judgement and judgement.confirmed),
        "alarm": outcome.alarm.verdict.value if outcome.alarm else None,
        "ratio": judgement and judgement.ratio and _rounded(judgement.ratio),
        "a": [_rounded(value) for value in outcome.screening.a],
        "b": [_rounded(value) for value in outcome.screening.b],
        "confirm_a": [_rounded(value) for value in outcome.confirmation.a],
        "confirm_b": [_rounded(value) for value in outcome.confirmation.b],
    }


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}") if abs(value) < 1e6 else value


def append(path: Path, verdict: dict[str, Any]) -> None:
    """Add a verdict to the file: a gzip member of its own, so that whatever ends this leaves whole lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(verdict, separators=(",", ":"), allow_nan=False) + "\n"
    with path.open("ab") as file:
        file.write(gzip.compress(line.encode(), 9))


def pack(path: Path) -> None:
    """Write the file anew as one gzip member: a tenth of the size."""
    lines = [json.dumps(verdict, separators=(",", ":")) + "\n" for verdict in read(path)]
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(gzip.compress("".join(lines).encode(), 9, mtime=0))
    temporary.replace(path)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the verdicts of a file; of one that is not there, none.

    Raises:
        RecordError: it is damaged.
    """
    if not path.exists():
        return
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
    except (OSError, EOFError, ValueError) as error:
        raise RecordError(f"{path}: cannot be read: {error}; move it away to begin anew") from error
