"""The rows of an architecture table: what a layer is, and what it makes of the shape that comes in.

Pure arithmetic. Every layer is frozen, hashable and checked when it is written down. Shapes are the voxels along each
axis, one number per dimension, without channels.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench_core.errors import ModelError

Extent = int | tuple[int, ...]
"""One number for every axis, or one per axis."""

Padding = int | tuple[int, ...] | Literal["same"]
Shape = tuple[int, ...]
Fields = int | Mapping[int, int] | tuple[tuple[int, int], ...]
"""Copies of the spectral regular representation, or {degree of an irrep: how many of it}."""


def regular_channels(band_limit: int) -> int:
    """Dimension of the spectral regular representation of SO(3): each irrep up to `band_limit`, times its dimension."""
    return sum((2 * degree + 1) ** 2 for degree in range(band_limit + 1))


def regular_irreps(band_limit: int) -> int:
    """How many irreps the spectral regular representation of SO(3) consists of."""
    return (band_limit + 1) ** 2


@dataclass(frozen=True)
class Conv:
    """A convolution of plain channels.

    Args:
        channels: output channels; of a depthwise convolution a multiple of its input channels.
        kernel: voxels of the filter, one number or one per axis.
        stride: likewise.
        padding: zeros added at both ends of an axis; `"same"` keeps the shape (stride 1; an even kernel pads the
            far end by one more).
        depthwise: every input channel has filters of its own.

    Raises:
        ModelError: a number is no integer or too small.
    """

    channels: int
    kernel: Extent
    stride: Extent = 1
    padding: Padding = 0
    depthwise: bool = False

    def __post_init__(self) -> None:
        _check(self, "channels", _positive(self, "channels", self.channels))
        _check_window(self)

    def __str__(self) -> str:
        return f"{'depthwise ' if self.depthwise else ''}Conv({self.channels} channels, {_window(self)})"


@dataclass(frozen=True)
class Pool:
    """A pooling layer; `stride` None is the kernel. Padding, at most half the kernel, does not count as a maximum.

    Raises:
        ModelError: an unknown kind, a number that is no integer or out of range.
    """

    kind: Literal["max", "avg"]
    kernel: Extent
    stride: Extent | None = None
    padding: int | tuple[int, ...] = 0

    def __post_init__(self) -> None:
        if self.kind not in ("max", "avg"):
            raise ModelError(f'Pool: kind is {self.kind!r}; use "max" or "avg"')
        if self.stride is None:
            _check(self, "stride", self.kernel)
        _check_window(self)
        for kernel, padding in zip(*_per_axis_of(self.kernel, self.padding), strict=True):
            if 2 * padding > kernel:
                raise ModelError(f"{self}: a padding of {padding} is more than half of its kernel of {kernel}")

    def __str__(self) -> str:
        return f"Pool({self.kind}, {_window(self)})"


@dataclass(frozen=True)
class Linear:
    """A fully connected layer; the first one takes all voxels and channels that are left, flattened."""

    features: int

    def __post_init__(self) -> None:
        _check(self, "features", _positive(self, "features", self.features))

    def __str__(self) -> str:
        return f"Linear({self.features} features)"


@dataclass(frozen=True)
class SteerableConv:
    """A convolution of fields over SO(3), with a cubic filter.

    Args:
        fields: copies of the spectral regular representation up to the table's band limit, or {degree: multiplicity}
            (kept as a sorted tuple of pairs).
        kernel: voxels along each axis of the filter.
        stride: voxels between the centres of neighbouring outputs.
        padding: zeros added at both ends of each axis.

    Raises:
        ModelError: a number is no integer or too small, or the mapping holds no field.
    """

    fields: Fields
    kernel: int
    stride: int = 1
    padding: int = 0

    def __post_init__(self) -> None:
        _check(self, "fields", _checked_fields(self, "fields", self.fields))
        _check_cubic_window(self)

    def __str__(self) -> str:
        return f"SteerableConv({_fields_in_words(self.fields)}, {_window(self)})"

    def multiplicities(self, band_limit: int) -> dict[int, int]:
        """{degree: how many irreps of it} of the output."""
        return multiplicities_of(self.fields, band_limit)


@dataclass(frozen=True)
class ResidualBlock:
    """Two steerable convolutions beside a skip connection.

    The first maps to `hidden_fields` at stride 1 and keeps the shape (padding `(kernel - 1) / 2`), the second maps to
    `fields` with the block's stride and padding; the skip is averaged to the output's voxels where the stride is not
    1, and goes through a 1x1x1 convolution where the fields differ.

    Raises:
        ModelError: as SteerableConv; or an even kernel, which keeps no shape.
    """

    fields: Fields
    hidden_fields: Fields
    kernel: int = 3
    stride: int = 1
    padding: int = 1

    def __post_init__(self) -> None:
        for name in ("fields", "hidden_fields"):
            _check(self, name, _checked_fields(self, name, getattr(self, name)))
        _check_cubic_window(self)
        if self.kernel % 2 == 0:
            raise ModelError(f"{self}: an even kernel cannot keep the shape for the skip connection; use an odd one")

    def __str__(self) -> str:
        words = f"{_fields_in_words(self.fields)}, hidden {_fields_in_words(self.hidden_fields)}"
        return f"ResidualBlock({words}, {_window(self)})"

    def multiplicities(self, band_limit: int) -> dict[int, int]:
        """{degree: how many irreps of it} of the output."""
        return multiplicities_of(self.fields, band_limit)

    def hidden_multiplicities(self, band_limit: int) -> dict[int, int]:
        """{degree: how many irreps of it} between its two convolutions."""
        return multiplicities_of(self.hidden_fields, band_limit)


Layer = Conv | Pool | Linear | SteerableConv | ResidualBlock
SteerableLayer = SteerableConv | ResidualBlock
WindowLayer = Conv | Pool | SteerableConv | ResidualBlock


def multiplicities_of(fields: Fields, band_limit: int) -> dict[int, int]:
    """{degree: how many irreps of it} of these fields; n regular copies hold n (2 degree + 1) of each."""
    if isinstance(fields, int):
        return {degree: fields * (2 * degree + 1) for degree in range(band_limit + 1)}
    return dict(fields)


def channels_of(fields: Fields, band_limit: int) -> int:
    """Channels of these fields: an irrep of degree l has 2 l + 1."""
    return sum(count * (2 * degree + 1) for degree, count in multiplicities_of(fields, band_limit).items())


def per_axis(extent: Extent, dimensions: int) -> Shape:
    """One number per axis.

    Raises:
        ModelError: there are as many numbers as another dimension has axes.
    """
    if isinstance(extent, int):
        return (extent,) * dimensions
    if len(extent) != dimensions:
        raise ModelError(f"{len(extent)} numbers {extent} for {dimensions} axes; give one, or one per axis")
    return extent


def total_padding(layer: WindowLayer, dimensions: int) -> Shape:
    """Zeros added along each axis, both ends together."""
    if layer.padding == "same":
        return tuple(kernel - 1 for kernel in per_axis(layer.kernel, dimensions))
    return tuple(2 * padding for padding in per_axis(layer.padding, dimensions))


def output_shape(layer: WindowLayer, shape: Shape) -> Shape:
    """Shape that comes out: `(side + padding - kernel) // stride + 1` along each axis.

    Raises:
        ModelError: the kernel is larger than the padded input; says what would fit.
    """
    return tuple(_output_side(layer, *axis) for axis in _axes(layer, shape))


def _output_side(layer: WindowLayer, side: int, kernel: int, stride: int, padding: int) -> int:
    """The side along one axis; an average takes no more voxels than the image has, which is PyTorch's rule too."""
    averages = isinstance(layer, Pool) and layer.kind == "avg"
    room = side if averages else side + padding
    if kernel > room:
        given = f"the side of {side}" + (f" with {padding} of padding" if room > side else "")
        more_padding = "" if averages else f", a padding of at least {-(-(kernel - side) // 2)}"
        remedy = f"a kernel of at most {room}{more_padding}, or fewer layers before it"
        raise ModelError(f"its kernel of {kernel} is larger than {given}; use {remedy}")
    return (side + padding - kernel) // stride + 1


def check_centred(layer: WindowLayer, shape: Shape) -> None:
    """Check that the outputs of a layer padded alike at both ends lie symmetrically around the centre of the input.

    Rotations about the centre ask for it.

    Raises:
        ModelError: the stride leaves a remainder.
    """
    for side, kernel, stride, padding in _axes(layer, shape):
        remainder = (side + padding - kernel) % stride
        if remainder:
            raise ModelError(
                f"a stride of {stride} leaves the last {remainder} of {side} + {padding} voxels unseen by a kernel of "
                f"{kernel}, which takes the grid off its centre and breaks the equivariance; change stride, padding "
                "or kernel so that (side + 2 padding - kernel) is a multiple of the stride"
            )


def _axes(layer: WindowLayer, shape: Shape) -> list[tuple[int, int, int, int]]:
    """(side, kernel, stride, total padding) of each axis."""
    dimensions = len(shape)
    stride = layer.kernel if layer.stride is None else layer.stride
    kernels, strides = per_axis(layer.kernel, dimensions), per_axis(stride, dimensions)
    return list(zip(shape, kernels, strides, total_padding(layer, dimensions), strict=True))


def _check(layer: object, name: str, value: object) -> None:
    object.__setattr__(layer, name, value)


def _check_window(layer: Conv | Pool) -> None:
    """Check kernel, stride and padding, one number or one per axis."""
    for name, least in (("kernel", 1), ("stride", 1), ("padding", 0)):
        value = getattr(layer, name)
        if isinstance(value, tuple | list):
            _check(layer, name, tuple(_at_least(least, layer, name, number) for number in value))
        elif not (value == "same" and name == "padding" and isinstance(layer, Conv)):
            _check(layer, name, _at_least(least, layer, name, value))
    if layer.padding == "same" and set(_per_axis_of(layer.stride or 1, 1)[0]) != {1}:
        raise ModelError(f'{layer}: padding "same" needs stride 1; give the padding as a number')


def _check_cubic_window(layer: SteerableConv | ResidualBlock) -> None:
    for name, least in (("kernel", 1), ("stride", 1), ("padding", 0)):
        _check(layer, name, _at_least(least, layer, name, getattr(layer, name)))
    if layer.kernel == 2:
        raise ModelError(f"{layer}: steerable filters of 2x2x2 voxels are zero: their rings meet no voxel; use 1 or 3")


def _checked_fields(layer: object, name: str, fields: object) -> int | tuple[tuple[int, int], ...]:
    if not isinstance(fields, Mapping | tuple):
        return _positive(layer, name, fields)
    pairs = dict(fields)
    checked = {_at_least(0, layer, f"degree in {name}", degree): count for degree, count in pairs.items()}
    counts = {degree: _at_least(0, layer, f"{name}[{degree}]", count) for degree, count in sorted(checked.items())}
    if not any(counts.values()):
        raise ModelError(f"{type(layer).__name__}: {name} is {fields!r} and holds no field; name at least one degree")
    return tuple((degree, count) for degree, count in counts.items() if count)


def _positive(layer: object, name: str, value: object) -> int:
    return _at_least(1, layer, name, value)


def _at_least(least: int, layer: object, name: str, value: object) -> int:
    return checked_integer(type(layer).__name__, name, value, least)


def checked_integer(owner: str, name: str, value: object, least: int) -> int:
    """The value as an integer; booleans and floats are none.

    Raises:
        ModelError: it is none, or below `least`; names the owner and the value.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise ModelError(f"{owner}: {name} is {value!r}; use an integer of at least {least}")
    return number


def _per_axis_of(first: Extent, second: Extent) -> tuple[Shape, Shape]:
    """Both, with as many numbers as the longer one has."""
    dimensions = max(len(extent) if isinstance(extent, tuple) else 1 for extent in (first, second))
    return per_axis(first, dimensions), per_axis(second, dimensions)


def _window(layer: WindowLayer) -> str:
    words = [f"k{_extent(layer.kernel)}", f"s{_extent(layer.stride)}", f"p{_extent(layer.padding)}"]
    return " ".join(words)


def _extent(extent: object) -> str:
    return "x".join(map(str, extent)) if isinstance(extent, tuple) else str(extent)


def _fields_in_words(fields: Fields) -> str:
    if isinstance(fields, int):
        return f"{fields} regular"
    return " + ".join(f"{count} of degree {degree}" for degree, count in dict(fields).items())
