"""Steps over commits: where a series changed its level for good, by how much, and between which commits.

Outliers are folded back, slow drift makes the test stricter, and a straight slope is no step. Pure Python, no random
choice. docs/history.md has the method, and its recall and false alarms beside those of other detectors.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench_harness.history import segmentation
from bench_harness.history.noise import (
    Noise,
    fold_outliers,
    mean_noise,
    mean_square,
    noise_of_differences,
    noise_of_residuals,
)
from bench_harness.history.segmentation import Levels, neighbours
from bench_harness.history.series import Series
from bench_harness.statistics.student import t_quantile

_PASSES = 3  # noise, cuts, noise without these cuts, ...; a fourth changes nothing
# Steps that are not known yet look like drift: the first pass takes this much off the correlation.
_FIRST_ALLOWANCE = 0.3


@dataclass(frozen=True)
class StepRule:
    """What counts as a step.

    Args:
        minimum: the smallest relative change; 0.02 is 2 % more, or 1 - 1/1.02 less.
        alpha: probability of the largest difference of a series without steps to be taken for one.
        shortest: values needed on each side, at least 4: three outliers in a row are no step.
        confidence: of the interval of a step's size.
    """

    minimum: float = 0.02
    alpha: float = 1e-3
    shortest: int = 4
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not (self.minimum >= 0 and 0 < self.alpha < 1 and self.shortest >= 4 and 0 < self.confidence < 1):
            raise ValueError(f"{self}: expected minimum >= 0, alpha and confidence in (0, 1), shortest >= 4")


@dataclass(frozen=True)
class Found:
    """A step in plain values: values[index] is the first of the new level.

    `low` and `high` bound `ratio`, the new level over the old one; they hold for a step at this place.
    """

    index: int
    ratio: float
    low: float
    high: float
    p_value: float
    before: float
    after: float
    count_before: int
    count_after: int


@dataclass(frozen=True)
class Step:
    """A step of a series between two commits; "good" and "bad" are only earlier and later: see `ratio`.

    Args:
        last_good: the last measured commit of the old level.
        first_bad: the first measured commit of the new level.
        commits_between: those between the two, none of which was measured; any of them may hold the change.
        ratio: new level over old level, with its interval `low` to `high`.
        p_value: of this step, corrected for having looked at every place of the series.
        before: the old level, in the unit of the series; `after` is the new one.
        count_before: measured commits of the old level, back to the step before; `count_after` likewise.
        same_job: whether ratio and place come from a comparison of the two commits in one job (anchors.py).
    """

    last_good: str
    first_bad: str
    commits_between: tuple[str, ...]
    ratio: float
    low: float
    high: float
    p_value: float
    before: float
    after: float
    count_before: int
    count_after: int
    same_job: bool = False


def steps_of(series: Series, rule: StepRule | None = None) -> list[Step]:
    """Return the steps of a series in git order; none where a value is not positive, as it has no ratio."""
    points = series.measured
    found = find_steps([point.value for point in points if point.value is not None], rule or StepRule())
    return [_step(series, one) for one in found]


def _step(series: Series, one: Found) -> Step:
    last, first = series.measured[one.index - 1 : one.index + 1]
    values = {name: value for name, value in vars(one).items() if name != "index"}
    return Step(last.commit, first.commit, series.between(last, first), **values)


def find_steps(values: Sequence[float], rule: StepRule) -> list[Found]:
    """Return the steps of a plain list of values, oldest first."""
    if len(values) < 2 * rule.shortest or not all(0 < value < math.inf for value in values):
        return []
    raw = [math.log(value) for value in values]
    logs = fold_outliers(raw)
    folded = mean_square(raw, logs)
    cuts: list[int] = []
    penalty = segmentation.critical_z(rule.alpha, len(logs), rule.shortest) ** 2
    for turn in range(_PASSES):
        before = cuts
        levels = Levels(logs, replace(_noise(logs, cuts, first=turn == 0), folded=folded), rule.shortest)
        cuts = _significant(levels, segmentation.best_cuts(levels, penalty), rule)
        if turn > 0 and cuts == before:
            break  # the noise without them would be the same again
    cuts = _without_drift(levels, cuts)
    return [_found(levels, cut, low, high, rule) for cut, (low, high) in _placed(levels, cuts)]


def _noise(logs: Sequence[float], cuts: Sequence[int], *, first: bool) -> Noise:
    edges = [0, *cuts, len(logs)]
    pieces = [logs[start:end] for start, end in itertools.pairwise(edges)]
    noise = noise_of_differences(pieces)
    if first:
        return Noise(noise.sd, max(0.0, noise.correlation - _FIRST_ALLOWANCE))
    return mean_noise(noise, noise_of_residuals(pieces))


def _placed(levels: Levels, cuts: Sequence[int]) -> list[tuple[int, tuple[int, int]]]:
    return list(zip(cuts, neighbours(cuts, len(levels.values)), strict=True))


def _significant(levels: Levels, cuts: list[int], rule: StepRule) -> list[int]:
    """Drop the weakest cut that is too small or not significant, place the others anew, until all are both."""
    while cuts:
        cuts = segmentation.moved_to_best(levels, cuts)
        weak = []
        for cut, (low, high) in _placed(levels, cuts):
            distance, error = levels.difference(low, cut, high)
            if abs(distance) < math.log1p(rule.minimum) or _p_value(levels, distance / error, len(cuts)) > rule.alpha:
                weak.append((abs(distance) / error, cut))
        if not weak:
            break
        cuts.remove(min(weak)[1])
    return cuts


def _p_value(levels: Levels, t: float, cuts: int) -> float:
    count = len(levels.values)
    degrees = levels.noise.degrees(count, cuts + 1)
    # The normal z of a Student t (Wallace 1959).
    z = math.sqrt(degrees * math.log1p(t * t / degrees)) * (8 * degrees + 1) / (8 * degrees + 3)
    return segmentation.p_value_of_largest(z, count, levels.shortest)


def _without_drift(levels: Levels, cuts: Sequence[int]) -> list[int]:
    """Drop each run of steps in one direction that a straight line explains better."""
    edges, kept = [0, *cuts, len(levels.values)], []
    rising = [levels.difference(low, cut, high)[0] > 0 for cut, (low, high) in _placed(levels, cuts)]
    first = 0
    while first < len(cuts):
        last = first
        while last + 1 < len(cuts) and rising[last + 1] == rising[first]:
            last += 1
        run = list(cuts[first : last + 1])
        # Of few values nobody can tell a slope from a step.
        if edges[last + 2] - edges[first] < 3 * levels.shortest or not segmentation.is_drift(
            levels, edges[first], run, edges[last + 2]
        ):
            kept += run
        first = last + 1
    return kept


def _found(levels: Levels, cut: int, low: int, high: int, rule: StepRule) -> Found:
    distance, error = levels.difference(low, cut, high)
    reach = error * t_quantile((1 + rule.confidence) / 2, levels.noise.degrees(len(levels.values), 2))
    return Found(
        index=cut,
        ratio=math.exp(distance),
        low=math.exp(distance - reach),
        high=math.exp(distance + reach),
        p_value=_p_value(levels, distance / error, 1),
        before=math.exp(levels.mean(low, cut)),
        after=math.exp(levels.mean(cut, high)),
        count_before=cut - low,
        count_after=high - cut,
    )
