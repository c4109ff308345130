"""The noise of a series: outliers folded back, its size, and how far one value predicts the next (slow drift)."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

HALF_WINDOW = 3  # of the running median: up to this many outliers in a row are told from a step
OUTLIER_SDS = 4.0
_NORMAL_MAD = 1.4826  # sd of a normal distribution over its median absolute deviation
_MEDIAN_LOSS = 1.15  # a running median of 7 follows the noise a little, which makes distances from it smaller
_TRIMMED = 0.9  # share of differences that is kept: the others may hold a step or an outlier
_TRIMMED_SQUARE = 0.6328  # mean square of a standard normal variable within its central 90 %
MAX_CORRELATION = 0.9
_CLUSTER = HALF_WINDOW + 1  # outliers in a row that are not folded any more
_SMALLEST_SD = 1e-9  # exact counters have no noise; a step of theirs is still compared with something


def fold_outliers(values: Sequence[float]) -> list[float]:
    """Return the values with those far from the running median replaced by it; steps stay (Hampel's filter).

    At both ends the window is the last whole one, so that a step needs four values there to be one.
    """
    width = 2 * HALF_WINDOW + 1
    if len(values) < width:
        return list(values)
    starts = [min(max(0, index - HALF_WINDOW), len(values) - width) for index in range(len(values))]
    medians = [sorted(values[start : start + width])[HALF_WINDOW] for start in starts]
    distances = [abs(value - middle) for value, middle in zip(values, medians, strict=True)]
    far = OUTLIER_SDS * _NORMAL_MAD * _MEDIAN_LOSS * statistics.median(distances)
    return [
        middle if distance > far else value for value, middle, distance in zip(values, medians, distances, strict=True)
    ]


@dataclass(frozen=True)
class Noise:
    """Noise as of an autoregressive process of first order: its standard deviation and lag-1 correlation.

    `folded` is the mean square of what was folded away.
    """

    sd: float
    correlation: float
    folded: float = 0.0

    def variance_of_mean(self, count: int) -> float:
        """Return the variance of the mean of `count` successive values, larger the more they follow each other.

        Where there are outliers, a level of few values may be some in a row: what was folded counts there.
        """
        r = self.correlation
        # The sum over all pairs of a stationary AR(1) process.
        inflation = (1 + r) / (1 - r) - 2 * r * (1 - r**count) / (count * (1 - r) ** 2)
        clustered = self.folded * min(1.0, (_CLUSTER / count) ** 2)
        return (self.sd**2 * inflation + clustered) / count

    @property
    def long_run_variance(self) -> float:
        """The variance that a value has as a part of a long mean."""
        return self.sd**2 * (1 + self.correlation) / (1 - self.correlation)

    def degrees(self, count: int, parameters: int) -> float:
        """Return the degrees of freedom of a variance from `count` values (Bartlett: correlated ones tell less)."""
        square = self.correlation**2
        return max(3.0, (count - parameters) * (1 - square) / (1 + square))


def noise_of_differences(pieces: Sequence[Sequence[float]]) -> Noise:
    """Estimate the noise from differences of values one and two apart, which a few steps hardly touch.

    The ratio of their mean squares is 1 + correlation (Chakar, Lebarbier, Levy-Leduc, Robin 2017 use medians of them).
    """
    one, two = (_trimmed_square(pieces, lag) for lag in (1, 2))
    if one <= 0:
        return Noise(_SMALLEST_SD, 0.0)
    r = min(max(two / one - 1, 0.0), MAX_CORRELATION)
    return Noise(max(_SMALLEST_SD, math.sqrt(one / _TRIMMED_SQUARE / 2 / (1 - r))), r)


def noise_of_residuals(pieces: Sequence[Sequence[float]]) -> Noise:
    """Estimate the noise from the distances to the mean of each piece; the bias of few values is taken off."""
    residuals = [[value - statistics.fmean(piece) for value in piece] for piece in pieces]
    count, mean_length = sum(map(len, pieces)), sum(map(len, pieces)) / len(pieces)
    squares = math.fsum(value * value for piece in residuals for value in piece)
    if squares <= 0:
        return Noise(_SMALLEST_SD, 0.0)
    r = math.fsum(a * b for piece in residuals for a, b in itertools.pairwise(piece)) / squares
    if mean_length > 8:  # E(r) is about r - (1 + 3 r) / n (Kendall 1954)
        r = (r * mean_length / (mean_length - 1) + 1 / mean_length) / (1 - 3 / mean_length)
    r = min(max(r, 0.0), MAX_CORRELATION)
    left = count - len(pieces) * (1 + r) / (1 - r)
    return Noise(max(_SMALLEST_SD, math.sqrt(squares / max(left, count / 2))), r)


def mean_noise(one: Noise, other: Noise) -> Noise:
    """Return the mean of two estimates."""
    return Noise((one.sd + other.sd) / 2, (one.correlation + other.correlation) / 2)


def mean_square(values: Sequence[float], others: Sequence[float]) -> float:
    """Return the mean square of the differences of two series."""
    return math.fsum((a - b) ** 2 for a, b in zip(values, others, strict=True)) / len(values)


def _trimmed_square(pieces: Sequence[Sequence[float]], lag: int) -> float:
    differences = sorted(
        abs(later - earlier) for piece in pieces for earlier, later in zip(piece, piece[lag:], strict=False)
    )
    kept = differences[: max(1, int(_TRIMMED * len(differences)))]
    return math.fsum(value * value for value in kept) / len(kept) if kept else 0.0
