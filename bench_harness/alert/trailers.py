"""What the commits between base and head announced: a Perf-Expect trailer accepts a change that stays within it.

Perf-Expect: loading.Loader.time_epoch slower<=1.3x
"""

import math
import re
from pathlib import Path

from bench_harness.alert.findings import Finding, Outcome
from bench_harness.changelog.commit_texts import commit_texts
from bench_harness.changelog.expectations import Expectation, expectations

MOST_EFFECT_PERCENT = 1000  # that a rule takes: see config.parse_effect


def announced(folder: Path, base: str, head: str) -> tuple[list[Expectation], list[str]]:
    """Return the expectations of base..head, the newest commit first, and a line for each trailer that is none."""
    found: list[Expectation] = []
    problems: list[str] = []
    for text in commit_texts(folder, f"{base}..{head}").values():
        of_commit, wrong = expectations(text)
        found += of_commit
        problems += wrong
    return found, problems


def accepts(expectation: Expectation, finding: Finding) -> bool:
    """Tell whether a regression is what was announced: "slower<=", not "slower>="; a failure never is."""
    if finding.outcome is not Outcome.REGRESSION or not _has_size(finding) or expectation.at_least:
        return False
    for_worse = expectation.down is None or expectation.down == (finding.better == "higher")
    change = math.exp(finding.worse_log())
    return for_worse and expectation.names(finding.name, finding.label) and change <= expectation.factor * (1 + 1e-9)


def acknowledge(findings: list[Finding], expected: list[Expectation]) -> None:
    """Set `acknowledged` of the findings that a commit announced."""
    for finding in findings:
        by = next((one for one in expected if accepts(one, finding)), None)
        if by is not None:
            finding.acknowledged = {"commit": by.commit, "text": by.text}


def how_to_accept(finding: Finding) -> str:
    """Return what accepts an alarm: a trailer of a commit in base..head, or a rule."""
    rule = "[[tool.bench_harness.rules]]"
    if not _has_size(finding) or finding.outcome is Outcome.FAILED:
        name = re.escape(finding.name.partition("(")[0])  # of one without a verdict the name may be the whole title
        return f"{rule} with benchmark = '^{name}', gate = false"
    # A tenth more than was measured, because the next run measures something else.
    percent = math.ceil(round(110 * math.expm1(finding.worse_log()), 6))
    word = "lower" if finding.better == "higher" else "larger" if finding.unit == "bytes" else "slower"
    limit = f"{percent}%" if word != "lower" else f"{1 + percent / 100:.4g}x"
    trailer = f"Perf-Expect: {finding.label.replace(' ', '')} {word}<={limit}"
    effect = f"effect = '{percent}%' or " if percent <= MOST_EFFECT_PERCENT else ""
    return f"{trailer} (a trailer of a commit after base), or {rule} with {effect}gate = false"


def _has_size(finding: Finding) -> bool:
    """Tell whether a change has a factor that a bound can be held against: none has one down to nothing, or below."""
    return finding.ratio is not None and finding.ratio > 0
