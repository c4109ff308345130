"""From weights to filters, and from the gradient of a filter to that of the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bench_core.errors import ModelError
from bench_core.models.so3.kernels import KernelBasis, size_of


@dataclass(frozen=True)
class BlockPlan:
    """Where one block of a kernel basis lies: in the sorted weights of a pair of fields, and in the filter."""

    first_weight: int
    n_weights: int
    copies_out: int
    copies_in: int
    out_start: int
    out_dimension: int
    in_start: int
    in_dimension: int

    @property
    def n_kernels(self) -> int:
        return self.n_weights // (self.copies_out * self.copies_in)

    @property
    def out_stop(self) -> int:
        return self.out_start + self.copies_out * self.out_dimension

    @property
    def in_stop(self) -> int:
        return self.in_start + self.copies_in * self.in_dimension


@dataclass(frozen=True)
class Plan:
    """How the filter between `n_in` input and `n_out` output fields is made of its weights. No tensors in here.

    The filter has the shape (n_out * out_size, n_in * in_size, points).
    """

    n_out: int
    n_in: int
    out_size: int
    in_size: int
    points: int
    dimension: int
    blocks: tuple[BlockPlan, ...]

    @property
    def filter_elements(self) -> int:
        return self.n_out * self.out_size * self.n_in * self.in_size * self.points

    @property
    def covers_filter(self) -> bool:
        """Whether every element of the filter belongs to a block."""
        elements = ((b.out_stop - b.out_start) * (b.in_stop - b.in_start) for b in self.blocks)
        return sum(elements) == self.out_size * self.in_size


def plan_of(basis: KernelBasis, n_in: int, n_out: int) -> tuple[Plan, Tensor, list[Tensor]]:
    """Return the plan, the order that sorts a pair's weights by block (dimension,), and each block's basis,
    (out dimension, b, in dimension * points).

    Raises:
        ModelError: no kernel leads from any of these irreps to any other.
        ValueError: the irreps of a field are not sorted by degree, so that a block is not one piece of the filter.
    """
    if not basis.blocks:
        raise ModelError(
            f"no steerable filter of {basis.kernel}^3 voxels leads from irreps of degrees "
            f"{sorted(set(basis.in_degrees))} to {sorted(set(basis.out_degrees))}: use another kernel or degrees"
        )
    blocks, order, first = [], [], 0
    for block in basis.blocks:
        for channels in (block.out_channels, block.in_channels):
            if (np.diff(channels.reshape(-1)) != 1).any():
                raise ValueError(f"sort the irreps of a field by degree, not {basis.in_degrees}, {basis.out_degrees}")
        blocks.append(
            BlockPlan(
                first,
                block.weights.size,
                block.weights.shape[0],
                block.weights.shape[1],
                int(block.out_channels[0, 0]),
                2 * block.out_degree + 1,
                int(block.in_channels[0, 0]),
                2 * block.in_degree + 1,
            )
        )
        order.append(block.weights.reshape(-1))
        first += block.weights.size
    plan = Plan(
        n_out,
        n_in,
        size_of(basis.out_degrees),
        size_of(basis.in_degrees),
        basis.kernel**3,
        basis.dimension,
        tuple(blocks),
    )
    # (out dimension, b, in dimension * S): one matrix product per row of the irrep, in the order the filter has it.
    bases = [
        torch.from_numpy(np.ascontiguousarray(block.basis.swapaxes(0, 1)).reshape(*block.basis.shape[1::-1], -1))
        for block in basis.blocks
    ]
    return plan, torch.from_numpy(np.concatenate(order)), bases


def expand_filter(
    weights: Tensor, order: Tensor, bases: list[Tensor], plan: Plan, dtype: torch.dtype, out: Tensor | None = None
) -> Tensor:
    """Return the filter of flat `weights` (n_out * n_in * dimension,) in `dtype`, in `out` if given; no gradients."""
    pairs = weights.view(plan.n_out, plan.n_in, plan.dimension)[:, :, order].to(dtype)
    if out is None:
        out = weights.new_empty(plan.filter_elements, dtype=dtype)
    out = out.view(plan.n_out, plan.out_size, plan.n_in, plan.in_size * plan.points)
    if not plan.covers_filter:
        out.zero_()
    bases = [basis.to(dtype) for basis in bases]
    for start, stop in _chunks(plan, out.element_size()):
        for block, basis in zip(plan.blocks, bases, strict=True):
            coefficients = _coefficients(pairs[start:stop], block)
            product = torch.matmul(coefficients.reshape(-1, block.n_kernels), basis)
            _piece(out[start:stop], block, plan).copy_(
                product.view(block.out_dimension, stop - start, block.copies_out, plan.n_in, -1).permute(1, 2, 0, 3, 4)
            )
    return out.view(plan.n_out * plan.out_size, plan.n_in * plan.in_size, plan.points)


def contract_gradient(grad: Tensor, order: Tensor, bases: list[Tensor], plan: Plan) -> Tensor:
    """Return the gradient of the flat weights from that of the filter (its shape), in float32 or better."""
    dtype = torch.promote_types(grad.dtype, torch.float32)
    grad = grad.reshape(plan.n_out, plan.out_size, plan.n_in, plan.in_size * plan.points)
    out = torch.empty(plan.n_out, plan.n_in, plan.dimension, dtype=dtype, device=grad.device)
    bases = [basis.to(grad.dtype).transpose(1, 2) for basis in bases]
    for start, stop in _chunks(plan, grad.element_size()):
        for block, basis in zip(plan.blocks, bases, strict=True):
            piece = _piece(grad[start:stop], block, plan).permute(2, 0, 1, 3, 4)
            rows = piece.reshape(block.out_dimension, -1, block.in_dimension * plan.points)
            by_row = torch.matmul(rows, basis).sum(0, dtype=dtype)
            coefficients = by_row.view(stop - start, block.copies_out, plan.n_in, block.copies_in, -1).transpose(1, 2)
            chosen = order[block.first_weight : block.first_weight + block.n_weights]
            out[start:stop, :, chosen] = coefficients.reshape(stop - start, plan.n_in, block.n_weights)
    return out.view(-1)


_CHUNK_BYTES = 1 << 22


def _chunks(plan: Plan, element_bytes: int) -> list[tuple[int, int]]:
    """Split the output fields so that what is between product and filter stays in the processor's cache."""
    if torch.compiler.is_compiling():
        return [(0, plan.n_out)]
    per_field = plan.out_size * plan.n_in * plan.in_size * plan.points * element_bytes // 2
    step = max(1, _CHUNK_BYTES // per_field)
    return [(start, min(start + step, plan.n_out)) for start in range(0, plan.n_out, step)]


def _coefficients(pairs: Tensor, block: BlockPlan) -> Tensor:
    """Return a block's coefficients, (n_out, copies_out, n_in, copies_in, b)."""
    chosen = pairs[:, :, block.first_weight : block.first_weight + block.n_weights]
    return chosen.view(*chosen.shape[:2], block.copies_out, block.copies_in, -1).transpose(1, 2)


def _piece(whole: Tensor, block: BlockPlan, plan: Plan) -> Tensor:
    """View a block's part of a filter as (n_out, copies_out, out dimension, n_in, copies_in * in dimension * S)."""
    piece = whole[:, block.out_start : block.out_stop, :, block.in_start * plan.points : block.in_stop * plan.points]
    return piece.view(len(piece), block.copies_out, block.out_dimension, plan.n_in, -1)


class Expand(torch.autograd.Function):
    """The filter of weights, with its gradient: `Expand.apply(weights, order, plan, dtype, *bases)`."""

    @staticmethod
    def forward(weights: Tensor, order: Tensor, plan: Plan, dtype: torch.dtype, *bases: Tensor) -> Tensor:
        return expand_filter(weights, order, list(bases), plan, dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, order, plan, _, *bases = inputs
        ctx.save_for_backward(order, *bases)
        ctx.plan = plan

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        order, *bases = ctx.saved_tensors
        return (contract_gradient(grad, order, bases, ctx.plan), None, None, None, *(None for _ in bases))
