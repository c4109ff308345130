"""Peak memory and work of a training step with the dense backend and recomputed filters, counted from a table.

For each layer and view two tensors wait for the backward pass, the layer's input and the output of its convolution; no
filter does. The peak is the largest of a few moments, all of them on the CPU:

- backward of a convolution: what waits, the gradients at both ends, and what is largest of the input's gradient twice
  more, the filter's gradient twice (as oneDNN lays it out and as PyTorch does), and oneDNN's copies of what comes in;
  where columns and a matrix product stand for the convolution, the columns;
- backward of a nonlinearity: what waits, the gradients at both ends, and sampled values, a piece at a time;
- forward of a convolution: what waits, and oneDNN's copies of the image, the output and the filter;
- backward of the head: what waits, and its matrix and the gradient of it.

Parameters, both states of Adam, the images, the gradients of later layers and two scratch buffers are there all along:
the largest filter, and the largest gradient of a filter that a matrix product makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from bench_core.models.closed_forms import (
    ADAM_STATES,
    FLOAT32_BYTES,
    SteerableRow,
    convolution_flops,
    filter_parameters,
    fourier_flops,
    grid_rotations,
    head_parameters,
    pair_parameters,
    parameters,
    steerable_rows,
)
from bench_core.models.tables import VIEWS, Architecture, multiplicities_of, regular_channels

FOURIER_PIECE_BYTES = 1 << 24
ONEDNN_CHANNELS = 16


def dense_peak_bytes(architecture: Architecture, batch: int = 16) -> int:
    """Estimated peak of the CPU's allocator in a step with Adam, after the first one.

    Raises:
        ModelError: the table has other rows than convolutions of regular copies, an even kernel, or a band limit beyond
            the rotations that are shipped.
    """
    rows = list(steerable_rows(architecture))
    filters = [FLOAT32_BYTES * row.filter_values for row in rows]
    products = [size for size, row in zip(filters, rows, strict=True) if _is_matrix_product(row)]
    scratch = max(filters) + max(products, default=0)
    states = (1 + ADAM_STATES) * FLOAT32_BYTES * parameters(architecture)
    images = 2 * _image_bytes(rows[0], batch)  # the batch, and both views stacked
    return states + images + scratch + max(_moments(architecture, rows, batch))


def dense_waiting_bytes(architecture: Architecture, batch: int = 16) -> int:
    """What the layers keep for the backward pass: the images, and two tensors of each layer's size."""
    rows = list(steerable_rows(architecture))
    return _image_bytes(rows[0], batch) + 2 * sum(_output_bytes(row, batch) for row in rows)


def dense_expansion_flops(architecture: Architecture) -> int:
    """Of turning weights into filters once, block by block: a weight reaches one block of the filter, not all of it."""
    return sum(_expansion_flops(row, architecture.band_limit) for row in steerable_rows(architecture))


def dense_step_flops(architecture: Architecture, batch: int = 16) -> int:
    """Of one training step: convolutions thrice, nonlinearities four times, filters expanded twice and contracted."""
    per_view = 3 * convolution_flops(architecture) + 4 * fourier_flops(architecture)
    return VIEWS * batch * per_view + 3 * dense_expansion_flops(architecture)


def _expansion_flops(row: SteerableRow, band_limit: int) -> int:
    outputs = multiplicities_of(row.copies, band_limit)
    inputs = {0: row.input_channels} if row.input_copies is None else multiplicities_of(row.input_copies, band_limit)
    return sum(
        2 * filter_parameters({i: n}, {j: m}, row.kernel) * (2 * i + 1) * (2 * j + 1) * row.kernel**3
        for i, n in inputs.items()
        for j, m in outputs.items()
    )


def _moments(architecture: Architecture, rows: list[SteerableRow], batch: int) -> Iterator[int]:
    """Bytes beside parameters, states, images and scratch, at each moment, last layer first."""
    outputs = [_output_bytes(row, batch) for row in rows]
    waiting = list(accumulate((2 * output for output in outputs), initial=0))
    field, samples, last = regular_channels(architecture.band_limit), grid_rotations(architecture), rows[-1]
    yield waiting[-1] + 2 * FLOAT32_BYTES * (VIEWS * last.channels) ** 2
    gradients = FLOAT32_BYTES * head_parameters(last.copies, architecture.band_limit)
    for number in reversed(range(len(rows))):
        row, output = rows[number], outputs[number]
        piece = min(output * samples // field, FOURIER_PIECE_BYTES)
        yield waiting[number] + output + _forward_temporaries(row, batch)
        yield gradients + waiting[number] + 3 * output + 3 * piece + piece * field // samples
        yield gradients + waiting[number] + output + _backward_temporaries(row, batch, first=number == 0)
        gradients += FLOAT32_BYTES * pair_parameters(row, architecture.band_limit)


def _forward_temporaries(row: SteerableRow, batch: int) -> int:
    if _is_matrix_product(row):
        return _columns_bytes(row, batch)
    return _blocked_images_bytes(row, batch) + _blocked_filter_bytes(row)


def _backward_temporaries(row: SteerableRow, batch: int, first: bool) -> int:
    """The input's gradient, and what making it and the filter's needs; the image wants none.

    What oneDNN returns as the input's gradient is copied twice before the first one is freed.
    """
    gradient = 0 if first else FLOAT32_BYTES * VIEWS * batch * row.input_channels * row.input_voxels
    if _is_matrix_product(row):
        return gradient + _columns_bytes(row, batch)
    filters = FLOAT32_BYTES * row.filter_values + _blocked_filter_bytes(row)
    images = _blocked_images_bytes(row, batch) + _blocked_filter_bytes(row)
    return gradient + max(2 * gradient, filters, images)


def _is_matrix_product(row: SteerableRow) -> bool:
    """As `bench_core.models.dense.convolution.Geometry.as_matrix_product` has it."""
    return row.voxels == 1 or (row.stride > 1 and row.voxels <= 27)


def _columns_bytes(row: SteerableRow, batch: int) -> int:
    """What each output voxel sees; of a single voxel that sees all of the image it is the image."""
    if row.voxels == 1:
        return 0
    return FLOAT32_BYTES * VIEWS * batch * row.voxels * row.input_channels * row.kernel**3


def _blocked_images_bytes(row: SteerableRow, batch: int) -> int:
    per_sample = _blocked(row.input_channels) * row.input_voxels + _blocked(row.channels) * row.voxels
    return VIEWS * batch * per_sample


def _blocked_filter_bytes(row: SteerableRow) -> int:
    return _blocked(row.input_channels) * _blocked(row.channels) // FLOAT32_BYTES * row.kernel**3


def _blocked(channels: int) -> int:
    """Bytes of so many channels in oneDNN's layout, whole blocks of them."""
    return FLOAT32_BYTES * -(-channels // ONEDNN_CHANNELS) * ONEDNN_CHANNELS


def _output_bytes(row: SteerableRow, batch: int) -> int:
    return FLOAT32_BYTES * VIEWS * batch * row.channels * row.voxels


def _image_bytes(first: SteerableRow, batch: int) -> int:
    return FLOAT32_BYTES * VIEWS * batch * first.input_channels * first.input_voxels
