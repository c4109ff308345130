"""Architectures as tables of layers, checked when they are written down.

A table is plain (`Conv`, `Pool`) or steerable (`SteerableConv`, `ResidualBlock`, average pooling), and may end in
`Linear` rows; in a steerable table these see what is left invariant to rotations. No tensor library is needed to
write, check or change one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from bench_core.errors import ModelError
from bench_core.models.table_layers import (
    Conv,
    Extent,
    Fields,
    Layer,
    Linear,
    Pool,
    ResidualBlock,
    Shape,
    SteerableConv,
    channels_of,
    check_centred,
    checked_integer,
    multiplicities_of,
    output_shape,
    per_axis,
    regular_channels,
    regular_irreps,
)
from bench_core.models.widths import width_rule

__all__ = [
    "Architecture",
    "Conv",
    "Layer",
    "Linear",
    "Pool",
    "ResidualBlock",
    "SteerableConv",
    "channels_of",
    "multiplicities_of",
    "regular_channels",
    "regular_irreps",
    "width_rule",
]


VIEWS = 2
"""Images that a network for view pairs takes at a time; it has one encoder for them."""


@dataclass(frozen=True)
class Architecture:
    """A network for images, as a table.

    Args:
        name: what it is asked for by.
        layers: rows, first to last.
        input_channels: channels of the image; of a steerable table they are scalar fields.
        input_side: voxels of the image along each axis, one number or one per axis.
        band_limit: largest degree in the spectral regular representation.
        dimensions: axes of the image; steerable tables have three.
        flatten: a steerable table may end in more than one voxel; these are then flattened, which is not equivariant.
        off_centre: the layers of a steerable table may take the grid off its centre, which is equivariant to
            rotations only approximately.
        batch_norm: plain convolutions are followed by a batch norm, and then have no bias.
        reconstructed: inferred from published figures that do not all agree with it.
        completed: the source leaves rows or numbers open, and they were filled in here (`notes` says which).
        port: a two-dimensional network carried over to three, by its rules.
        added_head: the last Linear is not its source's, which lists none: one row for six classes.
        notes: where the table departs from its source, and why.

    Raises:
        ModelError: a layer that does not fit: which one, what comes in, why, and what would.
    """

    name: str
    layers: tuple[Layer, ...]
    input_channels: int
    input_side: Extent
    band_limit: int = 2
    dimensions: int = 3
    flatten: bool = False
    off_centre: bool = False
    batch_norm: bool = False
    reconstructed: bool = False
    completed: bool = False
    port: bool = False
    added_head: bool = False
    notes: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", self._checked_layers())
        for name, least in (("input_channels", 1), ("band_limit", 0), ("dimensions", 1)):
            object.__setattr__(self, name, self._integer(name, getattr(self, name), least))
        object.__setattr__(self, "input_side", self._checked_input_side())
        self._check_order()
        self._check_fit()

    @property
    def steerable(self) -> bool:
        """True if its convolutions are of fields."""
        return any(isinstance(layer, SteerableConv | ResidualBlock) for layer in self.layers)

    @property
    def input_shape(self) -> Shape:
        """Voxels of the image along each axis."""
        return per_axis(self.input_side, self.dimensions)

    def shapes(self) -> tuple[Shape, ...]:
        """Voxels along each axis of the output of each layer; one voxel for a Linear."""
        shapes, shape = [], self.input_shape
        for layer in self.layers:
            shape = (1,) * self.dimensions if isinstance(layer, Linear) else output_shape(layer, shape)
            shapes.append(shape)
        return tuple(shapes)

    def sides(self) -> tuple[int, ...]:
        """Side of the output of each layer, voxels.

        Raises:
            ModelError: the images are not cubes (squares in two dimensions); `shapes` has them all.
        """
        uneven = next((shape for shape in (self.input_shape, *self.shapes()) if len(set(shape)) > 1), None)
        if uneven is not None:
            raise ModelError(f"{self.name}: {_shape_in_words(uneven)} voxels have no one side; use shapes()")
        return tuple(shape[0] for shape in self.shapes())

    def channels(self) -> tuple[int, ...]:
        """Channels of the output of each layer."""
        channels, count = [], self.input_channels
        for layer in self.layers:
            count = self._channels_after(layer, count)
            channels.append(count)
        return tuple(channels)

    def with_(
        self,
        *,
        width: int | None = None,
        kernel: int | None = None,
        band_limit: int | None = None,
        hidden: Literal["regular"] | Mapping[int, int] | None = None,
        **changes: Any,
    ) -> Architecture:
        """The same table with other numbers, checked again.

        Args:
            width: copies of the regular representation in the first steerable layer; all others change in proportion,
                to the nearest whole number and at least one.
            kernel: of every steerable convolution; one that was padded to keep its side still is.
            band_limit: of the spectral regular representation; the copies stay as many.
            hidden: the fields of every steerable layer: `"regular"`, or {degree: multiplicity} of one field; a layer
                has as many copies of it as come nearest to its channels, at least one.
            **changes: any other argument of Architecture.

        Raises:
            ModelError: the table bears no such override, or a layer does not fit any more.
        """
        if not self.steerable and (width, kernel, band_limit, hidden) != (None,) * 4:
            raise ModelError(f"{self.name}: width, kernel, band_limit and hidden are overrides of steerable tables")
        unknown = set(changes) - {field.name for field in dataclasses.fields(self)}
        if unknown:
            known = ", ".join(field.name for field in dataclasses.fields(self))
            raise ModelError(
                f"{self.name}: no override {', '.join(sorted(unknown))}; use width, kernel, hidden, {known}"
            )
        if band_limit is not None:
            changes["band_limit"] = band_limit
        layers = changes.pop("layers", self.layers)
        if width is not None:
            layers = self._with_width(layers, self._integer("width", width, 1))
        if hidden is not None:
            layers = tuple(
                self._with_hidden(layer, hidden, changes.get("band_limit", self.band_limit)) for layer in layers
            )
        if kernel is not None:
            layers = tuple(_with_kernel(layer, kernel) for layer in layers)
        return dataclasses.replace(self, layers=layers, **changes)

    def _with_width(self, layers: tuple[Layer, ...], width: int) -> tuple[Layer, ...]:
        fields = next(layer.fields for layer in layers if isinstance(layer, SteerableConv | ResidualBlock))
        if not isinstance(fields, int):
            raise ModelError(f"{self.name}: its first fields are {dict(fields)}, and width counts regular copies")
        return tuple(_scaled(layer, Fraction(width, fields)) for layer in layers)

    def _with_hidden(self, layer: Layer, hidden: str | Mapping[int, int], band_limit: int) -> Layer:
        if isinstance(layer, SteerableConv):
            return dataclasses.replace(layer, fields=self._nearest(layer.fields, hidden, band_limit))
        if isinstance(layer, ResidualBlock):
            return dataclasses.replace(layer, hidden_fields=self._nearest(layer.hidden_fields, hidden, band_limit))
        return layer

    def _nearest(self, fields: Fields, hidden: str | Mapping[int, int], band_limit: int) -> Fields:
        """As many copies of the hidden field as come nearest to the channels that these fields have now."""
        if hidden == "regular" and isinstance(fields, int):
            return fields
        if isinstance(hidden, str) and hidden != "regular":
            raise ModelError(f'{self.name}: hidden is {hidden!r}; use "regular" or {{degree: multiplicity}}')
        one = 1 if isinstance(hidden, str) else SteerableConv(hidden, 1).fields
        copies = max(1, round(channels_of(fields, self.band_limit) / channels_of(one, band_limit)))
        return copies if isinstance(one, int) else {degree: copies * count for degree, count in dict(one).items()}

    def _channels_after(self, layer: Layer, channels: int) -> int:
        if isinstance(layer, SteerableConv | ResidualBlock):
            return channels_of(layer.fields, self.band_limit)
        if isinstance(layer, Linear):
            return layer.features
        return layer.channels if isinstance(layer, Conv) else channels

    def _checked_layers(self) -> tuple[Layer, ...]:
        layers = tuple(self.layers)
        for number, layer in enumerate(layers, 1):
            if not isinstance(layer, Conv | Pool | Linear | SteerableConv | ResidualBlock):
                raise ModelError(f"{self.name}: layer {number} is {layer!r}; use a layer of bench_core.models.tables")
        if not layers:
            raise ModelError(f"{self.name}: no layers; give at least one")
        return layers

    def _checked_input_side(self) -> Extent:
        if isinstance(self.input_side, tuple | list):
            sides = tuple(self._integer("input_side", side, 1) for side in self.input_side)
            return per_axis(sides, self.dimensions)
        return self._integer("input_side", self.input_side, 1)

    def _integer(self, name: str, value: object, least: int) -> int:
        return checked_integer(self.name, name, value, least)

    def _check_order(self) -> None:
        """Check that the kinds of layers go together."""
        if self.steerable and (self.dimensions != 3 or len(set(self.input_shape)) > 1):
            raise ModelError(
                f"{self.name}: steerable layers rotate cubes, and the image is {_shape_in_words(self.input_shape)}; "
                "give one input_side and three dimensions"
            )
        after_linear = False
        for number, layer in enumerate(self.layers, 1):
            if after_linear and not isinstance(layer, Linear):
                raise self._misfit(number, "comes after a Linear, which leaves no image; move it before")
            if self.steerable and isinstance(layer, Conv):
                raise self._misfit(number, "mixes the channels of a field; use SteerableConv throughout")
            if self.steerable and isinstance(layer, Pool) and layer.kind == "max":
                raise self._misfit(number, 'takes maxima of channels that rotate into each other; use kind "avg"')
            after_linear = isinstance(layer, Linear)

    def _check_fit(self) -> None:
        """Check every layer against what the one before it gives."""
        shape, channels = self.input_shape, self.input_channels
        for number, layer in enumerate(self.layers, 1):
            if isinstance(layer, Linear):
                break
            if isinstance(layer, Conv) and layer.depthwise and layer.channels % channels:
                raise self._misfit(number, f"has no multiple of the {channels} channels that come in; use one")
            try:
                following = output_shape(layer, shape)
                if self.steerable and not self.off_centre:
                    check_centred(layer, shape)
            except ModelError as error:
                raise self._misfit(number, f"gets {_shape_in_words(shape)} voxels: {error}") from None
            shape, channels = following, self._channels_after(layer, channels)
        if self.steerable and not self.flatten and set(shape) != {1}:
            number = sum(not isinstance(layer, Linear) for layer in self.layers)
            raise self._misfit(
                number,
                f"leaves {_shape_in_words(shape)} voxels, and only a single voxel stays equivariant in the head; add "
                'layers or Pool("avg", ...), or allow it with flatten=True',
            )

    def _misfit(self, number: int, reason: str) -> ModelError:
        return ModelError(f"{self.name}: layer {number}, {self.layers[number - 1]}, {reason}")


def _scaled(layer: Layer, factor: Fraction) -> Layer:
    """The layer with so many times its fields."""

    def of_fields(fields: Fields) -> Fields:
        if isinstance(fields, int):
            return max(1, round(fields * factor))
        return {degree: max(1, round(count * factor)) for degree, count in dict(fields).items()}

    if isinstance(layer, ResidualBlock):
        fields, hidden = of_fields(layer.fields), of_fields(layer.hidden_fields)
        return dataclasses.replace(layer, fields=fields, hidden_fields=hidden)
    return dataclasses.replace(layer, fields=of_fields(layer.fields)) if isinstance(layer, SteerableConv) else layer


def _with_kernel(layer: Layer, kernel: int) -> Layer:
    """The layer with another kernel; padding that kept the side keeps it still."""
    if not isinstance(layer, SteerableConv | ResidualBlock):
        return layer
    keeps_side = layer.padding > 0 and 2 * layer.padding == layer.kernel - 1
    if not keeps_side:
        return dataclasses.replace(layer, kernel=kernel)
    return dataclasses.replace(layer, kernel=kernel, padding=(kernel - 1) // 2)


def _shape_in_words(shape: Shape) -> str:
    return "x".join(map(str, shape))
