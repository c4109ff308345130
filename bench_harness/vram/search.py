"""The largest value whose step fits into a limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench_harness.errors import UsageError

MAX_GROWTH = 4
MAX_VALUE = 1 << 24


@dataclass
class Solution:
    """The largest value that fits, its prediction, and every value tried with its peak."""

    value: int
    prediction: dict[str, Any]
    tried: dict[int, int] = field(default_factory=dict)


def largest_that_fits(predict: Callable[[int], dict[str, Any]], limit_bytes: int, name: str, step: int = 1) -> Solution:
    """Search the multiples of `step`; assumes that a larger value never needs less.

    It grows at most fourfold per trial, guided by the last peak, until one does not fit, and then narrows down between
    the two, by interpolation and halving in turn.

    Raises:
        UsageError: not even `step` fits, or every value up to 16 million does.
    """
    tried: dict[int, dict[str, Any]] = {}

    def peak_bytes(count: int) -> int:
        if count not in tried:
            tried[count] = predict(count * step)
        peak: int = tried[count]["peak_bytes"]
        return peak

    if peak_bytes(1) > limit_bytes:
        raise UsageError(f"--limit: {name}={step} alone needs {peak_bytes(1):,} bytes, {limit_bytes:,} are allowed")
    low, high = 1, _first_too_large(peak_bytes, limit_bytes, name, step)
    low = max(count for count in tried if count < high)
    halve = False
    while high - low > 1:
        middle = (low + high) // 2 if halve else _between(low, high, peak_bytes, limit_bytes)
        halve = not halve
        low, high = (middle, high) if peak_bytes(middle) <= limit_bytes else (low, middle)
    seen = {count * step: tried[count]["peak_bytes"] for count in sorted(tried)}
    return Solution(low * step, tried[low], seen)


def _first_too_large(peak_bytes: Callable[[int], int], limit_bytes: int, name: str, step: int) -> int:
    count = 1
    while peak_bytes(count) <= limit_bytes:
        if count * step > MAX_VALUE:
            raise UsageError(f"--solve {name}: {count * step:,} still fits; does the callable use {name} at all?")
        count *= max(2, min(MAX_GROWTH, int(limit_bytes / peak_bytes(count))))
    return count


def _between(low: int, high: int, peak_bytes: Callable[[int], int], limit_bytes: int) -> int:
    below, above = peak_bytes(low), peak_bytes(high)
    share = (limit_bytes - below) / max(1, above - below)
    return min(high - 1, max(low + 1, low + int(share * (high - low))))
