"""Parameters, work and memory of a steerable architecture, counted from its table.

They hold for tables of `SteerableConv` rows with copies of the regular representation, the nonlinearity sampled on the
grid of rotations of `so3.grids`, two views of shared weights and the direction head. Two assumptions are stock escnn's:
its basis of filters (`filter_parameters`), and, in memory, that every call expands its filters and keeps them for
backward.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bench_core.errors import ModelError
from bench_core.models.so3.grids import GRID_BLOCKS
from bench_core.models.tables import VIEWS, Architecture, SteerableConv, multiplicities_of, regular_channels

CUBE_ROTATIONS = 24
FLOAT32_BYTES = 4
ADAM_STATES = 2


class SteerableRow(NamedTuple):
    """A convolution as counted: `input_copies` is None for the scalar channels of the image."""

    input_copies: int | None
    input_channels: int
    copies: int
    channels: int
    kernel: int
    stride: int
    input_voxels: int
    voxels: int

    @property
    def filter_values(self) -> int:
        """Numbers in the expanded filter."""
        return self.input_channels * self.channels * self.kernel**3


def filter_parameters(inputs: Mapping[int, int], outputs: Mapping[int, int], kernel: int) -> int:
    """Weights of a steerable filter between these {degree: multiplicity}, in escnn's default basis.

    The centre voxel connects equal degrees. Ring r = 1 .. (kernel - 1) / 2 takes the harmonics up to degree
    min(2 r, (kernel - 1) / 2 - r + 2) that a pair of degrees allows.

    Raises:
        ModelError: the kernel is even: its rings have no voxel at the centre.
    """
    if kernel % 2 == 0:
        raise ModelError(f"filter_parameters: a kernel of {kernel} has no centre voxel; use an odd one")
    last_ring = kernel // 2
    limits = [0] + [min(2 * ring, last_ring - ring + 2) for ring in range(1, last_ring + 1)]
    count = 0
    for i, n_inputs in inputs.items():
        for j, n_outputs in outputs.items():
            harmonics = sum(max(0, min(i + j, limit) - abs(i - j) + 1) for limit in limits)
            count += n_inputs * n_outputs * harmonics
    return count


def parameters(architecture: Architecture) -> int:
    """Parameters of the encoder and the direction head.

    Raises:
        ModelError: the table has other rows than convolutions of regular copies, or an even kernel.
    """
    rows, band_limit = list(steerable_rows(architecture)), architecture.band_limit
    weights = sum(pair_parameters(row, band_limit) for row in rows)
    norms = sum(2 * row.copies for row in rows[:-1])
    return weights + norms + rows[-1].copies + head_parameters(rows[-1].copies, band_limit)


def forward_backward_bytes(architecture: Architecture, batch: int = 16) -> int:
    """The notebook's column of activations: 2 views x 2 directions x 2 modules of each layer's output."""
    return 2 * 2 * VIEWS * _activation_bytes(architecture, batch)


def largest_filter_bytes(architecture: Architecture) -> int:
    """The notebook's convolution column: the largest expanded filter."""
    return FLOAT32_BYTES * max(row.filter_values for row in steerable_rows(architecture))


def fourier_bytes(architecture: Architecture, batch: int = 16) -> int:
    """The notebook's Fourier column: the largest tensor of samples on the grid, of one view, twice."""
    samples = max(row.copies * row.voxels for row in steerable_rows(architecture))
    return 2 * FLOAT32_BYTES * batch * samples * grid_rotations(architecture)


def filters_bytes(architecture: Architecture) -> int:
    """All expanded filters of the encoder, once."""
    return FLOAT32_BYTES * sum(row.filter_values for row in steerable_rows(architecture))


def convolution_flops(architecture: Architecture) -> int:
    """Of the convolutions, forward, for one view."""
    return sum(2 * row.filter_values * row.voxels for row in steerable_rows(architecture))


def expansion_flops(architecture: Architecture) -> int:
    """Of turning weights into filters, forward, for one call of the encoder; does not depend on the batch."""
    basis = {
        row.kernel: regular_channels(architecture.band_limit) ** 2 * row.kernel**3
        for row in steerable_rows(architecture)
    }
    rows = (row for row in steerable_rows(architecture) if row.input_copies is not None)
    return sum(2 * pair_parameters(row, architecture.band_limit) * basis[row.kernel] for row in rows)


def fourier_flops(architecture: Architecture) -> int:
    """Of the nonlinearities, forward, for one view: to the grid of rotations and back."""
    work_per_field = 2 * 2 * regular_channels(architecture.band_limit) * grid_rotations(architecture)
    return sum(work_per_field * row.copies * row.voxels for row in steerable_rows(architecture))


def training_step_flops(architecture: Architecture, batch: int = 16) -> int:
    """Of one step on a batch of view pairs: a backward costs two forwards; the head and the norms are not counted."""
    per_view = convolution_flops(architecture) + fourier_flops(architecture)
    return 3 * VIEWS * (batch * per_view + expansion_flops(architecture))


def after_forward_bytes(architecture: Architecture, batch: int = 16) -> int:
    """Live in a training step with Adam and stock escnn when forward has ended, parameters and buffers included.

    Each view keeps the normalised fields, the Fourier output and the grid samples of every layer, its filters, and a
    permuted copy of the basis for every convolution between fields.
    """
    hidden_channels = VIEWS * list(steerable_rows(architecture))[-1].channels
    return _kept_by_encoder_bytes(architecture, batch) + FLOAT32_BYTES * hidden_channels**2


def peak_bytes(architecture: Architecture, batch: int = 16) -> int:
    """Estimated peak of that step: backward has freed the head's filter and makes the gradient of the largest one.

    Every allocation that a dispatcher sees; `cpu_peak_bytes` has the one that it does not.
    """
    return _kept_by_encoder_bytes(architecture, batch) + largest_filter_bytes(architecture)


def cpu_peak_bytes(architecture: Architecture, batch: int = 16) -> int:
    """Estimated peak of the CPU's allocator: oneDNN's backward of a convolution copies its filter once more."""
    return peak_bytes(architecture, batch) + largest_filter_bytes(architecture)


def _kept_by_encoder_bytes(architecture: Architecture, batch: int) -> int:
    channels = regular_channels(architecture.band_limit)
    activations = _activation_bytes(architecture, batch) * (2 * channels + grid_rotations(architecture)) // channels
    kernels = [row.kernel for row in steerable_rows(architecture) if row.input_copies is not None]
    bases = {kernel: _basis_bytes(kernel, architecture.band_limit) for kernel in kernels}
    kept = VIEWS * (activations + filters_bytes(architecture) + sum(bases[kernel] for kernel in kernels))
    states = (1 + ADAM_STATES) * FLOAT32_BYTES * parameters(architecture)
    return kept + states + sum(bases.values())


def grid_rotations(architecture: Architecture) -> int:
    """Rotations at which its fields are sampled.

    Raises:
        ModelError: none are shipped for its band limit.
    """
    if architecture.band_limit not in GRID_BLOCKS:
        raise ModelError(
            f"{architecture.name}: rotations are shipped for band limits up to {max(GRID_BLOCKS)}, not "
            f"{architecture.band_limit}"
        )
    return CUBE_ROTATIONS * GRID_BLOCKS[architecture.band_limit]


def steerable_rows(architecture: Architecture) -> Iterator[SteerableRow]:
    """The convolutions, each with what comes in.

    Raises:
        ModelError: a row is no convolution of regular copies.
    """
    channels, copies, input_voxels = architecture.input_channels, None, math.prod(architecture.input_shape)
    for number, (layer, shape) in enumerate(zip(architecture.layers, architecture.shapes(), strict=True), 1):
        if not isinstance(layer, SteerableConv) or not isinstance(layer.fields, int):
            raise ModelError(
                f"{architecture.name}: layer {number}, {layer}: closed forms are known for SteerableConv with copies "
                "of the regular representation only; count the built module instead"
            )
        following = layer.fields * regular_channels(architecture.band_limit)
        voxels = shape[0] * shape[1] * shape[2]
        yield SteerableRow(copies, channels, layer.fields, following, layer.kernel, layer.stride, input_voxels, voxels)
        channels, copies, input_voxels = following, layer.fields, voxels


def pair_parameters(row: SteerableRow, band_limit: int) -> int:
    """Weights of a convolution."""
    inputs = {0: row.input_channels} if row.input_copies is None else multiplicities_of(row.input_copies, band_limit)
    return filter_parameters(inputs, multiplicities_of(row.copies, band_limit), row.kernel)


def head_parameters(copies: int, band_limit: int) -> int:
    """Linear to as many hidden copies as both views have, Linear to one field on the sphere; a bias per field."""
    hidden = multiplicities_of(VIEWS * copies, band_limit)
    sphere = dict.fromkeys(hidden, 1)
    return filter_parameters(hidden, hidden, 1) + VIEWS * copies + filter_parameters(hidden, sphere, 1) + 1


def _basis_bytes(kernel: int, band_limit: int) -> int:
    """The basis of filters between two copies of the regular representation."""
    one = multiplicities_of(1, band_limit)
    return FLOAT32_BYTES * filter_parameters(one, one, kernel) * regular_channels(band_limit) ** 2 * kernel**3


def _activation_bytes(architecture: Architecture, batch: int) -> int:
    """The outputs of all layers, of one view of every pair, once."""
    return FLOAT32_BYTES * batch * sum(row.channels * row.voxels for row in steerable_rows(architecture))
