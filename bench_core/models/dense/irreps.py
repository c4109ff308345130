"""Fields of mixed irreps: their batch normalisation, their gates, and what in them is invariant to rotations.

A field of mixed irreps is one field with all irreps of degree 0 first, then those of degree 1, and so on: what several
fields between two layers decompose into, tensor products among them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench_core.models.dense.activation import FieldStatistics
from bench_core.models.dense.maps import FieldType, SteerableConv3d
from bench_core.models.dense.scratch import Scratch
from bench_core.models.so3.fourier import sphere_matrix
from bench_core.models.so3.grids import rotation_grid
from bench_core.models.so3.kernels import Degrees, quotient_degrees


def mixed_type(multiplicities: Mapping[int, int]) -> FieldType:
    """Return one field that holds so many irreps of each degree."""
    return FieldType(tuple(degree for degree, count in sorted(multiplicities.items()) for _ in range(count)), 1)


class IrrepNorm(nn.Module):
    """Batch normalisation of each irrep by its variance; irreps of degree 0 are centred, and have a shift, as well."""

    def __init__(self, degrees: Degrees) -> None:
        super().__init__()
        self.degrees = tuple(sorted(Counter(degrees).items()))
        self.statistics = nn.ModuleList(
            FieldStatistics(count, 2 * degree + 1, trivials=int(degree == 0)) for degree, count in self.degrees
        )

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        """Return x's shape for x (views * B, channels, ...), each view normalised by itself."""
        scales, shifts, start = [], [], 0
        for statistics, (degree, count) in zip(self.statistics, self.degrees, strict=True):
            size = 2 * degree + 1
            stop = start + count * size
            scale, shift = statistics(x[:, start:stop], views)
            scales.append(scale.repeat_interleave(size, dim=1))
            shifts.append(nn.functional.pad(shift, (0, size - shift.shape[-1])).flatten(1))
            start = stop
        scale, shift = (_per_sample(parts, x, views) for parts in (scales, shifts))
        return torch.addcmul(shift, x, scale)


def _per_sample(parts: list[Tensor], x: Tensor, views: int) -> Tensor:
    """Return numbers per view and channel, in parts (views, c), as (views * B, channels, 1, ...) in the type of x."""
    joined = torch.cat(parts, dim=1).to(x.dtype).repeat_interleave(len(x) // views, dim=0)
    return joined.view(*joined.shape, *(1,) * (x.dim() - 2))


class GatedLayer(nn.Module):
    """Convolution, batch norm of each irrep, and the gates of Weiler et al. 2018 (arXiv:1807.02547).

    Without the batch norm, scalars and gates have a bias. The convolution makes one scalar more for each irrep that is
    none: its gate. Scalars are rectified; every other irrep is multiplied by the sigmoid of its gate.
    """

    gate_of: Tensor

    def __init__(
        self,
        in_type: FieldType,
        multiplicities: Mapping[int, int],
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        *,
        normalise: bool = True,
        recompute: bool = True,
        scratch: Scratch | None = None,
    ) -> None:
        super().__init__()
        self.out_type = mixed_type(multiplicities)
        self.scalars = multiplicities.get(0, 0)
        rotating = [degree for degree in self.out_type.degrees if degree]
        gated = mixed_type({**multiplicities, 0: self.scalars + len(rotating)})
        self.conv = SteerableConv3d(
            in_type, gated, kernel, stride, padding, bias=not normalise, recompute=recompute, scratch=scratch
        )
        self.norm = IrrepNorm(gated.degrees) if normalise else None
        channels_of_each = torch.tensor([2 * degree + 1 for degree in rotating], dtype=torch.int64)
        gates = torch.arange(len(rotating)).repeat_interleave(channels_of_each)
        self.register_buffer("gate_of", gates, persistent=False)

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x, views)
        else:
            bias = nn.functional.pad(self.conv.bias, (0, x.shape[1] - self.conv.out_type.trivials))  # type: ignore[arg-type]
            x = x + bias.to(x.dtype).view(-1, *(1,) * (x.dim() - 2))
        rotating = len(self.gate_of)
        scalars, gates = x[:, : self.scalars].relu(), x[:, self.scalars : x.shape[1] - rotating].sigmoid()
        if not rotating:
            return scalars
        return torch.cat([scalars, x[:, -rotating:] * gates[:, self.gate_of]], dim=1)


class SphereMean(nn.Module):
    """Rectify functions on the sphere at sampled points, and take their mean: invariant to rotations.

    The points are one orbit after another of the cube's rotations. (N, fields * channels, ...) to (N, fields, ...).
    """

    sampling: Tensor

    def __init__(self, band_limit: int) -> None:
        super().__init__()
        points = rotation_grid(band_limit)[:, :, 2]
        sampling = torch.from_numpy(sphere_matrix(band_limit, points)).float()
        self.register_buffer("sampling", sampling, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        fields = x.view(len(x), -1, self.sampling.shape[1], *x.shape[2:]).movedim(2, -1)
        values: Tensor = fields @ self.sampling.to(x.dtype).t()
        return values.relu().mean(-1)


class SphereLayer(nn.Module):
    """Convolution to functions on the sphere of a band limit, and the mean of each after rectification."""

    def __init__(
        self,
        in_type: FieldType,
        copies: int,
        band_limit: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        *,
        recompute: bool = True,
        scratch: Scratch | None = None,
    ) -> None:
        super().__init__()
        self.out_type = FieldType((0,), copies)
        sphere = FieldType(quotient_degrees(band_limit), copies)
        self.conv = SteerableConv3d(in_type, sphere, kernel, stride, padding, recompute=recompute, scratch=scratch)
        self.mean = SphereMean(band_limit)

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        out: Tensor = self.mean(self.conv(x))
        return out


class Invariants(nn.Module):
    """What rotations leave alone: scalars as they are, of every other irrep its length, a channel for each irrep."""

    def __init__(self, in_type: FieldType) -> None:
        super().__init__()
        self.in_type = in_type
        self.lengths = [2 * degree + 1 for degree in in_type.degrees] * in_type.copies

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, irreps, ...) for x (N, channels, ...)."""
        if max(self.lengths) == 1:
            return x
        # Not a norm, whose gradient at zero is not finite.
        parts = torch.split_with_sizes(x, self.lengths, dim=1)
        scalars_and_lengths = (
            part if part.shape[1] == 1 else (part.square().sum(1, keepdim=True) + 1e-12).sqrt() for part in parts
        )
        return torch.cat(list(scalars_and_lengths), dim=1)
