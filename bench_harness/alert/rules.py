"""What two single values of asv mean: an alarm, a suspicion that a fresh run must settle, or nothing.

asv measures a commit in one or two processes, and each process has a level of its own: however many samples it takes,
they are no replicates, and a fixed threshold on them gives 10 to 16 % false alarms. So a change must exceed the rule's
effect and the noise that this benchmark showed from commit to commit on this machine, and even then a time is only
suspected. Values that repeat exactly, or jump far beyond anything seen before, need no second look. And where the noise
leaves room for a change that somebody would want to know of, "no alarm" is not said either.
"""

import math

from bench_harness.alert.findings import Finding, Outcome
from bench_harness.alert.noise import ENOUGH, is_time

BEYOND_SD = 2.0  # a suspicion costs a rerun, a missed one costs a regression
CERTAIN_SD = 4.0
CONFIDENCE = 0.95
ROOM = 0.10  # a change that may not hide in the noise, where the rule's effect is smaller


def judge(finding: Finding) -> None:
    """Set ratio, interval, outcome and words of a finding that has base, head, rule and noise.

    The interval is that of a normal distribution of log ratios with the standard deviation of the noise history.
    """
    if finding.base is None or finding.head is None or finding.noise is None:
        raise ValueError("a finding is judged by base, head and noise")
    if finding.base <= 0 or finding.head <= 0:
        _judge_without_ratio(finding)
        return
    finding.ratio = finding.head / finding.base
    spread = math.exp(_spread_log(finding))
    finding.ci, finding.confidence = (finding.ratio / spread, finding.ratio * spread), CONFIDENCE
    finding.ci_from = "noise history"
    finding.outcome, finding.words = _verdict(finding)
    finding.confirmed = finding.outcome in (Outcome.REGRESSION, Outcome.IMPROVEMENT) and is_certain(finding)


def _verdict(finding: Finding) -> tuple[Outcome, str]:
    worse, spread = finding.worse_log(), _spread_log(finding)
    limit = max(math.log1p(finding.effect), spread)
    if len(set(finding.machines.values())) > 1 and worse <= limit:
        return Outcome.NOT_MEASURED, "base and head ran on different machines: this ratio says nothing of the code"
    if worse > limit:
        if is_certain(finding):
            return Outcome.REGRESSION, _why_certain(finding)
        return Outcome.SUSPECTED, f"worse by more than {_percent(limit)}{_of_what(finding)}, in a single run of asv"
    if worse + spread > max(math.log1p(finding.effect), math.log1p(ROOM)):
        return Outcome.UNDECIDED, f"asv's values may hide a change by {_percent(worse + spread)}{_of_what(finding)}"
    if worse < -limit:
        certain = is_certain(finding)
        return Outcome.IMPROVEMENT, _why_certain(finding) if certain else "in a single run of asv: not confirmed"
    bound = max(worse + spread, 0.0)
    return Outcome.FINE, f"not worse by more than {_percent(bound)}{_of_what(finding)}" if bound else "the same value"


def _spread_log(finding: Finding) -> float:
    noise = finding.noise
    return 0.0 if noise is None or noise.exact else BEYOND_SD * noise.sd_log


def is_certain(finding: Finding) -> bool:
    """Tell whether a change beyond the limit counts without a fresh run."""
    noise = finding.noise
    if noise is None or noise.changes < ENOUGH or is_time(finding.unit) or len(set(finding.machines.values())) > 1:
        return False
    return noise.exact or abs(finding.worse_log()) > max(CERTAIN_SD * noise.sd_log, noise.largest_log)


def _judge_without_ratio(finding: Finding) -> None:
    if finding.base == finding.head:
        finding.outcome, finding.words = Outcome.FINE, "the same value"
        return
    finding.outcome = Outcome.UNDECIDED
    finding.words = "a value of 0 or below has no ratio: look at both"


def _percent(log: float) -> str:
    value = 100 * math.expm1(log)
    if value >= 100:
        return f"a factor of {math.exp(log):.3g}"
    return f"{value:.0f} %" if value >= 10 else f"{value:.2g} %"


def _of_what(finding: Finding) -> str:
    noise = finding.noise
    if noise is None or noise.exact:
        return ""
    if noise.changes < ENOUGH:
        return " (2 sd of what is usual: there are too few earlier commits)"
    return f" (2 sd of {noise.changes} changes between earlier commits)"


def _why_certain(finding: Finding) -> str:
    noise = finding.noise
    if noise is None or noise.exact:
        return f"this value repeated exactly over {noise.changes + 1 if noise else 0} earlier commits"
    return f"far beyond every change of {noise.changes + 1} earlier commits (sd {100 * noise.sd_log:.2g} %)"
