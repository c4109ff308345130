"""Recall, precision and false alarms of step detectors on planted series: the table of docs/history.md.

Series of 120 commits with a step up at 40 and another at 80, or none; a hit is a step found within 2 commits of one.

    python docs/make/step_detection.py [--series 40] [--seed 1]
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from asv.step_detect import detect_regressions, detect_steps

from bench_harness.history.anchors import Anchor, anchored_steps
from bench_harness.history.series import Point, Series
from bench_harness.history.steps import Found, StepRule, find_steps
from bench_harness.statistics.student import t_tail

COMMITS, PLACES, NEAR = 120, (40, 80), 2
Detector = Callable[[list[float]], list[int]]
Noise = Callable[[random.Random, int], list[float]]


def normal(sd: float) -> Noise:
    return lambda source, count: [source.gauss(0, sd) for _ in range(count)]


def skewed(sd: float) -> Noise:
    """Exponential noise, and one value in 20 is 10 to 40 % slower still."""

    def one(source: random.Random) -> float:
        outlier = source.uniform(0.1, 0.4) if source.random() < 0.05 else 0.0
        return (source.expovariate(1) - 1) * sd + outlier

    return lambda source, count: [one(source) for _ in range(count)]


def drifting(sd: float, correlation: float) -> Noise:
    """An autoregressive process: a machine that stays slow for a while."""

    def noise(source: random.Random, count: int) -> list[float]:
        level, levels = source.gauss(0, sd), []
        for _ in range(count):
            levels.append(level)
            level = correlation * level + source.gauss(0, sd * math.sqrt(1 - correlation**2))
        return levels

    return noise


def sloping(rise: float, sd: float) -> Noise:
    flat = normal(sd)
    return lambda source, count: [value + rise * index / count for index, value in enumerate(flat(source, count))]


NOISES: dict[str, Noise] = {
    "normal 1 %": normal(0.01),
    "normal 3 %": normal(0.03),
    "skewed 3 % + outliers": skewed(0.03),
    "AR(0.6) 1 %": drifting(0.01, 0.6),
    "AR(0.6) 3 %": drifting(0.03, 0.6),
}
NOT_STEPS: dict[str, Noise] = {
    "AR(0.9) 1 %": drifting(0.01, 0.9),
    "AR(0.9) 3 %": drifting(0.03, 0.9),
    "slope of 10 %, normal 1 %": sloping(0.10, 0.01),
    "slope of 20 %, normal 1 %": sloping(0.20, 0.01),
}


def series(name: str, noise: Noise, step: float, seed: int, count: int = COMMITS) -> list[float]:
    """Return one series; another seed or name gives independent noise."""
    source = random.Random(f"{seed} {name} {step}")
    jump = math.log1p(step)
    return [
        math.exp(value + jump * sum(index >= place for place in PLACES))
        for index, value in enumerate(noise(source, count))
    ]


# The detectors: the first indices of new levels.


def ours(values: list[float]) -> list[int]:
    return [step.index for step in find_steps(values, StepRule())]


def asv_steps(values: list[float]) -> list[int]:
    return [left for left, *_ in detect_steps(values)[1:]]


def asv_regressions(values: list[float]) -> list[int]:
    """asv publish: of its steps, those up by 5 % from the best value before."""
    _, _, positions = detect_regressions(detect_steps(values), threshold=0.05)
    return [after for _, after, *_ in positions or () if after is not None]


def windowed_energy(values: list[float], p_value: float = 1e-4, minimum: float = 0.02, window: int = 50) -> list[int]:
    """As Apache Otava describes its rule, written anew: E-divisive in overlapping windows, t test, least magnitude."""
    found: set[int] = set()
    for start in range(0, max(1, len(values) - window // 2), window // 2):
        found |= {start + cut for cut in _divided(values[start : start + window], p_value)}
    cuts = sorted(found)
    while cuts:
        edges = [0, *cuts, len(values)]
        sides = [(values[a:b], values[b:c]) for a, b, c in zip(edges, edges[1:], edges[2:], strict=False)]
        tests = [
            (2.0 if abs(_mean(after) / _mean(before) - 1) < minimum else _t_test(before, after), cut)
            for (before, after), cut in zip(sides, cuts, strict=True)
        ]
        worst, cut = max(tests)
        if worst <= p_value:
            break
        cuts.remove(cut)
    return cuts


def _divided(values: Sequence[float], p_value: float) -> list[int]:
    if len(values) < 4:
        return []
    cut = _best_division(values)
    if _t_test(values[:cut], values[cut:]) > p_value:
        return []
    return [*_divided(values[:cut], p_value), cut, *(cut + other for other in _divided(values[cut:], p_value))]


def _best_division(values: Sequence[float]) -> int:
    """Return the cut with the largest energy distance between its sides (Matteson, James 2014, exponent 1)."""
    count = len(values)
    to_earlier = [sum(abs(values[i] - values[j]) for j in range(i)) for i in range(count)]
    to_later = [sum(abs(values[i] - values[j]) for j in range(i + 1, count)) for i in range(count)]
    left, right, across = 0.0, sum(to_later), 0.0
    best, where = -math.inf, 1
    for cut in range(1, count):
        # The value before the cut moves from the right side to the left one.
        left += to_earlier[cut - 1]
        right -= to_later[cut - 1]
        across += to_later[cut - 1] - to_earlier[cut - 1]
        m, n = cut, count - cut
        if m < 2 or n < 2:
            continue
        distance = 2 * across / (m * n) - 2 * left / (m * (m - 1)) - 2 * right / (n * (n - 1))
        if (weighted := distance * m * n / count) > best:
            best, where = weighted, cut
    return where


def _t_test(a: Sequence[float], b: Sequence[float]) -> float:
    if len(a) < 2 or len(b) < 2:
        return 1.0
    degrees = len(a) + len(b) - 2
    pooled = ((len(a) - 1) * statistics.variance(a) + (len(b) - 1) * statistics.variance(b)) / degrees
    error = math.sqrt(pooled * (1 / len(a) + 1 / len(b)))
    return 2 * t_tail(abs(_mean(a) - _mean(b)) / error, degrees) if error else 1.0


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def previous_commit(values: list[float]) -> list[int]:
    """github-action-benchmark's rule, with 10 % instead of 100 %."""
    return [index for index in range(1, len(values)) if values[index] > 1.1 * values[index - 1]]


DETECTORS: dict[str, Detector] = {
    "bench_harness": ours,
    "asv, all steps": asv_steps,
    "asv publish (up by 5 %)": asv_regressions,
    "E-divisive + t, p < 1e-4, 2 %": windowed_energy,
    "10 % above the commit before": previous_commit,
}


@dataclass
class Score:
    """Counts over series with steps."""

    hits: int = 0
    planted: int = 0
    found: int = 0
    right: int = 0

    def add(self, cuts: Sequence[int]) -> None:
        self.planted += len(PLACES)
        self.found += len(cuts)
        self.hits += sum(any(abs(cut - place) <= NEAR for cut in cuts) for place in PLACES)
        self.right += sum(any(abs(cut - place) <= NEAR for place in PLACES) for cut in cuts)

    def __str__(self) -> str:
        precision = f"{self.right / self.found:.2f}" if self.found else "-"
        return f"{self.hits / self.planted:.2f}/{precision}"


@dataclass
class Clock:
    """CPU seconds that each detector took, and for how many series."""

    seconds: dict[str, float] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)

    def run(self, name: str, values: list[float]) -> list[int]:
        started = time.process_time()
        cuts = DETECTORS[name](values)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - started
        self.count[name] = self.count.get(name, 0) + 1
        return cuts

    def ms(self, name: str) -> str:
        return f"{1000 * self.seconds[name] / self.count[name]:.1f}"


def false_steps(name: str, label: str, noise: Noise, args: argparse.Namespace, clock: Clock) -> str:
    """Return steps found per series that has none."""
    seeds = range(args.seed * 10_000, args.seed * 10_000 + args.series)
    return f"{sum(len(clock.run(name, series(label, noise, 0.0, seed))) for seed in seeds) / args.series:.2f}"


def cell(name: str, label: str, noise: Noise, args: argparse.Namespace, clock: Clock) -> str:
    """Return false steps per series without one; recall/precision at 5 %; at 10 %."""
    pieces = [false_steps(name, label, noise, args, clock)]
    for step in (0.05, 0.10):
        score = Score()
        for seed in range(args.seed * 10_000, args.seed * 10_000 + args.series):
            score.add(clock.run(name, series(label, noise, step, seed)))
        pieces.append(str(score))
    return "; ".join(pieces)


def rows(args: argparse.Namespace) -> Iterator[str]:
    """Yield both tables, line by line."""
    clock = Clock()
    yield f"| {' | '.join(['detector', *NOISES, 'CPU ms per series'])} |"
    yield f"|{'---|' * (len(NOISES) + 2)}"
    for name in DETECTORS:
        cells = [cell(name, label, noise, args, clock) for label, noise in NOISES.items()]
        yield f"| {' | '.join([name, *cells, clock.ms(name)])} |"
    yield ""
    yield f"| false steps per series | {' | '.join(NOT_STEPS)} |"
    yield f"|{'---|' * (len(NOT_STEPS) + 1)}"
    for name in DETECTORS:
        cells = [false_steps(name, label, noise, args, clock) for label, noise in NOT_STEPS.items()]
        yield f"| {' | '.join([name, *cells])} |"


def anchored(args: argparse.Namespace) -> Iterator[str]:
    """Yield what is found where each commit was also compared with the one before it in one job, to 0.5 %."""
    names = {**NOISES, **NOT_STEPS}
    for label in ("AR(0.6) 3 %", "AR(0.9) 3 %"):
        score, false = Score(), 0
        for seed in range(args.seed * 10_000, args.seed * 10_000 + args.series):
            score.add(_anchored_cuts(series(label, names[label], 0.05, seed), 0.05, seed))
            false += len(_anchored_cuts(series(label, names[label], 0.0, seed), 0.0, seed))
        yield f"With a ratio of one job per commit, {label}: {false / args.series:.2f}; {score} at 5 %."


def _anchored_cuts(values: list[float], step: float, seed: int, error: float = 0.005) -> list[int]:
    source, line = random.Random(f"anchors {seed} {step}"), tuple(f"{index:040x}" for index in range(len(values)))
    points = tuple(Point(commit, index, value) for index, (commit, value) in enumerate(zip(line, values, strict=True)))
    anchors = []
    for index in range(1, len(values)):
        log_ratio = source.gauss(math.log1p(step) * (index in PLACES), error)
        changed = abs(log_ratio) - 2.576 * error > math.log1p(StepRule.minimum)  # as a 99 % interval beyond 2 %
        anchors.append(Anchor(line[index - 1], line[index], log_ratio, error, changed))
    found = anchored_steps(Series("b", (), "m", "e", "1", "seconds", points, line=line), anchors)
    return [line.index(each.first_bad) for each in found.steps]


def coverage(args: argparse.Namespace) -> str:
    """Return how many 95 % intervals of steps found at the right place hold the size that was planted."""
    held = placed = 0
    for label in ("normal 3 %", "AR(0.6) 1 %", "skewed 3 % + outliers"):
        for seed in range(args.seed * 10_000, args.seed * 10_000 + args.series):
            found: list[Found] = find_steps(series(label, NOISES[label], 0.10, seed), StepRule())
            right = [step for step in found if step.index in PLACES]
            placed += len(right)
            held += sum(step.low <= 1.10 <= step.high for step in right)
    return f"Intervals of steps of 10 % found at the very commit: {held} of {placed} hold 1.10."


def long_series(args: argparse.Namespace) -> str:
    """Return the time that a series of 1,000 commits takes."""
    many = [series(label, noise, 0.05, args.seed, 1000) for label, noise in NOISES.items()]
    started = time.process_time()
    for values in many:
        find_steps(values, StepRule())
    each_ms = 1000 * (time.process_time() - started) / len(many)
    return f"A series of 1,000 commits takes bench_harness {each_ms:.0f} ms of CPU."


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=40, help="series per cell (default: 40)")
    parser.add_argument("--seed", type=int, default=1, help="of the first series (default: 1)")
    args = parser.parse_args()
    for line in rows(args):
        print(line, flush=True)
    print("", *anchored(args), coverage(args), long_series(args), sep="\n")


if __name__ == "__main__":
    main()
