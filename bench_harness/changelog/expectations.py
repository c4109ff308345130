"""Perf-Expect trailers: what a commit says that a benchmark will do, held against what was measured.

Perf-Expect: loading.Loader.time_epoch faster>=2x
Perf-Expect: loading.Loader.time_epoch(4) slower<=10%
"""

import re
from dataclasses import dataclass

from bench_harness.changelog.commit_texts import CommitText

DOWN = ("faster", "smaller", "lower")
UP = ("slower", "larger", "higher")
WORSE = "worse"  # up or down, by the benchmark's rule
GRAMMAR = f"BENCHMARK {'|'.join(DOWN + UP)}|{WORSE} >=|<= Nx|N%"
_WORDS = "|".join((*DOWN, *UP, WORSE))
_FORM = re.compile(
    rf"(?P<benchmark>\S.*?)\s+(?P<word>{_WORDS})\s*(?P<sign>>=|<=)\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[x%]?)"
)


@dataclass(frozen=True)
class Expectation:
    """One trailer. `factor` is what the value is divided by (faster ...) or multiplied by (slower ...).

    `down` is None for "worse".
    """

    commit: str
    text: str
    benchmark: str
    down: bool | None
    at_least: bool
    factor: float

    def names(self, benchmark: str, title: str) -> bool:
        """Tell whether the trailer is about a benchmark, or this combination of its parameters."""
        wanted = self.benchmark.replace(" ", "")
        return wanted == benchmark or wanted == title.replace(" ", "")

    def is_of_worse(self, better: str) -> bool:
        """Tell whether it announces a change for the worse."""
        return self.down is None or self.down == (better == "higher")

    def is_met(self, ratio: float, better: str = "lower") -> bool:
        """Tell whether the value after over the value before is as announced."""
        down = better == "higher" if self.down is None else self.down
        change = 1 / ratio if down else ratio
        # A ratio of printed numbers may miss its bound by rounding alone.
        return change >= self.factor * (1 - 1e-9) if self.at_least else change <= self.factor * (1 + 1e-9)


def expectations(text: CommitText) -> tuple[list[Expectation], list[str]]:
    """Return the expectations of a commit, and a line for each trailer that is none."""
    found, problems = [], []
    for trailer in text.expectations:
        one = parse(text.commit, trailer)
        if one is None:
            problems.append(f"commit {text.commit[:12]}: 'Perf-Expect: {trailer}' is not {GRAMMAR}; it is not checked")
        else:
            found.append(one)
    return found, problems


def parse(commit: str, trailer: str) -> Expectation | None:
    """Return what a trailer says, None where it is malformed. "faster 20%" means 20 % less time, "slower 20%" more."""
    match = _FORM.fullmatch(trailer)
    if match is None:
        return None
    number, down = float(match["number"]), None if match["word"] == WORSE else match["word"] in DOWN
    if match["unit"] == "%":
        if down and number >= 100:
            return None  # nothing takes less than no time
        factor = 1 / (1 - number / 100) if down else 1 + number / 100
    else:
        factor = number
    if factor < 1:
        return None  # faster>=0.5x would be slower
    return Expectation(commit, trailer, match["benchmark"], down, match["sign"] == ">=", factor)
