"""The reviewed networks: tables against the review's own, and modules against their tables."""

import itertools
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench_core.errors import ModelError
from bench_core.models.plain import build_plain, forward_flops
from bench_core.models.survey import ORIGINALS_2D, SURVEY, on_views
from bench_core.models.tables import Architecture, Conv, Linear, Pool, ResidualBlock

TABLES = {**ORIGINALS_2D, **SURVEY}
PLAIN = [name for name, table in TABLES.items() if not table.steerable]

REVIEWED = {}
"""Name -> [(what the row says, side, channels)], the input first, as the review prints them."""
for line in (Path(__file__).parent / "golden" / "survey_tables.txt").read_text().splitlines():
    name, _, rows = line.partition(": ")
    REVIEWED[name] = [
        re.fullmatch(r"(.+?) -> (?:(\S+) x )?(\S+)(?: \(.*\))?", row).groups() for row in rows.split("; ")
    ]

# What is printed and cannot be so: {(name, row): (side, channels)}.
DEPARTURES = {
    ("alexnet", 8): ("6", "256"),  # a kernel of 3 at stride 2 leaves 6 of 13, not 5
    ("cesa_2022", 4): ("5", "480"),  # 48 representations of 10 channels on average, not 240 channels
}


def as_printed(shape):
    return str(shape[0]) if len(set(shape)) == 1 else "x".join(map(str, shape))


def test_every_table_of_the_review_is_here():
    assert set(REVIEWED) == set(TABLES) - {"alexnet_3d", "vgg_19_3d", "mobilenet_3d", "weiler_2018_torng"}


@pytest.mark.parametrize("name", REVIEWED)
def test_rows_of_the_review(name):
    table = TABLES[name]
    shapes = (table.input_shape, *table.shapes())
    channels = (table.input_channels, *table.channels())
    for row, (words, side, printed_channels) in enumerate(REVIEWED[name]):
        side, printed_channels = DEPARTURES.get((name, row), (side, printed_channels))
        if side not in ("?", None):
            assert as_printed(shapes[row]) == side, (row, words)
        if printed_channels != "?":
            assert channels[row] == int(printed_channels), (row, words)
        if row > 0:
            kernel = re.search(r" k(\d\S*)", words)
            assert kernel is None or "linear" in words or f"k{kernel[1]} " in str(table.layers[row - 1]), (row, words)
            assert ("depthwise" in words) == ("depthwise" in str(table.layers[row - 1]))
    added = len(table.layers) + 1 - len(REVIEWED[name])
    assert added == (3 if name == "cesa_2022" else int(table.added_head))


@pytest.mark.parametrize(("name", "row"), DEPARTURES)
def test_departures_are_told(name, row):
    assert REVIEWED[name][row][1:] != DEPARTURES[name, row]
    assert "the review prints" in TABLES[name].notes.lower()


@pytest.mark.parametrize("name", REVIEWED)
def test_open_rows_are_labelled(name):
    is_open = any(value == "?" for _, *values in REVIEWED[name] for value in values)
    assert TABLES[name].completed == is_open
    assert not is_open or "open" in TABLES[name].notes or "Filled in" in TABLES[name].notes


def test_ports_have_the_rows_of_their_originals():
    for name, original in ORIGINALS_2D.items():
        port = SURVEY[f"{name}_3d"]
        assert port.port
        assert port.layers == original.layers
        assert port.sides() == original.sides()
    assert sum(table.port for table in TABLES.values()) == 3


def test_doubling_the_channels_where_the_sides_halve():
    for name in ("vgg_19_3d", "mobilenet_3d"):
        table = SURVEY[name]
        widths = dict(zip(table.sides(), table.channels(), strict=True))  # the last layer of each side
        narrowest_first = [widths[side] for side in sorted(widths, reverse=True) if side > 1]
        assert all(b in (a, 2 * a) for a, b in itertools.pairwise(narrowest_first))


def test_inside_and_between_the_blocks_of_the_residual_network():
    table = SURVEY["cesa_2022"]
    blocks = [layer for layer in table.layers if isinstance(layer, ResidualBlock)]
    hidden = [35 * block.hidden_fields for block in blocks]
    inside = list(zip(table.sides(), hidden, strict=False))  # the hidden fields have the side that comes in
    assert inside == [(33, 70), (17, 175), (9, 175), (5, 350)]
    assert table.channels()[5] == 128 * (1 + 3 + 5)


def built(table):
    with torch.device("meta"):
        return build_plain(table).eval()


def shapes_of_rows(module, table):
    """What comes out of each row on a forward, without the batch."""
    shapes = []
    for row in module:
        row.register_forward_hook(lambda row, inputs, output: shapes.append(tuple(output.shape[1:])))
    module(torch.empty(2, table.input_channels, *table.input_shape, device="meta"))
    return shapes


@pytest.mark.parametrize("name", PLAIN)
def test_modules_have_the_shapes_of_their_tables(name):
    table = TABLES[name]
    expected = [
        (channels,) if isinstance(layer, Linear) else (channels, *shape)
        for layer, shape, channels in zip(table.layers, table.shapes(), table.channels(), strict=True)
    ]
    assert shapes_of_rows(built(table), table) == expected


def counted_by_hand(table):
    """Parameters and multiply-adds of one image."""
    parameters = multiply_adds = 0
    channels, shape = table.input_channels, table.input_shape
    for layer, following, output in zip(table.layers, table.channels(), table.shapes(), strict=True):
        if isinstance(layer, Linear):
            weights = channels * math.prod(shape) * following
            parameters += weights + following
            multiply_adds += weights
        elif isinstance(layer, Conv):
            weights = following * (1 if layer.depthwise else channels) * layer.kernel**table.dimensions
            parameters += weights + (2 if table.batch_norm else 1) * following
            multiply_adds += weights * math.prod(output)
        channels, shape = following, output
    return parameters, multiply_adds


@pytest.mark.parametrize("name", PLAIN)
def test_parameters_and_flops(name):
    table, module = TABLES[name], built(TABLES[name])
    parameters, multiply_adds = counted_by_hand(table)
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters
    assert forward_flops(module, table.input_channels, table.input_shape, batch=3) == 3 * 2 * multiply_adds


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("vgg_19", 20_024_384),  # the convolutions of torchvision's vgg19
        ("alexnet", 3_747_200),  # without the two groups of the original
        ("mobilenet", 3_206_976),  # 4,231,976 less the classifier of a thousand classes
    ],
)
def test_published_counts_of_the_convolutions(name, parameters):
    without_head = built(TABLES[name])[:-1]
    assert sum(parameter.numel() for parameter in without_head.parameters()) == parameters


@pytest.mark.parametrize("name", ["voxnet", "torng_2017", "deepsite", "emap2sec", "ornate"])
def test_a_real_forward_and_backward(name):
    """The module runs, has a row per layer and gives every parameter a gradient."""
    table = on_views(SURVEY[name])
    torch.manual_seed(0)
    module = build_plain(table)
    output = module(torch.rand(1, 4, 21, 21, 21))
    assert output.shape == (1, 6)
    assert [key for key, _ in module.named_children()] == [f"row_{n}" for n in range(1, len(table.layers) + 1)]
    output.square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_the_last_linear_has_no_relu():
    rows = [[type(part).__name__ for part in row] for row in built(SURVEY["derevyanko_2018"])[-3:]]
    assert rows == [["Flatten", "Linear", "ReLU"]] * 2 + [["Flatten", "Linear"]]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("kernel", [3, 8, (2, 3, 4)])
def test_same_padding_is_that_of_torch(kernel):
    torch.manual_seed(0)
    module = build_plain(Architecture("same", (Conv(3, kernel, padding="same"),), 2, (5, 6, 7)))
    convolution, image = module[0][-2], torch.rand(1, 2, 5, 6, 7)
    expected = torch.nn.functional.conv3d(image, convolution.weight, convolution.bias, padding="same").relu()
    torch.testing.assert_close(module(image), expected)


def test_batch_norm_replaces_the_bias():
    module = build_plain(Architecture("normed", (Conv(8, 3), Linear(6)), 4, 5, batch_norm=True))
    kinds = [type(part).__name__ for part in module[0]]
    assert kinds == ["Conv3d", "BatchNorm3d", "ReLU"]
    assert module[0][0].bias is None


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_images_of_other_dimensions(dimensions):
    layers = (Conv(8, 3, padding="same"), Pool("avg", 2), Pool("max", 2), Linear(6))
    table = Architecture("image", layers, 4, 8, dimensions=dimensions)
    assert shapes_of_rows(built(table), table) == [(8, *shape) for shape in table.shapes()[:-1]] + [(6,)]


def test_counting_leaves_a_module_as_it_was():
    """A single voxel of a single image has no variance: a batch norm in training would refuse it."""
    module = build_plain(Architecture("normed", (Conv(8, 3), Linear(6)), 4, 3, batch_norm=True))
    module[0][1].eval()
    assert forward_flops(module, 4, (3, 3, 3)) == 2 * (4 * 8 * 27 + 8 * 6)
    assert (module.training, module[0][0].training, module[0][1].training) == (True, True, False)
    assert module[0][1].num_batches_tracked == 0


def test_what_build_plain_refuses():
    with pytest.raises(ModelError, match="weiler_2018: its convolutions are steerable"):
        build_plain(SURVEY["weiler_2018"])
    with pytest.raises(ModelError, match="tesseract: images of 4 dimensions; use 1, 2 or 3"):
        build_plain(Architecture("tesseract", (Conv(8, 3),), 1, 3, dimensions=4))


@pytest.mark.parametrize("name", TABLES)
def test_on_views(name):
    adapted = on_views(TABLES[name])
    if isinstance(adapted, str):
        assert adapted.startswith(f"{name}: ")
        return
    assert (adapted.input_shape, adapted.input_channels, adapted.channels()[-1]) == ((21, 21, 21), 4, 6)
    assert len(adapted.layers) == len(TABLES[name].layers)
    if not adapted.steerable:
        assert shapes_of_rows(built(adapted), adapted)[-1] == (6,)


def test_which_do_not_fit_a_view():
    reasons = {name: on_views(table) for name, table in TABLES.items() if isinstance(on_views(table), str)}
    assert set(reasons) == {*ORIGINALS_2D, "alexnet_3d", "derevyanko_2018", "weiler_2018_torng", "cesa_2022"}
    assert "have 2 dimensions, a view has three" in reasons["vgg_19"]
    assert "layer 6, Conv(64 channels, k3 s1 p0), gets 1x1x1 voxels" in reasons["derevyanko_2018"]
    assert "off its centre" in reasons["weiler_2018_torng"]


def test_a_pool_over_all_voxels_stays_one():
    assert SURVEY["mobilenet_3d"].layers[-2] == Pool("avg", 7)
    assert on_views(SURVEY["mobilenet_3d"]).layers[-2] == Pool("avg", (1, 1, 1))
    assert on_views(SURVEY["weiler_2018"]).layers[-2] == Pool("avg", (13, 13, 13))
    assert on_views(SURVEY["ornate"]).layers[-2] == Pool("avg", 4)


def test_tables_need_no_torch():
    code = "import sys, bench_core.models.closed_forms, bench_core.models.survey; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
