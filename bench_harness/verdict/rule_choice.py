"""Which rule a number is judged by: the flag, else the user's [[tool.bench_harness.rules]], else the defaults."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from bench_harness.config import Config
from bench_harness.verdict.metrics import COUNTERS
from bench_harness.verdict.rule import Rule
from bench_harness.verdict.sides import Key


@dataclass(frozen=True)
class Choice:
    """A rule, and whether a regression by it fails the run."""

    rule: Rule
    gate: bool


def choose_rule(key: Key, metrics: Collection[str], effect: float | None, config: Config) -> Choice:
    """Return how a number is judged.

    Args:
        metrics: all that are compared: beside cpu_s, wall_s is a looser second gate.
        effect: of the command line; None: what the configuration says of this number, else 2 %.
        config: of the user.
    """
    found = config.rule_for(key.benchmark, key.metric, [value for _, value in key.params])
    rule = Rule(better=found.better or key.better)
    if effect is not None or found.effect is None:
        rule = _for_metric(replace(rule, effect=effect or rule.effect), key.metric, metrics)
    else:
        rule = replace(rule, effect=found.effect, must_decide=not _is_second(key.metric, metrics))
    return Choice(rule, found.gate)


def _for_metric(rule: Rule, metric: str, metrics: Collection[str]) -> Rule:
    if _is_second(metric, metrics):
        return rule.second_gate()
    return rule.for_counter() if metric in COUNTERS else rule


def _is_second(metric: str, metrics: Collection[str]) -> bool:
    return metric == "wall_s" and "cpu_s" in metrics
