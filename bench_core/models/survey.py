"""The networks that the channel comparison reviews, as tables: one way to build and compare them all.

Rows are those of the review. Where it lists no head, one `Linear` for the six directions is added (`added_head`).
What a paper leaves open and is filled in here is labelled (`completed`), what is carried over from two dimensions too
(`port`); `notes` say what and why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bench_core.errors import ModelError
from bench_core.models.architectures import VIEW_CHANNELS, VIEW_SIDE_VOXELS
from bench_core.models.survey_images import ALEXNET, MOBILENET, VGG_19
from bench_core.models.survey_steerable import CESA_2022, WEILER_2018, WEILER_2018_TORNG
from bench_core.models.table_layers import per_axis
from bench_core.models.tables import Architecture, Conv, Layer, Linear, Pool

DIRECTIONS = 6

HALVE = Pool("max", 2)
HEAD = Linear(DIRECTIONS)

VOXNET = Architecture(
    "voxnet", (Conv(32, 5, stride=2), Conv(32, 3), HALVE, HEAD), input_channels=1, input_side=32, added_head=True
)

C3D = Architecture(
    "c3d",
    (
        Conv(64, 3, padding=1),
        Pool("max", (1, 2, 2)),
        Conv(128, 3, padding=1),
        HALVE,
        Conv(256, 3, padding=1),
        Conv(256, 3, padding=1),
        HALVE,
        Conv(512, 3, padding=1),
        Conv(512, 3, padding=1),
        HALVE,
        Conv(512, 3, padding=1),
        Conv(512, 3, padding=1),
        Pool("max", 2, padding=(0, 1, 1)),
        HEAD,
    ),
    input_channels=3,
    input_side=(16, 112, 112),
    completed=True,
    added_head=True,
    notes=(
        "The review leaves the last pool open. The authors' network ends in 1x4x4 voxels, which a pool of 2 gives with "
        "a padding of 1 along the two axes of the picture. The stride of the first pool, printed as 2, is 1x2x2 by its "
        "output of 16x56x56."
    ),
)

ATOMNET = Architecture(
    "atomnet",
    (Conv(128, 5), Conv(256, 3), Conv(256, 3), Conv(256, 3), HEAD),
    input_channels=VIEW_CHANNELS,
    input_side=20,
    completed=True,
    added_head=True,
    notes=(
        "The review has kernels, channels and the input side only. Filled in: stride 1, no padding, and the four "
        "channels of our views."
    ),
)

TORNG_2017 = Architecture(
    "torng_2017",
    (Conv(100, 3), Conv(200, 3), HALVE, Conv(400, 3), HALVE, HEAD),
    input_channels=4,
    input_side=20,
    added_head=True,
)

DOVE = dataclasses.replace(
    TORNG_2017, name="dove", input_channels=6, notes="Layers as torng_2017, on an image of six channels."
)

GNINA = Architecture(
    "gnina",
    (HALVE, Conv(32, 3, padding=1), HALVE, Conv(64, 3, padding=1), HALVE, Conv(128, 3, padding=1), HEAD),
    input_channels=34,
    input_side=48,
    added_head=True,
    notes="The authors are not clear about the shapes; these are the reviewer's, and the arithmetic agrees with them.",
)

DEEPSITE = Architecture(
    "deepsite",
    (
        Conv(32, 8, padding="same"),
        Conv(48, 4),
        HALVE,
        Conv(64, 4, padding="same"),
        Conv(96, 4),
        HALVE,
        HEAD,
    ),
    input_channels=8,
    input_side=16,
    added_head=True,
    notes=(
        "Both pools get odd sides (13 and 3) and drop what is left over, as the reviewer remarks; even kernels with "
        'padding "same" pad the far end by one more.'
    ),
)

DEREVYANKO_2018 = Architecture(
    "derevyanko_2018",
    (
        Conv(16, 3),
        Pool("max", 3, stride=2),
        Conv(32, 3),
        Pool("max", 3, stride=2),
        Conv(32, 3),
        Conv(64, 3),
        Pool("max", 3, stride=2),
        Conv(128, 3),
        Conv(128, 3),
        Conv(256, 3),
        Conv(512, 3),
        Pool("max", 3),
        Linear(256),
        Linear(128),
        Linear(1),
    ),
    input_channels=11,
    input_side=120,
)

EMAP2SEC = Architecture(
    "emap2sec",
    (
        Conv(32, 4, padding="same"),
        Conv(64, 3, padding="same"),
        Conv(64, 3, padding="same"),
        Conv(128, 3, padding="same"),
        Conv(128, 3, padding="same"),
        HEAD,
    ),
    input_channels=1,
    input_side=11,
    completed=True,
    added_head=True,
    notes=(
        'The review leaves the padding and the input channels open. Filled in: padding "same", because without any '
        "the last kernel is larger than what is left, and one channel, the density of a map."
    ),
)

ORNATE = Architecture(
    "ornate",
    (Conv(15, 1), Conv(20, 3), Conv(30, 4), Conv(20, 4), Pool("avg", 4), HEAD),
    input_channels=167,
    input_side=24,
    added_head=True,
)


def _ported(original: Architecture) -> Architecture:
    """The same rows over cubes: every kernel, stride and padding along a third axis too."""
    return dataclasses.replace(original, name=f"{original.name}_3d", dimensions=3, port=True)


_IN_ORDER = (
    *map(_ported, (ALEXNET, VGG_19, MOBILENET)),
    VOXNET,
    C3D,
    ATOMNET,
    TORNG_2017,
    DOVE,
    GNINA,
    DEEPSITE,
    DEREVYANKO_2018,
    EMAP2SEC,
    ORNATE,
    WEILER_2018,
    WEILER_2018_TORNG,
    CESA_2022,
)

SURVEY: Mapping[str, Architecture] = MappingProxyType({table.name: table for table in _IN_ORDER})
"""Name -> table over three dimensions."""

ORIGINALS_2D: Mapping[str, Architecture] = MappingProxyType(
    {table.name: table for table in (ALEXNET, VGG_19, MOBILENET)}
)
"""Name -> table of the networks for pictures that `SURVEY` holds ports of."""


def on_views(architecture: Architecture) -> Architecture | str:
    """The table on a view of ours (21^3 voxels, 4 channels) with six outputs; or, where it does not fit, why not.

    Rows stay as they are but for two: the last Linear has an output for each direction, and a last pool that takes
    all voxels its own image leaves takes all that a view leaves.
    """
    if architecture.dimensions != 3:
        return f"{architecture.name}: its images have {architecture.dimensions} dimensions, a view has three"
    view: dict[str, Any] = {"input_channels": VIEW_CHANNELS, "input_side": VIEW_SIDE_VOXELS}
    try:
        layers = _with_whole_pool(architecture, view)
        if isinstance(layers[-1], Linear):
            layers = (*layers[:-1], HEAD)
        return architecture.with_(layers=layers, **view)
    except ModelError as error:
        return str(error)


def _with_whole_pool(architecture: Architecture, view: Mapping[str, Any]) -> tuple[Layer, ...]:
    """The rows, with the last pool as large as its input if it was so before."""
    layers, inputs = architecture.layers, (architecture.input_shape, *architecture.shapes())
    for index, layer in reversed(list(enumerate(layers))):
        if isinstance(layer, Pool):
            if index == 0 or per_axis(layer.kernel, architecture.dimensions) != inputs[index]:
                break
            left = architecture.with_(layers=layers[:index], flatten=True, **view).shapes()[-1]
            return (*layers[:index], dataclasses.replace(layer, kernel=left, stride=None), *layers[index + 1 :])
    return layers
