"""Layers of a steerable network: a convolution, what normalises it, and a nonlinearity."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from bench_core.models.dense.activation import FieldStatistics, FourierActivation
from bench_core.models.dense.maps import FieldType, SteerableConv3d
from bench_core.models.dense.scratch import Scratch
from bench_core.models.so3.fourier import analysis_matrix, sampling_matrix
from bench_core.models.so3.grids import rotation_grid
from bench_core.models.so3.kernels import regular_degrees


def regular_type(copies: int, band_limit: int) -> FieldType:
    """Return `copies` of the spectral regular field."""
    return FieldType(regular_degrees(band_limit), copies)


def scalar_type(channels: int) -> FieldType:
    """Return fields of one trivial irrep: the channels of an image."""
    return FieldType((0,), channels)


class FourierNonlinearity(nn.Module):
    """Rectify spectral regular fields at sampled rotations; scaled and shifted before, where that is given."""

    sampling: Tensor
    analysis: Tensor

    def __init__(self, band_limit: int) -> None:
        super().__init__()
        sampling, analysis = _matrices(band_limit)
        self.register_buffer("sampling", sampling, persistent=False)
        self.register_buffer("analysis", analysis, persistent=False)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Rectify x (views * B, fields * channels, ...) with scale (views, fields) and shift (views, fields, 1)."""
        flat = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)
        out: Tensor = FourierActivation.apply(  # type: ignore[no-untyped-call]
            flat, scale, shift[..., 0], self.sampling, self.analysis
        )
        return out.view(x.shape)

    def alone(self, x: Tensor) -> Tensor:
        """Return the nonlinearity of fields that are not to be normalised."""
        ones = torch.ones(1, x.shape[1] // self.sampling.shape[1], device=x.device)
        return self.forward(x, ones, torch.zeros_like(ones).unsqueeze(-1))


@functools.cache
def _matrices(band_limit: int) -> tuple[Tensor, Tensor]:
    sampling = sampling_matrix(band_limit, rotation_grid(band_limit))
    return torch.from_numpy(sampling).float(), torch.from_numpy(analysis_matrix(sampling)).float()


class RegularLayer(nn.Module):
    """Convolution to spectral regular fields, batch normalisation per view (or a bias), Fourier nonlinearity."""

    def __init__(
        self,
        in_type: FieldType,
        copies: int,
        band_limit: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        *,
        normalise: bool = True,
        recompute: bool = True,
        scratch: Scratch | None = None,
    ) -> None:
        super().__init__()
        self.out_type = regular_type(copies, band_limit)
        self.conv = SteerableConv3d(
            in_type, self.out_type, kernel, stride, padding, bias=not normalise, recompute=recompute, scratch=scratch
        )
        self.norm = FieldStatistics(copies, self.out_type.field_size) if normalise else None
        self.nonlinearity = FourierNonlinearity(band_limit)

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        x = self.conv(x)
        if self.norm is not None:
            return self.nonlinearity(x, *self.norm(x, views))  # type: ignore[no-any-return]
        bias = self.conv.bias.unsqueeze(0).expand(views, -1, -1)  # type: ignore[union-attr]
        return self.nonlinearity(x, torch.ones_like(bias[..., 0]), bias)  # type: ignore[no-any-return]


class AveragePool(nn.AvgPool3d):
    """Average over a window: it treats all channels alike, and so is equivariant."""

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        return super().forward(x)
