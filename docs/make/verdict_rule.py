"""Try the rule of `bench compare` on noise whose truth is known: how often it errs, and how many rounds it takes.

    python docs/make/verdict_rule.py [--repetitions 200] [--seed 0] [--family 1] [--tables choice looks rule files]

Four tables, each drawn afresh:

choice  intervals of a single look: Student's t on the logarithms, the trimmed t that the rule uses, and a bootstrap
        over rounds. How often each misses the truth, of nominally 10 %, and how wide it is.
looks   how often the screening errs at a change of exactly the effect, over all its looks: it may in 5 and 20 of 100.
rule    screening and confirming as the command does it: verdicts, and rounds of both together.
files   results of pytest-benchmark, so many files a side, whose processes differ by so much: alarms and detections.

Noise is that of the logarithm of head over base in a round: normal; Laplace; disturbed (one process in ten is slowed
down, by 10 % on average, exponentially distributed); drifting (the machine's speed wanders between one process and the
next: AR(1) with 0.9 and a deviation of 3 %, in random order inside the round). Exit codes: 0 printed, 2 bad input.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bench_harness.statistics.intervals import mean_center
from bench_harness.verdict import pytest_files
from bench_harness.verdict.changes import center_of
from bench_harness.verdict.fixed import Measured
from bench_harness.verdict.rule import Rule, Verdict
from bench_harness.verdict.sequential import LOOKS, Sequential
from bench_harness.verdict.sides import Key

SLOWED, SLOWED_BY = 0.1, 0.10
WANDER, WANDER_SD = 0.9, 0.03
ALARMS = (Verdict.REGRESSION, Verdict.IMPROVEMENT)
TABLES = ("choice", "looks", "rule", "files")
Noise = Callable[[numpy.random.Generator, int, float], numpy.ndarray]


def normal(rng: numpy.random.Generator, rounds: int, sd: float) -> numpy.ndarray:
    """Independent rounds."""
    return rng.normal(0, sd, rounds)


def laplace(rng: numpy.random.Generator, rounds: int, sd: float) -> numpy.ndarray:
    """Heavy tails."""
    return rng.laplace(0, sd / math.sqrt(2), rounds)


def disturbed(rng: numpy.random.Generator, rounds: int, sd: float) -> numpy.ndarray:
    """Normal, and one process in ten slowed down, on either side."""
    slowed = rng.random((2, rounds)) < SLOWED
    a, b = slowed * rng.exponential(SLOWED_BY, (2, rounds))
    return normal(rng, rounds, sd) + b - a


def drifting(rng: numpy.random.Generator, rounds: int, sd: float) -> numpy.ndarray:
    """Normal, on a machine whose speed wanders from one process to the next."""
    steps = rng.normal(0, WANDER_SD * math.sqrt(1 - WANDER**2), 2 * rounds)
    level = numpy.empty(2 * rounds)
    at = rng.normal(0, WANDER_SD)
    for index, step in enumerate(steps):
        level[index] = at = WANDER * at + step
    return normal(rng, rounds, sd) + (level[1::2] - level[::2]) * rng.choice((-1, 1), rounds)


NOISES: dict[str, Noise] = {"normal": normal, "Laplace": laplace, "disturbed": disturbed, "drifting": drifting}


@dataclass
class Tally:
    """Verdicts and rounds of many comparisons."""

    alarms: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    rounds: list[int] = field(default_factory=list)

    def share(self, verdict: Verdict) -> float:
        """Percent of the comparisons."""
        return 100 * self.verdicts[verdict] / len(self.rounds)


def compare(rng: numpy.random.Generator, noise: Noise, ratio: float, sd: float, rule: Rule, family: int) -> Tally:
    """One comparison, as the driver of the command has it, with rounds that cost nothing."""
    sequential = Sequential(rule, family)
    a, b = sides(noise(rng, LOOKS[-1], sd), ratio)
    rounds = 0
    while (wanted := sequential.next_look()) is not None:
        judgement, rounds = sequential.look(a[:wanted], b[:wanted]), wanted
        if judgement.verdict is not Verdict.UNDECIDED:
            break
    alarm = judgement.verdict.alarm
    fresh = 0
    if alarm:
        a, b = sides(noise(rng, 4 * sequential.rounds_to_confirm(), sd), ratio)
        while (wanted := sequential.rounds_to_confirm()) > fresh:
            judgement, fresh = sequential.confirm(a[:wanted], b[:wanted]), wanted
            if judgement.verdict is not Verdict.UNDECIDED:
                break
    return Tally(int(alarm), Counter([judgement.verdict]), [rounds + fresh])


def sides(changes: numpy.ndarray, ratio: float) -> tuple[list[float], list[float]]:
    """Values of base and head."""
    return [1.0 + 1e-9 * index for index in range(len(changes))], list(ratio * numpy.exp(changes))


def tally(
    rng: numpy.random.Generator, noise: Noise, ratio: float, sd: float, rule: Rule, repetitions: int, family: int
) -> Tally:
    """Many comparisons."""
    total = Tally()
    for _ in range(repetitions):
        one = compare(rng, noise, ratio, sd, rule, family)
        total.alarms += one.alarms
        total.verdicts += one.verdicts
        total.rounds += one.rounds
    return total


CASES = (  # deviation of a round, true ratio, effect, rounds that there is time for
    (0.01, 1.0, 0.02, 40),
    (0.01, 1.05, 0.02, 40),
    (0.028, 1.0, 0.02, 100),
    (0.028, 1.02, 0.02, 100),
    (0.028, 1.05, 0.02, 40),
    (0.028, 1.10, 0.02, 40),
    (0.028, 1.0, 0.01, 200),
    (0.028, 1.02, 0.01, 200),
    (0.055, 1.0, 0.02, 200),
    (0.055, 1.08, 0.02, 60),
)


def rule_table(rng: numpy.random.Generator, repetitions: int, family: int) -> Iterator[str]:
    """Operating characteristics of screening and confirming together."""
    yield "| noise | sd | true | effect | worse | better | fine | undecided | alarms | rounds | 95 % | all within |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for sd, ratio, effect, enough in CASES:
        for name, noise in NOISES.items():
            found = tally(rng, noise, ratio, sd, Rule(effect=effect), repetitions, family)
            within = sum(rounds <= enough for rounds in found.rounds) / len(found.rounds)
            shares = " | ".join(f"{found.share(verdict):.1f} %" for verdict in Verdict)
            alarms = 100 * found.alarms / repetitions
            mean, high = numpy.mean(found.rounds), numpy.quantile(found.rounds, 0.95)
            yield (
                f"| {name} | {100 * sd:.1f} % | {100 * (ratio - 1):+.0f} % | {100 * effect:.0f} % | {shares}"
                f" | {alarms:.1f} % | {mean:.0f} | {high:.0f} | {100 * within:.0f} % in {enough} |"
            )


def looks_table(rng: numpy.random.Generator, repetitions: int) -> Iterator[str]:
    """Errors at a change of exactly the effect, over all looks."""
    yield f"| noise | called fine (at most 5 %) | alarms (at most 20 %), {len(LOOKS)} looks up to {LOOKS[-1]} rounds |"
    yield "|---|---|---|"
    for name, noise in NOISES.items():
        found = Counter(screen(rng, noise) for _ in range(repetitions))
        fine, worse = (100 * found[verdict] / repetitions for verdict in (Verdict.FINE, Verdict.REGRESSION))
        yield f"| {name} | {fine:.1f} % | {worse:.1f} % |"


def screen(rng: numpy.random.Generator, noise: Noise, sd: float = 0.028) -> Verdict:
    """What screening alone says of a change of exactly the effect."""
    rule = Rule()
    sequential = Sequential(rule)
    a, b = sides(noise(rng, LOOKS[-1], sd), 1 + rule.effect)
    while (wanted := sequential.next_look()) is not None:
        judgement = sequential.look(a[:wanted], b[:wanted])
        if judgement.verdict is not Verdict.UNDECIDED:
            return judgement.verdict
    return Verdict.UNDECIDED


def choice_table(rng: numpy.random.Generator, repetitions: int, sd: float = 0.028) -> Iterator[str]:
    """Misses on either side, and half the width, of three intervals of 90 %."""
    yield "| noise | rounds | t: misses | half width | trimmed: misses | half width | bootstrap: misses | half width |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, noise in NOISES.items():
        for rounds in (5, 10, 20, 40):
            cells = []
            samples = [noise(rng, rounds, sd) for _ in range(repetitions)]
            for interval in (student, trimmed, bootstrapped):
                spans = [interval(rng, sample) for sample in samples]
                misses = sum(not low <= 0 <= high for low, high in spans) / repetitions
                half = numpy.mean([(high - low) / 2 for low, high in spans])
                cells.append(f"{100 * misses:.1f} % | {100 * half:.2f} %")
            yield f"| {name} | {rounds} | {' | '.join(cells)} |"


def student(rng: numpy.random.Generator, changes: numpy.ndarray) -> tuple[float, float]:
    """Student's t."""
    span = mean_center(list(changes)).interval(0.9)
    return span.low, span.high


def trimmed(rng: numpy.random.Generator, changes: numpy.ndarray) -> tuple[float, float]:
    """What the rule uses."""
    span = center_of(list(changes)).interval(0.9)
    return span.low, span.high


def bootstrapped(rng: numpy.random.Generator, changes: numpy.ndarray, resamples: int = 500) -> tuple[float, float]:
    """Percentiles of the means of rounds drawn with replacement."""
    means = rng.choice(changes, (resamples, len(changes))).mean(1)
    low, high = numpy.quantile(means, (0.05, 0.95))
    return float(low), float(high)


def files_table(rng: numpy.random.Generator, repetitions: int) -> Iterator[str]:
    """Alarms of files of pytest-benchmark whose processes differ by less, as much and more than is taken for known."""
    yield "| files a side | deviation of processes | equal: alarms | equal: fine | +5 % | +10 % | +20 % detected |"
    yield "|---|---|---|---|---|---|---|"
    for files in (1, 2, 3, 5, 10, 20):
        for sd in (0.005, 0.02, 0.04):
            equal, *slower = (of_files(rng, files, sd, ratio, repetitions) for ratio in (1.0, 1.05, 1.10, 1.20))
            alarms, fine = (
                100 * sum(equal[verdict] for verdict in group) / repetitions for group in (ALARMS, [Verdict.FINE])
            )
            detected = " | ".join(f"{100 * found[Verdict.REGRESSION] / repetitions:.0f} %" for found in slower)
            yield f"| {files} | {100 * sd:.1f} % | {alarms:.1f} % | {fine:.0f} % | {detected} |"


def of_files(rng: numpy.random.Generator, files: int, sd: float, ratio: float, repetitions: int) -> Counter[Verdict]:
    """Verdicts on so many files a side."""
    key = Key("x", (), "wall_s", "s", "lower")
    found: Counter[Verdict] = Counter()
    for _ in range(repetitions):
        a, b = rng.lognormal(0, sd, (2, files))
        found[pytest_files.judge(Measured(key, tuple(a), tuple(ratio * b), False, "files"), Rule()).verdict] += 1
    return found


def main(arguments: list[str]) -> int:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description="Try the rule of bench compare on noise whose truth is known.")
    parser.add_argument("--repetitions", type=int, default=200, help="comparisons per line (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--family", type=int, default=1, help="comparisons made together, as the rule is told")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    options = parser.parse_args(arguments)
    if options.repetitions < 1 or options.family < 1:
        print("verdict_rule.py: --repetitions and --family must be at least 1", file=sys.stderr)
        return 2
    rng = numpy.random.default_rng(options.seed)
    lines = {
        "choice": lambda: choice_table(rng, options.repetitions),
        "looks": lambda: looks_table(rng, options.repetitions),
        "rule": lambda: rule_table(rng, options.repetitions, options.family),
        "files": lambda: files_table(rng, options.repetitions),
    }
    for name in options.tables:
        print(f"\n{name}: {options.repetitions} repetitions\n")
        for line in lines[name]():
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
