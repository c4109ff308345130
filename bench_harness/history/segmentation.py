"""Where a series changes its level: candidates from many intervals, the best set of them, and what they weigh.

Everything here is exact arithmetic on sums: no random choice, the same answer each time.
"""

import functools
import itertools
import math
from collections.abc import Sequence

from bench_harness.history.noise import Noise

_CANDIDATE_Z = 2.5
_MAX_CANDIDATES = 150  # the choice among them takes the square of their number


class Levels:
    """A series with its running sums, and the noise that differences of its levels are measured against."""

    def __init__(self, values: Sequence[float], noise: Noise, shortest: int) -> None:
        self.values, self.noise, self.shortest = values, noise, shortest
        self.sums = [0.0, *itertools.accumulate(values)]
        self.squares = [0.0, *itertools.accumulate(value * value for value in values)]
        self.variances = [math.inf, *(noise.variance_of_mean(count) for count in range(1, len(values) + 1))]

    def mean(self, low: int, high: int) -> float:
        """Return the mean of values[low:high]."""
        return (self.sums[high] - self.sums[low]) / (high - low)

    def difference(self, low: int, cut: int, high: int) -> tuple[float, float]:
        """Return (mean after `cut` - mean before, its standard error) within values[low:high]."""
        variance = self.variances[cut - low] + self.variances[high - cut]
        return self.mean(cut, high) - self.mean(low, cut), math.sqrt(variance)

    def square_error(self, low: int, high: int) -> float:
        """Return the sum of squared distances of values[low:high] from their mean."""
        total = self.sums[high] - self.sums[low]
        return max(0.0, self.squares[high] - self.squares[low] - total * total / (high - low))

    def best_cut(self, low: int, high: int) -> tuple[float, int]:
        """Return (z squared, cut) of the largest difference within values[low:high]; (0, 0) where it is too short."""
        sums, variances = self.sums, self.variances
        before, after = sums[low], sums[high]
        best, where = 0.0, 0
        for cut in range(low + self.shortest, high - self.shortest + 1):
            left, right = cut - low, high - cut
            distance = (after - sums[cut]) / right - (sums[cut] - before) / left
            z_square = distance * distance / (variances[left] + variances[right])
            if z_square > best:
                best, where = z_square, cut
        return best, where


def best_cuts(levels: Levels, penalty: float) -> list[int]:
    """Return the cuts with the least squared error, where each must gain `penalty` (in squares of z) to be there."""
    nodes = [0, *_candidates(levels), len(levels.values)]
    costs, previous = [0.0], [0]
    scale = levels.noise.long_run_variance
    for end in range(1, len(nodes)):
        options = [
            (costs[start] + levels.square_error(nodes[start], nodes[end]) / scale + (penalty if start else 0), start)
            for start in range(end)
            if nodes[end] - nodes[start] >= levels.shortest
        ]
        cost, start = min(options, default=(math.inf, 0))
        costs.append(cost)
        previous.append(start)
    cuts, node = [], previous[-1]
    while node:
        cuts.append(nodes[node])
        node = previous[node]
    return cuts[::-1]


def _candidates(levels: Levels) -> list[int]:
    found: dict[int, float] = {}
    for low, high in seeded_intervals(len(levels.values), 2 * levels.shortest):
        z_square, cut = levels.best_cut(low, high)
        if z_square > _CANDIDATE_Z**2:
            found[cut] = max(z_square, found.get(cut, 0.0))
    return sorted(sorted(found, key=lambda cut: (-found[cut], cut))[:_MAX_CANDIDATES])


def seeded_intervals(count: int, shortest: int) -> list[tuple[int, int]]:
    """Return intervals of all lengths from `count` down to `shortest` that overlap by half or more.

    Any step lies in one that holds no other step (seeded binary segmentation: Kovacs, Buehlmann, Li, Munk 2023).
    """
    intervals, length = [(0, count)], count / math.sqrt(2)
    while length >= shortest:
        width, number = math.ceil(length), 2 * math.ceil(count / length) - 1
        lows = (index * (count - width) // (number - 1) for index in range(number))
        intervals += [(low, low + width) for low in lows]
        length /= math.sqrt(2)
    return intervals


def moved_to_best(levels: Levels, cuts: Sequence[int]) -> list[int]:
    """Return the cuts, each moved to the best place between its neighbours."""
    moved = list(cuts)
    for _ in range(3):
        before = list(moved)
        for index, (low, high) in enumerate(neighbours(before, len(levels.values))):
            low = moved[index - 1] if index else low
            moved[index] = levels.best_cut(low, high)[1] or moved[index]
        if moved == before:
            break
    return moved


def neighbours(cuts: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Return for each cut the cuts, or ends, before and after it."""
    edges = [0, *cuts, count]
    return list(zip(edges, edges[2:], strict=False))


def p_value_of_largest(z: float, count: int, shortest: int) -> float:
    """Return the probability that the largest |z| over all places for a cut reaches `z` without any step.

    Of maximally selected statistics (Miller, Siegmund 1982, for the continuous process: a little too large for ours).
    """
    if z < 1:
        return 1.0
    edge = shortest / count
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    p = z * density * ((1 - 1 / z**2) * math.log(((1 - edge) / edge) ** 2) + 4 / z**2)
    return min(1.0, max(p, math.erfc(z / math.sqrt(2))))


@functools.lru_cache(maxsize=1024)
def critical_z(alpha: float, count: int, shortest: int) -> float:
    """Return the z whose `p_value_of_largest` is `alpha`."""
    low, high = 1.0, 40.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if p_value_of_largest(middle, count, shortest) > alpha else (low, middle)
    return high


def is_drift(levels: Levels, low: int, cuts: Sequence[int], high: int) -> bool:
    """Tell whether a straight line explains values[low:high] better than these cuts, all up or all down.

    Each parameter of the steps beyond those of a line must earn two variances of the noise (Akaike).
    """
    edges = [low, *cuts, high]
    steps = sum(levels.square_error(start, end) for start, end in itertools.pairwise(edges))
    extra = 2 * (2 * len(cuts) - 1) * levels.noise.sd**2
    return _error_of_line(levels.values[low:high]) <= steps + extra


def _error_of_line(values: Sequence[float]) -> float:
    count = len(values)
    middle, mean = (count - 1) / 2, math.fsum(values) / count
    spread = math.fsum((index - middle) ** 2 for index in range(count))
    together = math.fsum((index - middle) * value for index, value in enumerate(values))
    return math.fsum((value - mean) ** 2 for value in values) - together * together / spread
