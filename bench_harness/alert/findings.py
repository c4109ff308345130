"""One finding per benchmark, parameters and metric: what was measured at base and head, and what it means."""

import dataclasses
import enum
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bench_harness.config import BenchmarkRule
from bench_harness.errors import ExitCode

EFFECT = 0.02  # the smallest relative change that matters, where neither a rule nor --effect says


class Outcome(str, enum.Enum):
    """What a finding means, the worst first."""

    FAILED = "failed"  # on head and not on base
    REGRESSION = "regression"
    SUSPECTED = "suspected"  # worse in single measurements, and not measured afresh yet
    NOT_MEASURED = "not measured"
    UNDECIDED = "undecided"
    SKIPPED = "n/a"  # asv's word for skipped; also what fails at both, or is no longer there
    IMPROVEMENT = "improvement"
    FINE = "fine"


ALARMS = (Outcome.FAILED, Outcome.REGRESSION)
ORDER = {outcome: place for place, outcome in enumerate(Outcome)}


@dataclass(frozen=True)
class Noise:
    """How far a value moves between successive commits.

    Args:
        sd_log: robust standard deviation of the successive log ratios, widened where they are few, at least the floor
            of its kind.
        changes: how many successive ratios it comes from.
        largest_log: the largest of them, by absolute value.
        exact: they are all 1, and there are enough of them to say so.
    """

    sd_log: float
    changes: int
    largest_log: float
    exact: bool = False


@dataclass
class Finding:
    """One comparison. Values are in `unit`; `ratio` is head / base; `ci` an interval of the ratio.

    Args:
        must_decide: whether the verdict may not stay open; False of a second, looser gate.
        source: where the numbers are from: compare, asv or history.
        ci_from: what the interval comes from: rounds, or the noise history.
        seconds: how long base and head were measured together, in s.
        machines: on which machine each side was measured.
        profiles: run folders of the same commits, as links.
        acknowledged: the trailer that accepts the change: {"commit", "text"}.
    """

    name: str
    params: dict[str, str]
    metric: str
    unit: str | None = None
    base: float | None = None
    head: float | None = None
    ratio: float | None = None
    ci: tuple[float, float] | None = None
    confidence: float | None = None
    ci_from: str | None = None
    outcome: Outcome = Outcome.NOT_MEASURED
    words: str = ""
    source: str = "asv"
    environment: str | None = None
    rule: BenchmarkRule = field(default_factory=BenchmarkRule)
    noise: Noise | None = None
    must_decide: bool = True
    confirmed: bool = False
    rounds: int | None = None
    samples: int | None = None
    seconds: float | None = None
    machines: dict[str, str | None] = field(default_factory=dict)
    load: str | None = None
    commits: dict[str, str] = field(default_factory=dict)
    profiles: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    rerun: str = ""
    acknowledge: str = ""
    acknowledged: dict[str, str] | None = None

    @property
    def title(self) -> str:
        """Benchmark and parameters as `bench compare` names them: by it, one evidence replaces another."""
        named = ", ".join(f"{name}={value}" for name, value in self.params.items())
        return f"{self.name}({named})" if named else self.name

    @property
    def label(self) -> str:
        """The benchmark as asv writes it: name(parameter, ...)."""
        return f"{self.name}({', '.join(self.params.values())})" if self.params else self.name

    @property
    def effect(self) -> float:
        """The smallest relative change that matters here."""
        return EFFECT if self.rule.effect is None else self.rule.effect

    @property
    def better(self) -> str:
        """Which direction is good: lower or higher."""
        return self.rule.better or "lower"

    def is_alarm(self) -> bool:
        """Tell whether this fails the run."""
        return self.outcome in ALARMS and self.rule.gate and self.acknowledged is None

    def worse_log(self) -> float:
        """Return the log of the ratio, positive where head is worse; 0 where there is no ratio."""
        if self.ratio is None or self.ratio <= 0:
            return 0.0
        return math.log(self.ratio) * (-1 if self.better == "higher" else 1)

    def to_json(self) -> dict[str, Any]:
        """Return the row of the record."""
        row = dataclasses.asdict(self) | {"label": self.label, "verdict": self.outcome.value, "alarm": self.is_alarm()}
        del row["outcome"]
        row["ci"] = list(self.ci) if self.ci else None
        row["rule"] = {
            "number": self.rule.number,
            "effect": self.effect,
            "better": self.better,
            "gate": self.rule.gate,
            "text": rule_text(self),
        }
        return row


def rule_text(finding: Finding) -> str:
    """Return which rule holds, in words: rule 2 ("loading" *_bytes): 10 %, lower is better."""
    rule = finding.rule
    which = f'rule {rule.number} ("{rule.benchmark or "any"}" {rule.metric})' if rule.number else "no rule fits"
    gate = "" if rule.gate else ", reported only"
    return f"{which}: {100 * finding.effect:.3g} %, {finding.better} is better{gate}"


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings in the order of every report: alarms, by how much; then what is not known; then the rest."""
    return sorted(
        findings,
        key=lambda one: (not one.is_alarm(), ORDER[one.outcome], -_size(one), one.label, one.metric),
    )


def _size(finding: Finding) -> float:
    """Return how large a change is, as a logarithm; one from nothing, or down to nothing and below, is the largest."""
    if finding.outcome is Outcome.REGRESSION and (finding.ratio is None or finding.ratio <= 0):
        return math.inf
    return abs(finding.worse_log())


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """Return how many there are of each outcome, the worst first; those of none are left out."""
    number = Counter(one.outcome for one in findings)
    return {outcome.value: number[outcome] for outcome in Outcome if number[outcome]}


def exit_code(findings: list[Finding]) -> ExitCode:
    """Return what `bench alert` exits with: an alarm outweighs what could not be measured, and that doubt."""
    outcomes = {one.outcome for one in findings}
    if any(one.is_alarm() for one in findings):
        return ExitCode.REGRESSION
    if Outcome.NOT_MEASURED in outcomes or outcomes <= {Outcome.SKIPPED}:
        return ExitCode.NOT_MEASURED
    doubtful = (one.outcome in (Outcome.SUSPECTED, Outcome.UNDECIDED) for one in findings if _counts(one))
    return ExitCode.UNDECIDED if any(doubtful) else ExitCode.FINE


def _counts(finding: Finding) -> bool:
    return finding.rule.gate and finding.must_decide
