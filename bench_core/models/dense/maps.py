"""Steerable convolutions and linear maps as modules: weights, and the fixed kernels that they multiply."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench_core.models.dense.convolution import Convolution, Geometry, convolve
from bench_core.models.dense.expansion import Expand, plan_of
from bench_core.models.dense.scratch import Scratch
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
            deviations = he_deviations(self.basis, self.in_type.copies).repeat(
                len(self.weights) // self.basis.dimension
            )
            self.weights.copy_(deviations * torch.randn_like(self.weights))
            if self.bias is not None:
                self.bias.zero_()

    def expand(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the filter, (out channels, in channels, kernel^3), with its gradient."""
        out: Tensor = Expand.apply(  # type: ignore[no-untyped-call]
            self.weights, self.order, self.plan, dtype, *self.bases
        )
        return out

    def extra_repr(self) -> str:
        return (
            f"{self.in_type.copies} x {self.in_type.field_size} -> {self.out_type.copies} x {self.out_type.field_size}"
        )


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
        x = to_type_of_work(x, self.weights)
        if self.recompute:
            out: Tensor = Convolution.apply(  # type: ignore[no-untyped-call]
                x, self.weights, self.order, self.plan, self.geometry, self.scratch, *self.bases
            )
            return out
        return convolve(x, self.expand(x.dtype), self.geometry)


class SteerableLinear(SteerableMap):
    """An equivariant linear map: x (N, in channels) -> (N, out channels), with its bias."""

    def __init__(self, in_type: FieldType, out_type: FieldType) -> None:
        super().__init__(in_type, out_type, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        x = to_type_of_work(x, self.weights)
        out = x @ self.expand(x.dtype).flatten(1).t()
        fields = out.view(len(x), self.out_type.copies, -1)
        trivials = self.out_type.trivials
        bias = nn.functional.pad(self.bias, (0, self.out_type.field_size - trivials))  # type: ignore[arg-type]
        biased: Tensor = fields + bias.to(out.dtype)
        return biased.flatten(1)


def to_type_of_work(x: Tensor, weights: Tensor) -> Tensor:
    """Return x in the type that autocast asks for on its device, if it is on; else in that of the weights."""
    device = x.device.type
    if device == "meta" or not torch.is_autocast_enabled(device):  # which does not know the meta device
        return x.to(weights.dtype)
    return x.to(torch.get_autocast_dtype(device))
