"""How far a benchmark's value moves from commit to commit: what a change must exceed before it means anything."""

import itertools
import math
import statistics
from collections.abc import Sequence

from bench_harness.alert.findings import Noise
from bench_harness.statistics.student import t_quantile

# Below this many successive ratios a history says nothing of its own: the floor stands in for it.
ENOUGH = 3
# A fresh process has a CPU level of its own, 2 % apart (standard deviation); the ratio of two has sqrt(2) of it. What
# else there is, such as the load of others, only a history tells.
TIME_FLOOR = 0.028
UNKNOWN_TIME = 0.05
# Memory and counts move by pages and by what the allocator kept.
OTHER_FLOOR = 0.005
# The median of |x| of a normal distribution is 0.6745 standard deviations.
_MAD_TO_SD = 1.4826
# A median of n values is as good as the standard deviation of 0.37 n (its efficiency for a normal distribution).
_EFFICIENCY = 0.37


def noise_of(values: Sequence[float], *, is_time: bool) -> Noise:
    """Return the noise of a series of positive values in the order of commits; values <= 0 are left out.

    Of the successive log ratios the median absolute value is taken, so that single steps and outliers, which are what
    one is looking for, do not count as noise. Of a few it may be far too small by chance: it is widened as Student's t
    is, so that twice the result bounds 95 %.
    """
    logs = [math.log(value) for value in values if value > 0]
    sizes = sorted(abs(b - a) for a, b in itertools.pairwise(logs))
    floor = TIME_FLOOR if is_time else OTHER_FLOOR
    if len(sizes) < ENOUGH:
        return Noise(UNKNOWN_TIME if is_time else OTHER_FLOOR, len(sizes), sizes[-1] if sizes else 0.0)
    robust = _MAD_TO_SD * statistics.median(sizes) * _widening(len(sizes))
    return Noise(max(floor, robust), len(sizes), sizes[-1], exact=sizes[-1] == 0.0)


def _widening(changes: int) -> float:
    degrees = max(1.0, _EFFICIENCY * changes)
    return t_quantile(0.975, degrees) / t_quantile(0.975, 1e6)


def is_time(unit: str | None) -> bool:
    """Tell whether a unit is one of durations, which depend on the machine's mood."""
    return unit is None or unit.lower() in ("seconds", "nanoseconds", "milliseconds", "microseconds", "s", "ms", "us")
