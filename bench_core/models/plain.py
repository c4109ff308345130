"""Modules built from plain tables: a convolution is followed by ReLU, a Linear too unless it is the last.

ReLU stands for the leaky and exponential units of some of the papers; it changes neither shapes nor parameters.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench_core.errors import ModelError
from bench_core.models.table_layers import Shape, per_axis
from bench_core.models.tables import Architecture, Conv, Layer, Linear, Pool

_CONVOLUTIONS: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_NORMS: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_PADS: dict[int, type[nn.Module]] = {1: nn.ConstantPad1d, 2: nn.ConstantPad2d, 3: nn.ConstantPad3d}
_POOLS: dict[tuple[str, int], type[nn.Module]] = {
    ("max", 1): nn.MaxPool1d,
    ("max", 2): nn.MaxPool2d,
    ("max", 3): nn.MaxPool3d,
    ("avg", 1): nn.AvgPool1d,
    ("avg", 2): nn.AvgPool2d,
    ("avg", 3): nn.AvgPool3d,
}


def build_plain(architecture: Architecture) -> nn.Sequential:
    """Build a plain table: (batch, channels, voxels along each axis) -> (batch, features), or the last image.

    One submodule per row, `row_1` onwards. Build under `torch.device("meta")` to count without memory.

    Raises:
        ModelError: the table is steerable, or its images have other than one to three dimensions.
    """
    if architecture.steerable:
        raise ModelError(f"{architecture.name}: its convolutions are steerable; this builds plain tables only")
    if architecture.dimensions not in _CONVOLUTIONS:
        raise ModelError(f"{architecture.name}: images of {architecture.dimensions} dimensions; use 1, 2 or 3")
    inputs = zip(
        (architecture.input_channels, *architecture.channels()),
        (architecture.input_shape, *architecture.shapes()),
        architecture.layers,
        strict=False,
    )
    rows: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (channels, shape, layer) in enumerate(inputs, 1):
        last = number == len(architecture.layers)
        rows[f"row_{number}"] = _row(layer, channels, shape, last, architecture.batch_norm)
    return nn.Sequential(rows)


def forward_flops(module: nn.Module, input_channels: int, input_shape: tuple[int, ...], batch: int = 1) -> int:
    """Of one forward, counted without running it if the module is on the meta device; a multiply-add is two.

    Counted in eval mode, so that norms take a single image and keep their statistics; the modes are put back.
    """
    device = next(module.parameters()).device
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.empty((batch, input_channels, *input_shape), device=device))
    finally:
        for part, training in modes:
            part.training = training
    return int(counter.get_total_flops())


def _row(layer: Layer, channels: int, shape: tuple[int, ...], last: bool, batch_norm: bool) -> nn.Module:
    if isinstance(layer, Conv):
        return _convolution(layer, channels, len(shape), batch_norm)
    if isinstance(layer, Pool):
        assert layer.stride is not None  # the kernel, where none was given
        extents = (per_axis(extent, len(shape)) for extent in (layer.kernel, layer.stride, layer.padding))
        return _POOLS[layer.kind, len(shape)](*extents)
    assert isinstance(layer, Linear)
    features = channels * int(torch.Size(shape).numel())
    linear: list[nn.Module] = [nn.Flatten(), nn.Linear(features, layer.features)]
    return nn.Sequential(*linear) if last else nn.Sequential(*linear, nn.ReLU())


def _convolution(layer: Conv, channels: int, dimensions: int, batch_norm: bool) -> nn.Module:
    kernel = per_axis(layer.kernel, dimensions)
    pads: list[nn.Module] = []
    if layer.padding == "same":
        # PyTorch's own "same" copies the image too where a kernel is even, and warns of it.
        pads = [_PADS[dimensions](_same_pads(kernel), 0.0)] if any(side % 2 == 0 for side in kernel) else []
        padding = per_axis(0, dimensions) if pads else tuple(side // 2 for side in kernel)
    else:
        padding = per_axis(layer.padding, dimensions)
    convolution = _CONVOLUTIONS[dimensions](
        channels,
        layer.channels,
        kernel,
        per_axis(layer.stride, dimensions),
        padding,
        groups=channels if layer.depthwise else 1,
        bias=not batch_norm,
    )
    norms = [_NORMS[dimensions](layer.channels)] if batch_norm else []
    return nn.Sequential(*pads, convolution, *norms, nn.ReLU())


def _same_pads(kernel: Shape) -> Shape:
    """Zeros at the near and the far end of each axis, the last axis first."""
    return tuple(pad for side in reversed(kernel) for pad in ((side - 1) // 2, side // 2))
