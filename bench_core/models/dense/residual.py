"""Residual blocks of steerable fields, as escnn's SE(3) ResNet has them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from bench_core.models.dense.irreps import GatedLayer
from bench_core.models.dense.layers import RegularLayer
from bench_core.models.dense.maps import FieldType, SteerableConv3d
from bench_core.models.dense.scratch import Scratch
from bench_core.models.table_layers import ResidualBlock


class ResidualFields(nn.Module):
    """A layer to hidden fields and a convolution from them, added to the input.

    The input is averaged over the second convolution's window where that changes the voxels, and goes through a
    convolution of one voxel where the fields differ. No nonlinearity follows the sum, so that fields between blocks may
    be of any irreps. Hidden fields are spectral regular, with the Fourier nonlinearity, or of mixed irreps, with gates.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        row: ResidualBlock,
        band_limit: int,
        *,
        recompute: bool = True,
        scratch: Scratch | None = None,
    ) -> None:
        super().__init__()
        self.out_type = out_type
        inner = row.kernel, 1, (row.kernel - 1) // 2
        self.hidden: RegularLayer | GatedLayer
        if isinstance(row.hidden_fields, Mapping | tuple):
            fields = row.hidden_multiplicities(band_limit)
            self.hidden = GatedLayer(in_type, fields, *inner, recompute=recompute, scratch=scratch)
        else:
            self.hidden = RegularLayer(
                in_type, row.hidden_fields, band_limit, *inner, recompute=recompute, scratch=scratch
            )
        self.conv = SteerableConv3d(
            self.hidden.out_type, out_type, row.kernel, row.stride, row.padding, recompute=recompute, scratch=scratch
        )
        skip: list[nn.Module] = []
        if row.stride > 1 or 2 * row.padding != row.kernel - 1:
            skip.append(nn.AvgPool3d(row.kernel, row.stride, row.padding))
        if in_type != out_type:
            skip.append(SteerableConv3d(in_type, out_type, 1, recompute=recompute, scratch=scratch))
        self.skip = nn.Sequential(*skip)

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        out: Tensor = self.skip(x) + self.conv(self.hidden(x, views))
        return out
