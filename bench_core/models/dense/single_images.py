"""Steerable networks for single images, from any steerable table."""

from __future__ import annotations

from torch import Tensor, nn

from bench_core.models.dense.irreps import GatedLayer, Invariants, SphereLayer, mixed_type
from bench_core.models.dense.layers import RegularLayer, scalar_type
from bench_core.models.dense.maps import FieldType, SteerableConv3d
from bench_core.models.dense.residual import ResidualFields
from bench_core.models.dense.scratch import Scratch
from bench_core.models.table_layers import Layer, Linear, Pool, ResidualBlock, SteerableConv
from bench_core.models.tables import Architecture


class SteerableNetwork(nn.Module):
    """The rows of a steerable table, one submodule each: (B, C, L, L, L) to (B, features), or to the last fields.

    What follows a convolution depends on its fields: batch norm and the Fourier nonlinearity on regular ones, batch
    norm and gates on mixed irreps, nothing in front of a residual block. A last convolution, straight before a Linear,
    to as many irreps of each degree from 0 up holds functions on the sphere: their means go on (`SphereLayer`). The
    first Linear takes `Invariants`; all but the last are rectified. ReLU stands for the exponential units of escnn's
    example too, and a bias for its batch norms between Linears.

    Args:
        architecture: the table.
        recompute: expand filters again in the backward pass instead of keeping them.

    Raises:
        ModelError: the band limit is beyond the rotations that are shipped.
    """

    def __init__(self, architecture: Architecture, *, recompute: bool = True) -> None:
        super().__init__()
        self.architecture = architecture
        self.rows = nn.ModuleList()
        fields, scratch = scalar_type(architecture.input_channels), Scratch()
        for number, row in enumerate(architecture.layers):
            if isinstance(row, Linear):
                self.rows.append(self._linear(number, fields))
                continue
            following = architecture.layers[number + 1] if number + 1 < len(architecture.layers) else None
            module = _fields_layer(row, following, fields, architecture.band_limit, recompute, scratch)
            fields = fields if isinstance(row, Pool) else _out_type(module)
            self.rows.append(module)

    def forward(self, x: Tensor) -> Tensor:
        for row in self.rows:
            x = row(x)
        return x

    def _linear(self, number: int, fields: FieldType) -> nn.Module:
        """The Linear of a row; the first one flattens what is invariant in all voxels."""
        row, before = self.architecture.layers[number], self.architecture.layers[number - 1]
        assert isinstance(row, Linear)
        if isinstance(before, Linear):
            modules: list[nn.Module] = [nn.Linear(before.features, row.features)]
        else:
            voxels = self.architecture.sides()[number - 1] ** 3
            features = fields.copies * len(fields.degrees) * voxels
            modules = [Invariants(fields), nn.Flatten(), nn.Linear(features, row.features)]
        if number + 1 < len(self.architecture.layers):
            modules.append(nn.ReLU())
        return nn.Sequential(*modules)


def _fields_layer(
    row: Layer, following: Layer | None, fields: FieldType, band_limit: int, recompute: bool, scratch: Scratch
) -> nn.Module:
    if isinstance(row, Pool):
        return nn.AvgPool3d(row.kernel, row.stride, row.padding)  # type: ignore[arg-type]
    assert isinstance(row, SteerableConv | ResidualBlock)  # an Architecture mixes no others with these
    if isinstance(row, ResidualBlock):
        out_type = mixed_type(row.multiplicities(band_limit))
        return ResidualFields(fields, out_type, row, band_limit, recompute=recompute, scratch=scratch)
    window, multiplicities = (row.kernel, row.stride, row.padding), row.multiplicities(band_limit)
    if isinstance(following, ResidualBlock):
        return SteerableConv3d(fields, mixed_type(multiplicities), *window, recompute=recompute, scratch=scratch)
    if isinstance(row.fields, int):
        return RegularLayer(fields, row.fields, band_limit, *window, recompute=recompute, scratch=scratch)
    if isinstance(following, Linear) and _on_sphere(multiplicities):
        degree, copies = max(multiplicities), multiplicities[0]
        return SphereLayer(fields, copies, degree, *window, recompute=recompute, scratch=scratch)
    return GatedLayer(fields, multiplicities, *window, recompute=recompute, scratch=scratch)


def _on_sphere(multiplicities: dict[int, int]) -> bool:
    """Whether there are as many irreps of each degree, from 0 to one above it."""
    degrees = list(range(max(multiplicities) + 1))
    return len(degrees) > 1 and sorted(multiplicities) == degrees and len(set(multiplicities.values())) == 1


def _out_type(module: nn.Module) -> FieldType:
    assert isinstance(module.out_type, FieldType)
    return module.out_type
