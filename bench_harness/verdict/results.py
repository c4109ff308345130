"""A comparison as it stands in a record, and what `bench` exits with for it.

results.benchmarks has an object per number: name, params, metric, unit, better, a and b (means of the rounds that the
ratio is of: the fresh ones where an alarm was confirmed), ratio (b / a), ci, confidence, verdict, words, rounds,
confirmed, effect, gate, must_decide, p_value, rounds_needed, aa (its own control) and samples. A benchmark without a
verdict has one object with `failed`, which names the sides that failed and why; its verdict is null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench_harness.errors import ExitCode
from bench_harness.verdict.certificate import control_entry, control_of, finite_pair
from bench_harness.verdict.judgement import Judgement
from bench_harness.verdict.outcomes import Outcome
from bench_harness.verdict.rounds import Comparison
from bench_harness.verdict.rule import Rule
from bench_harness.verdict.sides import WHOLE, Key

NOT_JUDGED = "fewer than two rounds, a verdict takes more"


def entries(comparison: Comparison, gates: Callable[[Key], bool], seed: int) -> list[dict[str, Any]]:
    """Return results.benchmarks of a comparison that was measured in rounds."""
    judged = [_of_outcome(each, gates(each.key), seed) for each in comparison.outcomes]
    failures = sorted(comparison.failures.items())
    return judged + [failed_entry(title, sides, gate=gates(Key.of_title(title))) for title, sides in failures]


def _of_outcome(outcome: Outcome, gate: bool, seed: int) -> dict[str, Any]:
    judged = outcome.confirmation if outcome.alarm and len(outcome.confirmation) else outcome.screening
    samples = {
        "a": outcome.screening.a,
        "b": outcome.screening.b,
        "confirm_a": outcome.confirmation.a,
        "confirm_b": outcome.confirmation.b,
    }
    found = entry(outcome.key, outcome.rule, outcome.judgement, judged.a, judged.b, samples, gate=gate)
    control = control_of(outcome, seed)
    return {**found, "rounds": outcome.rounds, "aa": control_entry(control) if control else None}


def entry(
    key: Key,
    rule: Rule,
    judgement: Judgement | None,
    a: Sequence[float],
    b: Sequence[float],
    samples: Mapping[str, Sequence[float]],
    *,
    gate: bool = True,
) -> dict[str, Any]:
    """Return the object of one number.

    Args:
        a, b: the values that the judgement is of.
        samples: every value that was measured, by "a", "b", "confirm_a", "confirm_b".
    """
    return {
        "name": key.benchmark,
        "params": dict(key.params),
        "metric": key.metric,
        "unit": key.unit,
        "better": rule.better,
        "a": middle(a),
        "b": middle(b),
        "ratio": judgement.ratio if judgement else None,
        "ci": finite_pair(judgement.ci_low, judgement.ci_high) if judgement else [None, None],
        "confidence": judgement.confidence if judgement else None,
        "verdict": judgement.verdict.value if judgement else "undecided",
        "words": judgement.words if judgement else NOT_JUDGED,
        "rounds": len(a),
        "confirmed": bool(judgement and judgement.confirmed),
        "effect": rule.effect,
        "gate": gate,
        "must_decide": rule.must_decide,
        "p_value": judgement.p_value if judgement else None,
        "rounds_needed": judgement.rounds_needed if judgement else None,
        "samples": {name: list(values) for name, values in samples.items()},
    }


def failed_entry(title: str, sides: Mapping[str, str], *, gate: bool, metric: str = WHOLE) -> dict[str, Any]:
    """Return the object of a benchmark, or of one metric of it, without a verdict: a side, "a" or "b", failed."""
    where = "both sides" if len(sides) > 1 else "head" if "b" in sides else "base"
    return {
        "name": title,
        "params": {},
        "metric": metric,
        "unit": "",
        "a": None,
        "b": None,
        "ratio": None,
        "ci": [None, None],
        "confidence": None,
        "verdict": None,
        "words": f"failed on {where}: {'; '.join(dict.fromkeys(sides[name] for name in sorted(sides)))}",
        "rounds": 0,
        "confirmed": False,
        "gate": gate,
        "must_decide": True,
        "failed": dict(sides),
    }


def exit_code(found: Sequence[Mapping[str, Any]]) -> ExitCode:
    """Return what `bench compare` exits with for results.benchmarks.

    1: a confirmed regression of a number that gates, or a benchmark that fails on head alone. Else 3: nothing was
    measured. Else 4: something that must be decided is not. Else 0: a benchmark that fails on base, as a new one does
    where it needs what head brings, is shown, and there is nothing that it could be worse than.
    """
    if any(_is_regression(each) for each in found):
        return ExitCode.REGRESSION
    if not any(each["rounds"] for each in found):
        return ExitCode.NOT_MEASURED
    if any(each["gate"] and _is_left_open(each) for each in found):
        return ExitCode.UNDECIDED
    return ExitCode.FINE


def _is_regression(each: Mapping[str, Any]) -> bool:
    return bool(each["gate"] and (each["verdict"] == "regression" or list(each.get("failed") or ()) == ["b"]))


def _is_left_open(each: Mapping[str, Any]) -> bool:
    return bool(each["verdict"] == "undecided" and each["must_decide"])


def middle(values: Sequence[float]) -> float | None:
    """Return the geometric mean, whose ratio is near that of the trimmed pairs; else the mean; None of nothing."""
    if not values:
        return None
    if min(values) > 0:
        return math.exp(math.fsum(map(math.log, values)) / len(values))
    return math.fsum(values) / len(values)
