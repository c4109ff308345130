"""Steerable convolutions and linear maps: weights times fixed kernels, then an ordinary convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench_core.models.dense.expansion import Expand, Plan, contract_gradient, expand_filter, plan_of
from bench_core.models.so3.kernels import Degrees, KernelBasis, kernel_basis, size_of


@dataclass(frozen=True)
class FieldType:
    """`copies` of a field whose channels are the irreps `degrees`, sorted by degree."""

    degrees: Degrees
    copies: int

    @property
    def field_size(self) -> int:
        return size_of(self.degrees)

    @property
    def trivials(self) -> int:
        """Irreps of degree 0 in one field."""
        return self.degrees.count(0)

    @property
    def channels(self) -> int:
        return self.copies * self.field_size


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


class Scratch:
    """Memory that layers take turns in, on the CPU: new memory costs a page fault per 4 kB, 0.1 s for 265 MB.

    What is taken is valid until the same name is taken again. Copies and pickles of it are empty.
    """

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, elements: int, like: Tensor, dtype: torch.dtype) -> Tensor:
        """Return a flat, uninitialised tensor of `elements` on the device of `like`."""
        if like.device.type != "cpu" or torch.compiler.is_compiling() or type(like) not in (Tensor, nn.Parameter):
            return torch.empty(elements, dtype=dtype, device=like.device)
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.numel() < elements:
            self._buffers.pop((name, dtype), None)
            buffer = self._buffers[name, dtype] = torch.empty(elements, dtype=dtype)
        return buffer[:elements]

    def __deepcopy__(self, memo: Any) -> Scratch:
        return Scratch()

    def __reduce__(self) -> tuple[type[Scratch], tuple[()]]:
        return Scratch, ()


def convolve(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Convolve x (N, C, D, H, W) with a filter (out, C, kernel^3)."""
    if not geometry.as_matrix_product(x.shape[-1]):
        kernels = weight.unflatten(2, (geometry.kernel,) * 3)
        return nn.functional.conv3d(x, kernels, stride=geometry.stride, padding=geometry.padding)
    side = geometry.out_side(x.shape[-1])
    out = _columns(x, geometry) @ weight.flatten(1).t()
    return out.view(len(x), -1, len(weight)).transpose(1, 2).contiguous().view(len(x), len(weight), *(side,) * 3)


def convolve_backward(
    grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, scratch: Scratch, input_needs_grad: bool
) -> tuple[Tensor | None, Tensor]:
    """Return the gradients of x (None if not needed) and of the filter, which lies in the scratch or is new."""
    if not geometry.as_matrix_product(x.shape[-1]):
        kernels, stride, padding = weight.unflatten(2, (geometry.kernel,) * 3), geometry.stride, geometry.padding
        mask = [input_needs_grad, True, False]
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad, x, kernels, None, [stride] * 3, [padding] * 3, [1] * 3, False, [0] * 3, 1, mask
        )
        return grad_x, grad_weight
    flat = grad.flatten(2).transpose(1, 2).reshape(-1, len(weight))
    grad_weight = scratch.take("gradient", weight.numel(), weight, weight.dtype).view(len(weight), -1)
    torch.mm(flat.t(), _columns(x, geometry), out=grad_weight)
    grad_x = _uncolumn(flat @ weight.flatten(1), x, geometry) if input_needs_grad else None
    return grad_x, grad_weight


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
    return grad[(..., *(slice(padding, padding + side),) * 3)].contiguous() if padding else grad


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
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weights, order, *bases = ctx.saved_tensors
        kernels = _expanded(weights, order, tuple(bases), ctx.plan, x.dtype, ctx.scratch)
        needed = ctx.needs_input_grad[0]
        grad_x, grad_kernels = convolve_backward(grad.contiguous(), x, kernels, ctx.geometry, ctx.scratch, needed)
        grad_weights = contract_gradient(grad_kernels, order, bases, ctx.plan)
        return (grad_x, grad_weights, None, None, None, None, *(None for _ in bases))


def _expanded(
    weights: Tensor, order: Tensor, bases: tuple[Tensor, ...], plan: Plan, dtype: torch.dtype, scratch: Scratch
) -> Tensor:
    buffer = scratch.take("filter", plan.filter_elements, weights, dtype)
    return expand_filter(weights, order, list(bases), plan, dtype, out=buffer)


class SteerableMap(nn.Module):
    """Weights that expand to an equivariant filter between two field types; the base of convolution and linear map.

    `weights` is flat, in the order of escnn's: output field, input field, kernel. `bias`, one per trivial irrep of the
    output, is added by whoever uses the layer (`bench_core.models.dense.layers`).
    """

    order: Tensor

    def __init__(self, in_type: FieldType, out_type: FieldType, kernel: int, *, bias: bool) -> None:
        super().__init__()
        self.in_type = in_type
        self.out_type = out_type
        self.basis: KernelBasis = kernel_basis(in_type.degrees, out_type.degrees, kernel)
        self.plan, order, bases = plan_of(self.basis, in_type.copies, out_type.copies)
        self.register_buffer("order", order, persistent=False)
        for number, basis in enumerate(bases):
            self.register_buffer(f"basis_{number}", basis, persistent=False)
        self.weights = nn.Parameter(torch.empty(out_type.copies * in_type.copies * self.basis.dimension))
        self.bias = nn.Parameter(torch.zeros(out_type.copies, out_type.trivials)) if bias else None
        self.reset_parameters()

    @property
    def bases(self) -> list[Tensor]:
        """The sampled kernels of each block."""
        return [getattr(self, f"basis_{number}") for number in range(len(self.plan.blocks))]

    def reset_parameters(self) -> None:
        """Draw the weights from a normal distribution with the deviations of escnn's generalised He initialisation."""
        with torch.no_grad():
            deviations = he_deviations(self.basis, self.in_type.copies).repeat(len(self.weights) // self.basis.dimension)
            self.weights.copy_(deviations * torch.randn_like(self.weights))
            if self.bias is not None:
                self.bias.zero_()

    def expand(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the filter, (out channels, in channels, kernel^3), with its gradient."""
        filter_: Tensor = Expand.apply(self.weights, self.order, self.plan, dtype, *self.bases)
        return filter_

    def extra_repr(self) -> str:
        return f"{self.in_type.copies} x {self.in_type.field_size} -> {self.out_type.copies} x {self.out_type.field_size}"


def he_deviations(basis: KernelBasis, n_in: int) -> Tensor:
    """Return the standard deviation of each weight of a pair of fields, (dimension,).

    One over the root of (input degrees that reach this output irrep) x (kernels from irreps of that degree to it, in
    all input fields): Weiler and Cesa 2019, arXiv:1911.08251, as escnn.nn.init.generalized_he_init has it.
    """
    reaching: dict[int, int] = {}
    for block in basis.blocks:
        reaching[block.out_degree] = reaching.get(block.out_degree, 0) + 1
    out = torch.empty(basis.dimension)
    for block in basis.blocks:
        kernels = block.weights.shape[1] * block.weights.shape[2] * n_in
        out[torch.from_numpy(block.weights.reshape(-1))] = 1 / math.sqrt(reaching[block.out_degree] * kernels)
    return out


class SteerableConv3d(SteerableMap):
    """An equivariant convolution: x (N, in channels, D, H, W) -> (N, out channels, D', H', W'), without its bias."""

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        *,
        bias: bool = False,
        recompute: bool = True,
        scratch: Scratch | None = None,
    ) -> None:
        super().__init__(in_type, out_type, kernel, bias=bias)
        self.geometry = Geometry(kernel, stride, padding)
        self.recompute = recompute
        self.scratch = scratch or Scratch()

    def forward(self, x: Tensor) -> Tensor:
        x = to_autocast(x)
        if self.recompute:
            out: Tensor = Convolution.apply(
                x, self.weights, self.order, self.plan, self.geometry, self.scratch, *self.bases
            )
            return out
        return convolve(x, self.expand(x.dtype), self.geometry)


class SteerableLinear(SteerableMap):
    """An equivariant linear map: x (N, in channels) -> (N, out channels), with its bias."""

    def __init__(self, in_type: FieldType, out_type: FieldType) -> None:
        super().__init__(in_type, out_type, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        x = to_autocast(x)
        out = x @ self.expand(x.dtype).flatten(1).t()
        fields = out.unflatten(1, (self.out_type.copies, -1))
        trivials = self.out_type.trivials
        bias = nn.functional.pad(self.bias, (0, self.out_type.field_size - trivials))  # type: ignore[arg-type]
        return (fields + bias.to(out.dtype)).flatten(1)


def to_autocast(x: Tensor) -> Tensor:
    """Return x in the type that autocast asks for on its device, if it is on."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x
