"""Convolutional networks for pairs of views: tables of layers, and the modules built from them.

`build("arch_0")` is the network of a table in `ARCHITECTURES`. Tables load without torch; building imports it.
"""

from __future__ import annotations

from bench_core.models.architectures import ARCHITECTURES
from bench_core.models.building import BACKENDS, build, find_architecture
from bench_core.models.tables import (
    Architecture,
    Conv,
    Linear,
    Pool,
    ResidualBlock,
    SteerableConv,
    width_rule,
)

__all__ = [
    "ARCHITECTURES",
    "BACKENDS",
    "Architecture",
    "Conv",
    "Linear",
    "Pool",
    "ResidualBlock",
    "SteerableConv",
    "build",
    "find_architecture",
    "width_rule",
]
