"""Base and head, ready to be measured: what every way of naming them comes to."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

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
        details: asked then too: how the sides were measured, as a record holds it under results.sides.
    """

    a: Side
    b: Side
    metrics: Collection[str]
    base_commit: str | None = None
    head_commit: str | None = None
    build_s: float = 0.0
    warnings: Callable[[], list[str]] = field(default=list)
    details: Callable[[], dict[str, Any]] = field(default=dict)
