"""Networks for pairs of views: an encoder that both views go through, and a head that compares what comes out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench_core.errors import ModelError
from bench_core.frames import CUBE_FACES
from bench_core.models.dense.irreps import GatedLayer
from bench_core.models.dense.layers import AveragePool, FourierNonlinearity, RegularLayer, regular_type, scalar_type
from bench_core.models.dense.maps import FieldType, SteerableLinear
from bench_core.models.dense.scratch import Scratch
from bench_core.models.so3.fourier import view_matrix
from bench_core.models.so3.kernels import quotient_degrees
from bench_core.models.tables import VIEWS, Architecture, Pool, SteerableConv, regular_channels


class DenseEncoder(nn.Module):
    """The layers of a table: (views * B, C, L, L, L), view by view, to (views * B, channels), fields of `out_type`."""

    def __init__(self, architecture: Architecture, *, recompute: bool = True) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_layers(architecture, recompute))
        self.voxels = architecture.sides()[-1] ** 3
        fields = [layer.out_type for layer in self.layers if isinstance(layer, RegularLayer | GatedLayer)][-1]
        self.out_type = FieldType(fields.degrees, fields.copies * self.voxels)

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        for layer in self.layers:
            x = layer(x, views)
        # Of more voxels than one, each brings its fields along (which is not equivariant).
        return x.reshape(len(x), -1, self.out_type.field_size, self.voxels).transpose(2, 3).flatten(1)


class DirectionHead(nn.Module):
    """One hidden layer as wide as its input, then a function on the sphere, read at the six faces of the cube."""

    faces: Tensor

    def __init__(self, in_type: FieldType, band_limit: int) -> None:
        super().__init__()
        hidden = hidden_type(in_type, band_limit)
        self.hidden = SteerableLinear(in_type, hidden)
        self.nonlinearity = FourierNonlinearity(band_limit)
        self.output = SteerableLinear(hidden, FieldType(quotient_degrees(band_limit), 1))
        self.register_buffer("faces", torch.from_numpy(view_matrix(band_limit, CUBE_FACES)).float(), persistent=False)

    def forward(self, pair: Tensor) -> Tensor:
        """Return logits (B, 6), as precise as the weights, of encoded pairs (B, channels); as `frames.CUBE_FACES`."""
        hidden = self.nonlinearity.alone(self.hidden(pair))
        # No matrix product: autocast would give the logits fewer digits.
        logits: Tensor = (self.output(hidden).to(self.faces.dtype).unsqueeze(1) * self.faces).sum(2)
        return logits


class FrameHead(nn.Module):
    """One hidden layer as wide as its input, then nine numbers: two columns of a rotation, and a translation.

    The columns are made orthonormal (Zhou et al. 2019, arXiv:1812.07035), and the frame takes the first view's
    coordinates to the second's, as `OriginPairs(mode="frame")` has it. Translations come out in units of `scale_A`.
    """

    def __init__(self, in_type: FieldType, band_limit: int, scale_A: float = 10.0) -> None:
        super().__init__()
        hidden = hidden_type(in_type, band_limit)
        self.scale_A = scale_A
        self.hidden = SteerableLinear(in_type, hidden)
        self.nonlinearity = FourierNonlinearity(band_limit)
        self.frame = nn.Linear(hidden.channels, 9)

    def forward(self, pair: Tensor) -> Tensor:
        """Return frames (B, 4, 4) of encoded pairs (B, channels), in the type of the weights under autocast too."""
        hidden = self.nonlinearity.alone(self.hidden(pair))
        return frame_of(hidden, self.frame, self.scale_A)


def hidden_type(in_type: FieldType, band_limit: int) -> FieldType:
    """Return as many regular fields as come nearest to the channels of a type, at least one."""
    return regular_type(max(1, round(in_type.channels / regular_channels(band_limit))), band_limit)


def frame_of(hidden: Tensor, linear: nn.Linear, scale_A: float) -> Tensor:
    """Return the frames (B, 4, 4) of nine numbers, which autocast must not give fewer digits than the weights have."""
    device = "cpu" if hidden.is_meta else hidden.device.type  # autocast does not know the meta device
    with torch.autocast(device, enabled=False):
        numbers = linear(hidden.to(linear.weight.dtype))
        return rigid_frame(numbers[:, :3], numbers[:, 3:6], numbers[:, 6:] * scale_A)


def rigid_frame(first: Tensor, second: Tensor, translation: Tensor) -> Tensor:
    """Return (B, 4, 4): the rotation whose first two columns are nearest in turn to these (B, 3), and a translation."""
    x = nn.functional.normalize(first, dim=1)
    y = nn.functional.normalize(second - (x * second).sum(1, keepdim=True) * x, dim=1)
    top = torch.stack([x, y, torch.linalg.cross(x, y), translation], dim=2)
    bottom = torch.tensor([0.0, 0.0, 0.0, 1.0], device=top.device, dtype=top.dtype).expand(len(top), 1, 4)
    return torch.cat([top, bottom], dim=1)


class DenseClassifier(nn.Module):
    """Encoder and head of pairs of views (B, 2, C, L, L, L): logits (B, 6), or frames (B, 4, 4) for mode="frame".

    Args:
        architecture: a steerable table of convolutions and average pooling. Regular fields have the Fourier
            nonlinearity, mixed irreps gates.
        mode: direction or frame, as of `OriginPairs`.
        recompute: expand filters again in the backward pass instead of keeping them.

    Raises:
        ModelError: unknown mode, or a layer that this network has not; on a call, images of another shape.
    """

    def __init__(self, architecture: Architecture, mode: str = "direction", *, recompute: bool = True) -> None:
        super().__init__()
        self.architecture = architecture
        self.mode = mode
        self.encoder = DenseEncoder(architecture, recompute=recompute)
        fields = self.encoder.out_type
        self.head = make_head(mode, FieldType(fields.degrees, VIEWS * fields.copies), architecture.band_limit)

    def forward(self, x: Tensor) -> Tensor:
        check_pairs(x, self.architecture)
        encoded = self.encoder(x.transpose(0, 1).flatten(0, 1), VIEWS)
        return self.head(encoded.unflatten(0, (VIEWS, -1)).transpose(0, 1).flatten(1))  # type: ignore[no-any-return]


def check_pairs(x: Tensor, architecture: Architecture) -> None:
    """Check the shape of pairs of views, where a wrong one is seen late, if at all.

    Raises:
        ModelError: x is not (B, 2, C, L, L, L), with the channels and the side of the architecture.
    """
    expected = (VIEWS, architecture.input_channels, *architecture.input_shape)
    if x.dim() != 1 + len(expected) or tuple(x.shape[1:]) != expected or not len(x):
        raise ModelError(
            f"{architecture.name} takes pairs of views (B, {', '.join(map(str, expected))}) with B at least 1, and got "
            f"{tuple(x.shape)}"
        )


def make_head(mode: str, in_type: FieldType, band_limit: int) -> nn.Module:
    """Return the head of a mode for encoded pairs, whose fields are of `in_type` in all."""
    heads: dict[str, type[DirectionHead] | type[FrameHead]] = {"direction": DirectionHead, "frame": FrameHead}
    if mode not in heads:
        raise ModelError(f"mode {mode!r} is unknown: choose one of {', '.join(heads)}")
    return heads[mode](in_type, band_limit)


def _layers(architecture: Architecture, recompute: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    in_type, scratch = scalar_type(architecture.input_channels), Scratch()
    last = max(number for number, row in enumerate(architecture.layers) if isinstance(row, SteerableConv))
    for number, row in enumerate(architecture.layers):
        if isinstance(row, SteerableConv):
            layer = _convolution(row, in_type, architecture.band_limit, number != last, recompute, scratch)
            in_type = layer.out_type
            layers.append(layer)
        elif isinstance(row, Pool):
            layers.append(AveragePool(row.kernel, row.stride, row.padding))  # type: ignore[arg-type]
        else:
            raise ModelError(
                f"{architecture.name}: layer {number + 1}, {row}, is not among those of view-pair networks"
            )
    return layers


def _convolution(
    row: SteerableConv, in_type: FieldType, band_limit: int, normalise: bool, recompute: bool, scratch: Scratch
) -> RegularLayer | GatedLayer:
    window = row.kernel, row.stride, row.padding
    if isinstance(row.fields, int):
        return RegularLayer(
            in_type, row.fields, band_limit, *window, normalise=normalise, recompute=recompute, scratch=scratch
        )
    fields = row.multiplicities(band_limit)
    return GatedLayer(in_type, fields, *window, normalise=normalise, recompute=recompute, scratch=scratch)
