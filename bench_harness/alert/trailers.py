"""What the commits between base and head say of themselves: trailers that accept a change of a benchmark.

Perf-Expect: loading.Loader.time_epoch slower<=1.3x
Perf-Note: reads the whole file now, which takes longer
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from bench_harness.alert.findings import Finding, Outcome
from bench_harness.git import git_output

WORSE = ("slower", "larger", "lower", "worse")
_EXPECTED = re.compile(rf"(?P<bench>\S+)\s+(?:{'|'.join(WORSE)})\s*<=\s*(?P<factor>\d+(?:\.\d+)?)x?\s*")
_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Expectation:
    """A commit said that a benchmark may become worse, by a factor of at most `factor`."""

    commit: str
    text: str
    benchmark: str
    factor: float

    def accepts(self, finding: Finding) -> bool:
        """Tell whether a finding is what was announced; a benchmark that fails never is."""
        named = self.benchmark in (finding.name, finding.label.replace(" ", ""))
        return named and finding.ratio is not None and math.exp(finding.worse_log()) <= self.factor * (1 + 1e-9)


def expectations(folder: Path, base: str, head: str) -> list[Expectation]:
    """Return what the trailers of base..head announce, the newest commit first."""
    form = f"--format=%H{_SEPARATOR}%(trailers:key=Perf-Expect,valueonly,unfold,separator={_SEPARATOR})"
    listed = git_output(folder, "log", form, f"{base}..{head}", "--") or ""
    found = []
    for line in listed.splitlines():
        commit, *texts = line.split(_SEPARATOR)
        for text in texts:
            match = _EXPECTED.fullmatch(text.strip())
            if match:
                found.append(Expectation(commit, text.strip(), match["bench"], float(match["factor"])))
    return found


def acknowledge(findings: list[Finding], expected: list[Expectation]) -> None:
    """Set `acknowledged` of the findings that a commit announced."""
    for finding in findings:
        by = next((one for one in expected if one.accepts(finding)), None)
        if by is not None:
            finding.acknowledged = {"commit": by.commit, "text": by.text}


def how_to_accept(finding: Finding) -> str:
    """Return what accepts an alarm: a trailer of a commit in base..head, or a rule."""
    rule = "[[tool.bench_harness.rules]]"
    if finding.ratio is None or finding.outcome is Outcome.FAILED:
        return f"{rule} with benchmark = '{finding.name}', gate = false"
    # A tenth more than was measured, because the next run measures something else.
    percent = math.ceil(110 * math.expm1(finding.worse_log()))
    word = "lower" if finding.better == "higher" else "larger" if finding.unit == "bytes" else "slower"
    trailer = f"Perf-Expect: {finding.label.replace(' ', '')} {word}<={1 + percent / 100:.4g}x"
    return f"{trailer} (a trailer of a commit after base), or {rule} with effect = '{percent}%' or gate = false"
