"""The mean of a benchmark at a commit, counted by processes: samples of one process are no replicates of each other.

Each fresh process has a level of its own (2 % apart for pure Python), which its samples share: asv's 10 samples from
2 processes say as much as 2 numbers. asv starts `rounds` processes per commit and keeps their samples in their order,
without saying where one ends: equal parts are taken for the processes.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench_harness.history.series import Point
from bench_harness.statistics.intervals import mean_interval, sd

CONFIDENCE = 0.95
NO_SAMPLES = "asv kept no samples"


@dataclass(frozen=True)
class Estimate:
    """A mean, with what is known of its spread.

    Args:
        mean: of the process means; without samples asv's own value, which of times is the median.
        sd: of the process means, with n - 1; None where there are fewer than two.
        n: processes; None where asv kept no samples.
        samples: how many samples they took.
        low: of the 95 % interval of the mean, `high` likewise; None without sd.
    """

    mean: float
    sd: float | None = None
    n: int | None = None
    samples: int = 0
    low: float | None = None
    high: float | None = None

    @classmethod
    def of_replicates(cls, values: Sequence[float], samples: int) -> "Estimate":
        """Return the estimate of one value per process."""
        mean = math.fsum(values) / len(values)
        if len(values) < 2:
            return cls(mean, n=len(values), samples=samples)
        span = mean_interval(values, CONFIDENCE)
        return cls(mean, sd(values), len(values), samples, span.low, span.high)


def estimate(point: Point, rounds: int | None) -> Estimate | None:
    """Return the estimate of a point, None where it has no value.

    Args:
        point: what asv kept of one commit.
        rounds: processes that asv started for it; None for a benchmark that has no rounds (track_, peakmem_), whose
            one value is that of one process.
    """
    if point.value is None:
        return None
    if point.samples:
        parts = process_means(point.samples, rounds or 1)
        return Estimate.of_replicates(parts, len(point.samples))
    return Estimate(point.value, n=None if rounds else 1)


def process_means(samples: Sequence[float], processes: int) -> list[float]:
    """Return the mean of each of so many equal, successive parts; parts differ by one sample where they must."""
    processes = max(1, min(processes, len(samples)))
    edges = [len(samples) * index // processes for index in range(processes + 1)]
    parts = [samples[start:end] for start, end in itertools.pairwise(edges)]
    return [math.fsum(part) / len(part) for part in parts]
