"""The networks for pictures that the review lists, in two dimensions as their authors have them."""

from __future__ import annotations

from bench_core.models.tables import Architecture, Conv, Layer, Linear, Pool

HEAD = Linear(6)

ALEXNET = Architecture(
    "alexnet",
    (
        Conv(96, 11, stride=4),
        Pool("max", 3, stride=2),
        Conv(256, 5, padding=2),
        Pool("max", 3, stride=2),
        Conv(384, 3, padding=1),
        Conv(384, 3, padding=1),
        Conv(256, 3, padding=1),
        Pool("max", 3, stride=2),
        HEAD,
    ),
    input_channels=3,
    input_side=227,
    dimensions=2,
    added_head=True,
    notes="The review prints a side of 5 after the last pool; a kernel of 3 at stride 2 leaves 6 of 13.",
)


def _vgg_block(channels: int, convolutions: int) -> tuple[Layer, ...]:
    return (Conv(channels, 3, padding=1),) * convolutions


VGG_19 = Architecture(
    "vgg_19",
    (
        *_vgg_block(64, 2),
        Pool("max", 2),
        *_vgg_block(128, 2),
        Pool("max", 2),
        *_vgg_block(256, 4),
        Pool("max", 2),
        *_vgg_block(512, 4),
        Pool("max", 2),
        *_vgg_block(512, 4),
        Pool("max", 14),
        HEAD,
    ),
    input_channels=3,
    input_side=224,
    dimensions=2,
    added_head=True,
    notes="The last pool takes all 14 voxels, as the review prints it; the authors' halves them and flattens 7x7.",
)


def _separable(channels: int, following: int, stride: int = 1) -> tuple[Layer, ...]:
    """A filter for each channel, then a mixture of the channels in each voxel."""
    return (Conv(channels, 3, stride, padding=1, depthwise=True), Conv(following, 1))


MOBILENET = Architecture(
    "mobilenet",
    (
        Conv(32, 3, stride=2, padding=1),
        *_separable(32, 64),
        *_separable(64, 128, stride=2),
        *_separable(128, 128),
        *_separable(128, 256, stride=2),
        *_separable(256, 256),
        *_separable(256, 512, stride=2),
        *_separable(512, 512) * 5,
        *_separable(512, 1024, stride=2),
        *_separable(1024, 1024),
        Pool("avg", 7),
        HEAD,
    ),
    input_channels=3,
    input_side=224,
    dimensions=2,
    batch_norm=True,
    added_head=True,
    notes="The review prints a padding of 1 for the convolutions of one voxel, whose sides it keeps: 0 here.",
)
