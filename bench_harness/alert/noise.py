"""How far a benchmark's value moves from commit to commit: what a change must exceed before it means anything."""

import itertools
import math
import statistics
from collections.abc import Sequence

from bench_harness.alert.findings import Noise

# Below this many successive ratios a history says nothing of its own: the floor stands in for it.
ENOUGH = 3
# A fresh process has a CPU level of its own, 2 % apart (standard deviation); the ratio of two has sqrt(2) of it.
TIME_FLOOR = 0.028
# Memory and counts move by pages and by what the allocator kept.
OTHER_FLOOR = 0.005
# The median of |x| of a normal distribution is 0.6745 standard deviations.
_MAD_TO_SD = 1.4826


def noise_of(values: Sequence[float], *, is_time: bool) -> Noise:
    """Return the noise of a series of positive values in the order of commits; values <= 0 are left out.

    Of the successive log ratios the median absolute value is taken, so that single steps and outliers, which are what
    one is looking for, do not count as noise.
    """
    logs = [math.log(value) for value in values if value > 0]
    changes = [b - a for a, b in itertools.pairwise(logs)]
    sizes = sorted(abs(change) for change in changes)
    floor = TIME_FLOOR if is_time else OTHER_FLOOR
    if len(sizes) < ENOUGH:
        return Noise(floor, len(sizes), sizes[-1] if sizes else 0.0)
    robust = _MAD_TO_SD * statistics.median(sizes)
    return Noise(max(floor, robust), len(sizes), sizes[-1], exact=sizes[-1] == 0.0)


def is_time(unit: str | None) -> bool:
    """Tell whether a unit is one of durations, which depend on the machine's mood."""
    return unit is None or unit.lower() in ("seconds", "nanoseconds", "milliseconds", "microseconds", "s", "ms", "us")
