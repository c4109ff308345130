"""Batch normalisation and the Fourier nonlinearity of spectral regular fields, as one operation.

A field's coefficients are scaled and shifted, turned into its values at sampled rotations, rectified there, and turned
back. escnn keeps the centred field, the rectified values (96 / 35 of its size) and the result for the backward pass;
here only the input is kept, and what else is needed is computed again, in pieces that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bench_core.errors import ModelError


class FieldStatistics(nn.Module):
    """Means and variances of fields per view, and the scales and shifts that batch normalisation makes of them.

    As escnn's IIDBatchNorm3d: one variance per field, the mean over its channels of their unbiased variances; a mean
    only for the trivial irreps, which are a field's first channels; statistics are constants for the gradients. What
    differs is that `views` sets of samples, stacked along the batch, are normalised apart, and counted one after
    another into the running statistics, as that many calls would.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self, fields: int, field_size: int, trivials: int = 1, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.fields = fields
        self.field_size = field_size
        self.trivials = trivials
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(fields))
        self.bias = nn.Parameter(torch.zeros(fields, trivials))
        self.register_buffer("running_mean", torch.zeros(fields, trivials))
        self.register_buffer("running_var", torch.ones(fields))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor, views: int = 1) -> tuple[Tensor, Tensor]:
        """Return (scale (views, fields), shift (views, fields, trivials)) for x (views * B, fields * size, ...).

        Raises:
            ModelError: in training, a single number per view and channel, which has no variance.
        """
        if self.training:
            mean, var = self._measure(x.detach(), views)
            self._track(mean, var)
        else:
            mean, var = self.running_mean.expand(views, -1, -1), self.running_var.expand(views, -1)
        scale = self.weight * torch.rsqrt(var + self.eps)
        return scale, self.bias - mean * scale.unsqueeze(-1)

    def _measure(self, x: Tensor, views: int) -> tuple[Tensor, Tensor]:
        """Return means (views, fields, trivials) and variances (views, fields) in float32 or better.

        From sums and norms per sample and channel, joined in float64: torch.var over these axes takes fifteen times
        as long on a CPU. A variance that is a difference of large sums loses digits, 1e-4 of it where the mean is 30
        standard deviations: the trivial irreps, whose means are free, are centred first.
        """
        x, dtype = x.flatten(2), torch.promote_types(x.dtype, torch.float32)
        count = x.shape[0] // views * x.shape[2]
        if count < 2:
            raise ModelError("a batch norm has no variance of one example of one voxel: train on more, or eval() first")
        sums = x.sum(2, dtype=dtype).double()
        squares = torch.linalg.vector_norm(x, dim=2, dtype=dtype).double().square()
        sums, squares = (part.view(views, -1, self.fields, self.field_size).sum(1) for part in (sums, squares))
        centred = (squares - sums.square() / count).clamp_min(0)
        means = (sums[..., : self.trivials] / count).to(dtype)
        if self.trivials:
            free = x.view(views, -1, self.fields, self.field_size, x.shape[2])[..., : self.trivials, :]
            deviations = free - means[:, None, ..., None]
            norms = torch.linalg.vector_norm(deviations, dim=-1, dtype=dtype)
            centred[..., : self.trivials] = norms.double().square().sum(1)
        return means, (centred / (count - 1)).mean(-1).to(dtype)

    def _track(self, mean: Tensor, var: Tensor) -> None:
        self.num_batches_tracked += len(mean)
        for view_mean, view_var in zip(mean, var, strict=True):
            self.running_mean.lerp_(view_mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(view_var.to(self.running_var.dtype), self.momentum)


class FourierActivation(torch.autograd.Function):
    """rectified(scale * x + shift) in the Fourier domain: `apply(x, scale, shift, sampling, analysis)`.

    x (views * B, fields * channels, S), scale and shift (views, fields); shift goes to the first channel of a field.
    sampling (samples, channels) and analysis (channels, samples) are constants.
    """

    @staticmethod
    def forward(x: Tensor, scale: Tensor, shift: Tensor, sampling: Tensor, analysis: Tensor) -> Tensor:
        sampling, analysis = sampling.to(x.dtype), analysis.to(x.dtype)
        out = torch.empty_like(x)
        rows, results = _rows(x, sampling), _rows(out, sampling)
        for part, part_scale, part_shift in _pieces(rows, scale, shift, x.shape[0], sampling):
            values = _sampled(rows[part], part_scale, part_shift, sampling)
            results[part] = torch.matmul(analysis, values.clamp_(min=0))
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, shift, sampling, analysis = ctx.saved_tensors
        sampling, analysis = sampling.to(x.dtype), analysis.to(x.dtype)
        sampling_t, analysis_t = sampling.t().contiguous(), analysis.t().contiguous()
        grad = grad.contiguous()
        grad_x = torch.empty_like(x)
        rows, grad_rows, out_rows = (_rows(tensor, sampling) for tensor in (x, grad, grad_x))
        grad_scale = torch.empty(len(rows), dtype=scale.dtype, device=x.device)
        grad_shift = torch.empty_like(grad_scale)
        for part, part_scale, part_shift in _pieces(rows, scale, shift, x.shape[0], sampling):
            values = _sampled(rows[part], part_scale, part_shift, sampling)
            grad_values = torch.matmul(analysis_t, grad_rows[part])
            grad_field = torch.matmul(sampling_t, torch.ops.aten.threshold_backward(grad_values, values, 0))
            grad_scale[part] = torch.linalg.vecdot(grad_field.flatten(1), rows[part].flatten(1)).to(scale.dtype)
            grad_shift[part] = grad_field[:, 0].sum(1, dtype=scale.dtype)
            torch.mul(grad_field, part_scale, out=out_rows[part])
        views, fields = scale.shape
        grad_scale, grad_shift = (part.view(views, -1, fields).sum(1) for part in (grad_scale, grad_shift))
        return grad_x, grad_scale, grad_shift, None, None


_PIECE_BYTES = 1 << 24


def _rows(x: Tensor, sampling: Tensor) -> Tensor:
    """View x (N, fields * channels, S) as one row per sample and field: (N * fields, channels, S)."""
    return x.view(-1, sampling.shape[1], x.shape[2])


def _pieces(
    rows: Tensor, scale: Tensor, shift: Tensor, samples: int, sampling: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield (rows, their scale (r, 1, 1), their shift (r, 1)) in pieces whose sampled values fit the cache."""
    per_view = samples // scale.shape[0]
    scales, shifts = (part.to(rows.dtype).unsqueeze(1).expand(-1, per_view, -1).reshape(-1) for part in (scale, shift))
    step = max(1, _PIECE_BYTES // (len(sampling) * rows.shape[2] * rows.element_size()))
    if torch.compiler.is_compiling():
        step = len(rows)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        yield part, scales[part, None, None], shifts[part, None]


def _sampled(rows: Tensor, scale: Tensor, shift: Tensor, sampling: Tensor) -> Tensor:
    """Return the values of normalised fields at the sampled rotations, (r, samples, S)."""
    fields = rows * scale
    fields[:, 0] += shift
    return torch.matmul(sampling, fields)
