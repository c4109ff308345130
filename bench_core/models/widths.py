"""How wide a layer should be: the rule of the architectures that grow as their images shrink."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench_core.errors import ModelError
from bench_core.models.table_layers import regular_channels


def width_rule(sides: Sequence[int], width: int, cap: int | None = None, *, band_limit: int = 2) -> tuple[int, ...]:
    """Copies of the regular representation for each layer, in inverse proportion to its output side.

    Target channels of a layer are `d * width * sides[0] / side`, with d the channels of one copy (35 at band limit 2,
    84 at 3); the copies are those that the nearest power of two holds in full, at least 1 and at most `cap`.

    Args:
        sides: output side of each layer, voxels.
        width: copies of the first layer, before rounding.
        cap: largest number of copies; None for no limit.

    Raises:
        ModelError: a side, the width or the cap is below 1, or the band limit below 0.
    """
    if not sides or min(sides) < 1 or width < 1 or band_limit < 0 or (cap is not None and cap < 1):
        raise ModelError(
            f"width_rule: sides {list(sides)}, width {width}, cap {cap}, band limit {band_limit}: sides, width and cap "
            "must be at least 1, the band limit at least 0"
        )
    channels = regular_channels(band_limit)
    copies = [copies_within(nearest_power_of_two(channels * width * sides[0] / side), channels) for side in sides]
    return tuple(copies if cap is None else (min(number, cap) for number in copies))


def nearest_power_of_two(target: float) -> int:
    """The power of two with the smallest ratio to the target (>= 1); of two equally near ones the larger."""
    return int(2 ** math.floor(math.log2(target) + 0.5))


def copies_within(channels: int, copy_channels: int) -> int:
    """Whole copies that fit into so many channels, at least one."""
    return max(1, channels // copy_channels)
