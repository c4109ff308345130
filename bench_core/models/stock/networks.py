"""View-pair classifiers as stock escnn builds them, from an architecture table.

An image has array axes (x, y, z) of the structure; escnn reads the axes of an array as (-z, -y, x) of its own
coordinates. That is a reflection, `so3.fourier.KERNEL_AXES`, and rotations of the structure are conjugated by it. It
matters in one place: the logit of a face of the cube is the network's output function at the reflected face.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from bench_core.errors import ModelError
from bench_core.frames import CUBE_FACES
from bench_core.models.dense.networks import check_pairs, frame_of
from bench_core.models.so3.fourier import KERNEL_AXES
from bench_core.models.so3.grids import GRID_BLOCKS
from bench_core.models.stock.importing import import_escnn
from bench_core.models.stock.initialization import he_initialize
from bench_core.models.stock.states import keep_states_small
from bench_core.models.tables import Architecture, Pool, SteerableConv


class StockClassifier(nn.Module):
    """Encoder called on either view, and a head that looks at the pair: logits (B, 6), or frames (B, 4, 4).

    Args:
        architecture: a steerable table of convolutions between regular fields, and average pooling.
        mode: "direction" or "frame", as of `OriginPairs`.
        initialize: draw the weights from torch's random numbers, as escnn does by default; otherwise they are 0.

    Raises:
        ModelError: escnn is missing, the mode is unknown, or the table has a layer that the stock backend has not.
    """

    def __init__(self, architecture: Architecture, mode: str = "direction", *, initialize: bool = True) -> None:
        super().__init__()
        heads: dict[str, type[StockHead]] = {"direction": StockDirectionHead, "frame": StockFrameHead}
        if mode not in heads:
            raise ModelError(f"mode {mode!r} is unknown: choose one of {', '.join(heads)}")
        self.architecture = architecture
        self.mode = mode
        self.encoder = StockEncoder(architecture)
        self.head = heads[mode](self.encoder.space, 2 * self.encoder.output_fields, architecture.band_limit)
        if initialize:
            self.initialize()
        keep_states_small(self)

    def initialize(self) -> None:
        """Draw all weights again, in the order of the layers, from torch's random numbers."""
        for layer in self.modules():
            if hasattr(layer, "basisexpansion"):
                he_initialize(layer)
            elif isinstance(layer, nn.Linear):
                layer.reset_parameters()

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """Return logits in the order of `CUBE_FACES`, or frames, of pairs of views (B, 2, C, L, L, L)."""
        check_pairs(views, self.architecture)
        encodings = [self.encoder(views[:, view]) for view in (0, 1)]
        return self.head(torch.cat(encodings, dim=1))  # type: ignore[no-any-return]


class StockEncoder(nn.Module):
    """The layers of the table; (B, C, L, L, L) -> (B, channels), regular fields one after the other."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.space = import_escnn().gspaces.rot3dOnR3(maximum_frequency=architecture.band_limit)
        self.input_type = _field_type(self.space, self.space.trivial_repr, architecture.input_channels)
        self.layers = nn.ModuleList(_layers(architecture, self.input_type))
        self._channels_per_field = regular_representation(self.space, architecture.band_limit).size
        self._voxels = architecture.sides()[-1] ** 3
        self.output_fields = self._voxels * architecture.channels()[-1] // self._channels_per_field

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.input_type(images)
        for layer in self.layers:
            features = layer(features)
        tensor: torch.Tensor = features.tensor
        # Where more than one voxel is left, each brings its fields along: (B, fields, voxels, channels of a field).
        fields = tensor.reshape(len(images), -1, self._channels_per_field, self._voxels)
        return fields.transpose(2, 3).flatten(1)


class StockLayer(nn.Module):
    """R3Conv, IIDBatchNorm3d, FourierPointwise; the last layer has a bias instead of the batch norm."""

    def __init__(self, row: SteerableConv, in_type: Any, space: Any, band_limit: int, last: bool) -> None:
        super().__init__()
        self.nonlinearity = fourier_relu(space, row.fields, band_limit)
        out_type = self.nonlinearity.in_type
        window = {"kernel_size": row.kernel, "stride": row.stride, "padding": row.padding}
        escnn = import_escnn()
        with _FiltersOfOneZero():
            self.conv = escnn.nn.R3Conv(in_type, out_type, **window, bias=last, initialize=False)
        self.conv.train()  # drops the filter of zeros that escnn registers at construction
        self.norm = None if last else escnn.nn.IIDBatchNorm3d(out_type)

    def forward(self, features: Any) -> Any:
        features = self.conv(features)
        return self.nonlinearity(features if self.norm is None else self.norm(features))


class _FiltersOfOneZero(TorchFunctionMode):
    """Lets escnn construct convolutions without writing their filters of zeros, which take up to 4 GB and seconds."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.zeros and len(args) == 5:
            return torch.zeros(1).expand(*args)
        return function(*args, **(kwargs or {}))


class StockPool(nn.Module):
    """Average over a window, which treats all channels alike and needs no steerable filter."""

    def __init__(self, row: Pool) -> None:
        super().__init__()
        self.pool = nn.AvgPool3d(row.kernel, row.stride, row.padding)  # type: ignore[arg-type]

    def forward(self, features: Any) -> Any:
        return features.type(self.pool(features.tensor))


class StockHead(nn.Module):
    """One hidden layer as wide as its input, (B, channels) -> (B, channels); the rest is up to the mode."""

    def __init__(self, space: Any, fields: int, band_limit: int) -> None:
        super().__init__()
        self.space = import_escnn().gspaces.no_base_space(space.fibergroup)
        self.nonlinearity = fourier_relu(self.space, fields, band_limit)
        self.hidden = self.linear(self.nonlinearity.in_type)

    def linear(self, out_type: Any) -> nn.Module:
        """Return a linear map from the hidden fields, without weights and without its full-size matrix of zeros."""
        layer: nn.Module = import_escnn().nn.Linear(self.nonlinearity.in_type, out_type, initialize=False)
        return layer.train()

    def hidden_fields(self, pair: torch.Tensor) -> Any:
        return self.nonlinearity(self.hidden(self.nonlinearity.in_type(pair)))


class StockDirectionHead(StockHead):
    """The hidden layer, then a function on the sphere, taken at the six faces of the cube."""

    faces: torch.Tensor

    def __init__(self, space: Any, fields: int, band_limit: int) -> None:
        super().__init__(space, fields, band_limit)
        group = space.fibergroup
        sphere = group.spectral_quotient_representation((False, -1), *group.bl_irreps(band_limit), name=None)
        self.output = self.linear(_field_type(self.space, sphere, 1))
        self.register_buffer("faces", _values_at_faces(self.space, band_limit))

    def forward(self, pair: torch.Tensor) -> torch.Tensor:
        values = self.output(self.hidden_fields(pair)).tensor.to(self.faces.dtype)
        # No matrix product: autocast would give the logits fewer digits.
        return (values.unsqueeze(1) * self.faces).sum(2)  # type: ignore[no-any-return]


class StockFrameHead(StockHead):
    """The hidden layer, then a plain linear map to the nine numbers of a frame; see `dense.networks.FrameHead`."""

    def __init__(self, space: Any, fields: int, band_limit: int, scale_A: float = 10.0) -> None:
        super().__init__(space, fields, band_limit)
        self.scale_A = scale_A
        self.frame = nn.utils.skip_init(nn.Linear, self.nonlinearity.in_type.size, 9)  # type: ignore[no-untyped-call]
        for parameter in self.frame.parameters():
            nn.init.zeros_(parameter)

    def forward(self, pair: torch.Tensor) -> torch.Tensor:
        return frame_of(self.hidden_fields(pair).tensor, self.frame, self.scale_A)


def regular_representation(space: Any, band_limit: int) -> Any:
    """Return the spectral regular representation of SO(3): degree l, 2l+1 times, for each l up to the band limit."""
    group = space.fibergroup
    return group.spectral_regular_representation(*group.bl_irreps(band_limit), name=None)


def fourier_relu(space: Any, fields: Any, band_limit: int) -> Any:
    """Return escnn's relu on samples of SO(3), for so many regular fields."""
    if not isinstance(fields, int):
        raise ModelError(f"the escnn backend has regular fields only, not {dict(fields)}")
    if band_limit not in GRID_BLOCKS:
        raise ModelError(f"the escnn backend has band limits up to {max(GRID_BLOCKS)}, not {band_limit}")
    irreps = space.fibergroup.bl_irreps(band_limit)
    return import_escnn().nn.FourierPointwise(
        space, fields, irreps, function="p_relu", type="thomson_cube", N=GRID_BLOCKS[band_limit]
    )


def _layers(architecture: Architecture, in_type: Any) -> list[nn.Module]:
    layers: list[nn.Module] = []
    last = max(number for number, row in enumerate(architecture.layers) if isinstance(row, SteerableConv))
    for number, row in enumerate(architecture.layers):
        if isinstance(row, SteerableConv):
            layer = StockLayer(row, in_type, in_type.gspace, architecture.band_limit, last=number == last)
            in_type = layer.nonlinearity.out_type
            layers.append(layer)
        elif isinstance(row, Pool):
            layers.append(StockPool(row))
        else:
            raise ModelError(f"{architecture.name}: layer {number + 1}, {row}, is not among those of the escnn backend")
    return layers


def _field_type(space: Any, representation: Any, fields: int) -> Any:
    return import_escnn().nn.FieldType(space, [representation] * fields)


def _values_at_faces(point: Any, band_limit: int) -> torch.Tensor:
    """Return the matrix (6, (band_limit + 1)^2) from harmonics to the values at the faces of the structure's cube."""
    group = point.fibergroup
    grid = {tuple(np.rint(element.to("MAT")[:, 2])): element for element in group.sphere_grid(type="cube")}
    faces = [grid[tuple(face)] for face in CUBE_FACES @ KERNEL_AXES.T]
    transform = import_escnn().nn.QuotientFourierPointwise(
        point, (False, -1), 1, group.bl_irreps(band_limit), grid=faces
    )
    return transform.A  # type: ignore[no-any-return]
