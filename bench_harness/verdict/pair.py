"""Base and head, ready to be measured: what every way of naming them comes to."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from bench_harness.verdict.sides import Side


@dataclass
class Pair:
    """Two sides and what is known of them before the first round.

    Args:
        a, b: base and head.
        metrics: that are asked for.
        base_commit, head_commit: where the sides are commits.
        build_s: wall seconds it took to make them ready.
        warnings: asked once all rounds are over, so that sides may add to what they return.
    """

    a: Side
    b: Side
    metrics: Collection[str]
    base_commit: str | None = None
    head_commit: str | None = None
    build_s: float = 0.0
    warnings: Callable[[], list[str]] = field(default=list)
