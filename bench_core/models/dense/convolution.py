"""Convolutions of given filters, forward and backward, by the faster of two ways; and those of expanded weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bench_core.models.dense.expansion import Plan, contract_gradient, expand_filter
from bench_core.models.dense.scratch import Scratch


@dataclass(frozen=True)
class Geometry:
    """Stride and padding of a convolution of kernel^3 voxels."""

    kernel: int
    stride: int = 1
    padding: int = 0

    def out_side(self, side: int) -> int:
        return (side + 2 * self.padding - self.kernel) // self.stride + 1

    def as_matrix_product(self, side: int) -> bool:
        """Whether columns and one matrix product beat a direct convolution on a CPU (measured, batch 4 and 16).

        oneDNN brings the whole filter into a layout of its own, which costs more than the convolution where the
        output is a voxel or few: 3 to 7 times as much at 3 -> 1, 1.8 times at 7 -> 3 with stride 2.
        """
        out = self.out_side(side)
        return out == 1 or (self.stride > 1 and out <= 3)


def convolve(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Convolve x (N, C, D, H, W) with a filter (out, C, kernel^3)."""
    if not geometry.as_matrix_product(x.shape[-1]):
        kernels = _as_voxels(weight, geometry)
        return nn.functional.conv3d(x, kernels, stride=geometry.stride, padding=geometry.padding)
    side = geometry.out_side(x.shape[-1])
    out = _columns(x, geometry) @ weight.flatten(1).t()
    return out.view(len(x), -1, len(weight)).transpose(1, 2).contiguous().view(len(x), len(weight), *(side,) * 3)


def convolve_backward(
    grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, scratch: Scratch, needed: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of x and of the filter, None if not needed; the filter's lies in the scratch or is new."""
    if not geometry.as_matrix_product(x.shape[-1]):
        kernels, stride, padding = _as_voxels(weight, geometry), geometry.stride, geometry.padding
        mask = [*needed, False]
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad, x, kernels, None, [stride] * 3, [padding] * 3, [1] * 3, False, [0] * 3, 1, mask
        )
        return grad_x, grad_weight
    flat = grad.flatten(2).transpose(1, 2).reshape(-1, len(weight))
    grad_x = _uncolumn(flat @ weight.flatten(1), x, geometry) if needed[0] else None
    if not needed[1]:
        return grad_x, None
    grad_weight = scratch.take("gradient", weight.numel(), weight, weight.dtype).view(len(weight), -1)
    torch.mm(flat.t(), _columns(x, geometry), out=grad_weight)
    return grad_x, grad_weight


def _as_voxels(weight: Tensor, geometry: Geometry) -> Tensor:
    """View a filter (out, C, kernel^3) as (out, C, kernel, kernel, kernel)."""
    return weight.view(*weight.shape[:2], *(geometry.kernel,) * 3)


def _columns(x: Tensor, geometry: Geometry) -> Tensor:
    """Return what each output voxel sees: (N * out^3, C * kernel^3)."""
    kernel, stride = geometry.kernel, geometry.stride
    if geometry.padding:
        x = nn.functional.pad(x, (geometry.padding,) * 6)
    if x.shape[-1] == kernel:
        return x.flatten(1)
    seen = x.unfold(2, kernel, stride).unfold(3, kernel, stride).unfold(4, kernel, stride)
    return seen.permute(0, 2, 3, 4, 1, 5, 6, 7).reshape(-1, x.shape[1] * kernel**3)


def _uncolumn(columns: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
    """Return the gradient of x from that of its columns."""
    kernel, stride, padding = geometry.kernel, geometry.stride, geometry.padding
    side, out = x.shape[-1], geometry.out_side(x.shape[-1])
    if side == kernel and not padding:
        return columns.view(x.shape)
    grad = columns.new_zeros(*x.shape[:2], *(side + 2 * padding,) * 3)
    seen = columns.view(len(x), out, out, out, x.shape[1], kernel, kernel, kernel).permute(0, 4, 1, 2, 3, 5, 6, 7)
    reach = stride * (out - 1) + 1
    for a in range(kernel):
        for b in range(kernel):
            for c in range(kernel):
                grad[:, :, a : a + reach : stride, b : b + reach : stride, c : c + reach : stride] += seen[..., a, b, c]
    inside = slice(padding, padding + side)
    return grad[:, :, inside, inside, inside].contiguous() if padding else grad


class Convolution(torch.autograd.Function):
    """A convolution with the filter that weights expand to, which is expanded again for the backward pass.

    `apply(x, weights, order, plan, geometry, scratch, *bases)`. No filter is saved, and no filter's gradient outlives
    this layer's backward pass.
    """

    @staticmethod
    def forward(
        x: Tensor, weights: Tensor, order: Tensor, plan: Plan, geometry: Geometry, scratch: Scratch, *bases: Tensor
    ) -> Tensor:
        return convolve(x, _expanded(weights, order, bases, plan, x.dtype, scratch), geometry)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weights, order, ctx.plan, ctx.geometry, ctx.scratch, *bases = inputs
        ctx.save_for_backward(x, weights, order, *bases)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weights, order, *bases = ctx.saved_tensors
        kernels = _expanded(weights, order, tuple(bases), ctx.plan, x.dtype, ctx.scratch)
        needed = ctx.needs_input_grad[:2]
        grad_x, grad_kernels = convolve_backward(grad.contiguous(), x, kernels, ctx.geometry, ctx.scratch, needed)
        grad_weights = None if grad_kernels is None else contract_gradient(grad_kernels, order, bases, ctx.plan)
        return (grad_x, grad_weights, None, None, None, None, *(None for _ in bases))


def _expanded(
    weights: Tensor, order: Tensor, bases: tuple[Tensor, ...], plan: Plan, dtype: torch.dtype, scratch: Scratch
) -> Tensor:
    buffer = scratch.take("filter", plan.filter_elements, weights, dtype)
    return expand_filter(weights, order, list(bases), plan, dtype, out=buffer)
