"""The nine architectures of the channel comparison, as tables.

All take views of 21^3 voxels in 4 channels and end in a single voxel. The number of an architecture says how it
shrinks the image: 0 is the first model, 1 does not downsample, 2 downsamples with padding as VGG does, 3 is as
shallow as 3^3 filters allow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from bench_core.models.tables import Architecture, SteerableConv, width_rule

VIEW_SIDE_VOXELS = 21
VIEW_CHANNELS = 4

_RECONSTRUCTED = (
    "The positions of the repeats are inferred from the published parameter count and memory; the memory of forward "
    "and backward comes out as 7.47 GB where 7.4 is printed, so the author's list may differ in a detail."
)


def _architecture(
    name: str,
    kernels: Sequence[int],
    copies: Sequence[int],
    strides: Sequence[int] | None = None,
    paddings: Sequence[int] | None = None,
    notes: str = "",
) -> Architecture:
    strides = strides or [1] * len(kernels)
    paddings = paddings or [0] * len(kernels)
    rows = zip(copies, kernels, strides, paddings, strict=True)
    layers = tuple(SteerableConv(*row) for row in rows)
    return Architecture(name, layers, VIEW_CHANNELS, VIEW_SIDE_VOXELS, notes=notes, reconstructed=bool(notes))


def _without_downsampling(name: str, width: int, kernel: int) -> Architecture:
    """Unpadded convolutions down to one voxel, as wide as the width rule says, up to 117 copies."""
    sides = range(VIEW_SIDE_VOXELS - kernel + 1, 0, 1 - kernel)
    return _architecture(name, [kernel] * len(sides), width_rule(sides, width, cap=117))


def _arch_2_deep() -> Architecture:
    """Two unpadded layers, then twice a stride among padded ones, then two unpadded; doubles at each stride."""
    return _architecture(
        "arch_2_width_14_repeats_4",
        kernels=[3] * 12,
        copies=[14] * 4 + [29] * 5 + [58] * 3,
        strides=[1] * 4 + [2] + [1] * 4 + [2] + [1] * 2,
        paddings=[0] * 2 + [1] * 8 + [0] * 2,
        notes=_RECONSTRUCTED,
    )


def _arch_3_deep() -> Architecture:
    """The five layers of the shallow variant, with four padded repeats after the first and the third."""
    return _architecture(
        "arch_3_width_14_repeats_4",
        kernels=[3] * 13,
        copies=[14] * 5 + [29] * 6 + [58] * 2,
        strides=[1] * 5 + [2] + [1] * 5 + [2, 1],
        paddings=[0] + [1] * 4 + [0] * 2 + [1] * 4 + [0] * 2,
    )


_IN_ORDER = (
    _architecture("arch_0", [5, 3, 3, 3, 3], [10, 20, 30, 40, 50], strides=[2, 1, 1, 1, 1]),
    _without_downsampling("arch_1_width_14_kernel_3", width=14, kernel=3),
    _without_downsampling("arch_1_width_7_kernel_3", width=7, kernel=3),
    _without_downsampling("arch_1_width_14_kernel_5", width=14, kernel=5),
    _without_downsampling("arch_1_width_7_kernel_5", width=7, kernel=5),
    _arch_2_deep(),
    _architecture(
        "arch_2_width_7_repeats_1",
        kernels=[3] * 6,
        copies=width_rule([19, 17, 9, 5, 3, 1], 7, cap=58),
        strides=[1, 1, 2, 2, 1, 1],
        paddings=[0, 0, 1, 1, 0, 0],
    ),
    _arch_3_deep(),
    _architecture(
        "arch_3_width_7_repeats_1",
        kernels=[3] * 5,
        copies=width_rule([19, 9, 7, 3, 1], 7, cap=58),
        strides=[1, 2, 1, 2, 1],
    ),
)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({table.name: table for table in _IN_ORDER})
"""Name -> table, in the order of the comparison."""
