"""Findings from the history: steps whose first bad commit lies after base and not after head."""

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_harness.alert.asv_findings import METRICS
from bench_harness.alert.findings import EFFECT, Finding, Outcome
from bench_harness.alert.noise import is_time
from bench_harness.config import BenchmarkRule, Config
from bench_harness.git import git_output
from bench_harness.history.anchors import Anchors, anchored_steps
from bench_harness.history.asv_results import AsvResults
from bench_harness.history.commits import commit_line
from bench_harness.history.series import Series, build_series
from bench_harness.history.steps import Step, StepRule

SOURCE = "history"


@dataclass(frozen=True)
class Range:
    """The commits in question, and where they were measured."""

    folder: Path
    base: str
    head: str
    machine: str | None

    def commits(self) -> set[str]:
        """Return those after base, up to head."""
        return set((git_output(self.folder, "rev-list", f"{self.base}..{self.head}", "--") or "").split())


def step_findings(
    results: AsvResults, asked: Range, config: Config, wanted: str | None
) -> Iterator[tuple[Finding, dict[str, Any] | None]]:
    """Yield, for each step, the finding and the object of the record; for a series without one a finding alone.

    Series that were not measured after base, or too seldom for a step, are left out. A step of a time is suspected
    only: on some machines the weather has steps as well. Where `bench compare` measured both commits in one job, its
    record decides, and no step of the weather is left.
    """
    measured = {one.commit: one.date for one in results.commits}
    line = commit_line(asked.folder, measured, asked.head)
    new, anchors = asked.commits(), Anchors.read(config.profiles)
    for series in build_series(results, line):
        here = series.machine == asked.machine and (wanted is None or re.search(wanted, series.benchmark))
        enough = len(series.measured) >= 2 * StepRule.shortest
        if here and enough and any(point.commit in new for point in series.measured):
            yield from _of_series(results, series, new, config, anchors)


def _of_series(
    results: AsvResults, series: Series, new: set[str], config: Config, anchors: Anchors
) -> Iterator[tuple[Finding, dict[str, Any] | None]]:
    described = results.benchmarks.get(series.benchmark, {})
    metric = METRICS.get(str(described.get("type")), "value")
    rule = config.rule_for(series.benchmark, metric, [value for _, value in series.params])
    least = StepRule(minimum=EFFECT if rule.effect is None else rule.effect)
    found = anchored_steps(series, anchors.of(series), least)
    late = [step for step in found.steps if new & {step.first_bad, *step.commits_between}]
    for step in late:
        finding = _finding(series, step, metric, rule)
        yield finding, _row(series, step, finding)
    if not late:
        fine = Finding(series.benchmark, dict(series.params), metric, series.unit, source=SOURCE, rule=rule)
        fine.outcome = Outcome.FINE
        fine.words = f"no step after base, in a history of {len(series.measured)} commits"
        yield fine, None


def _finding(series: Series, step: Step, metric: str, rule: BenchmarkRule) -> Finding:
    finding = Finding(
        series.benchmark,
        dict(series.params),
        metric,
        series.unit,
        base=step.before,
        head=step.after,
        ratio=step.ratio,
        ci=(step.low, step.high),
        confidence=StepRule.confidence,
        ci_from="the series",
        source=SOURCE,
        rule=rule,
        machines={"base": series.machine, "head": series.machine},
        commits={"base": step.last_good, "head": step.first_bad},
    )
    worse = finding.worse_log() > 0
    alarm = Outcome.SUSPECTED if is_time(series.unit) and not step.same_job else Outcome.REGRESSION
    finding.outcome = alarm if worse else Outcome.IMPROVEMENT
    finding.confirmed = finding.outcome is Outcome.REGRESSION
    if step.same_job:
        finding.ci_from = "rounds"
        finding.words = f"a step at {step.first_bad[:12]}, compared with {step.last_good[:12]} in one job"
        return finding
    between = f", or in one of {len(step.commits_between)} unmeasured commits before" if step.commits_between else ""
    finding.words = (
        f"a step in the history at {step.first_bad[:12]}{between}: {step.count_before} commits before and "
        f"{step.count_after} after it, p = {step.p_value:.1g}"
    )
    return finding


def _row(series: Series, step: Step, finding: Finding) -> dict[str, Any]:
    text = f"{finding.label}: x {step.ratio:.3f} ({step.low:.3f} to {step.high:.3f}): {finding.words}"
    where = {"benchmark": series.benchmark, "params": dict(series.params), "environment": series.environment}
    return {**where, **dataclasses.asdict(step), "text": text}
