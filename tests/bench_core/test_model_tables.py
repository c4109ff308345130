"""Tables of layers: what fits, what comes out, what is refused and in which words."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.errors import BenchCoreError, ModelError
from bench_core.models.plain import build_plain
from bench_core.models.tables import (
    Architecture,
    Conv,
    Linear,
    Pool,
    ResidualBlock,
    SteerableConv,
    channels_of,
    regular_channels,
    regular_irreps,
)

SHALLOW = Architecture(
    "shallow",
    (
        SteerableConv(7, 3),
        SteerableConv(14, 3, stride=2),
        SteerableConv(14, 3),
        SteerableConv(58, 3, stride=2),
        SteerableConv(58, 3),
    ),
    input_channels=4,
    input_side=21,
)

numbers = st.integers(1, 6)
extents = numbers | st.tuples(numbers, numbers, numbers)
paddings = st.integers(0, 4)
windows = {"kernel": extents, "stride": extents, "padding": paddings | st.tuples(paddings, paddings, paddings)}
conv_arguments = st.fixed_dictionaries({"channels": st.just(2), **windows})
pool_arguments = st.fixed_dictionaries({"kind": st.sampled_from(["max", "avg"]), **windows})
shapes = st.tuples(*[st.integers(1, 12)] * 3)


def torch_shape(kind, arguments, shape):
    """The shape that torch makes of it, None if it refuses."""
    arguments = dict(arguments)
    with torch.device("meta"):
        if kind is Conv:
            module = torch.nn.Conv3d(1, arguments["channels"], *[arguments[name] for name in windows])
        else:
            pool = torch.nn.MaxPool3d if arguments["kind"] == "max" else torch.nn.AvgPool3d
            module = pool(*[arguments[name] for name in windows])
        try:
            return tuple(module(torch.empty(1, 1, *shape)).shape[2:])
        except RuntimeError:
            return None


@settings(deadline=None, max_examples=300)
@given(st.tuples(st.just(Conv), conv_arguments) | st.tuples(st.just(Pool), pool_arguments), shapes)
def test_a_layer_fits_where_torch_takes_it(kind_and_arguments, shape):
    kind, arguments = kind_and_arguments
    expected = torch_shape(kind, arguments, shape)
    try:
        table = Architecture("one", (kind(**arguments),), 1, shape)
    except ModelError:
        assert expected is None
    else:
        assert table.shapes() == (expected,)


@settings(deadline=None, max_examples=100)
@given(numbers, shapes)
def test_same_padding_keeps_the_shape(kernel, shape):
    table = Architecture("same", (Conv(2, kernel, padding="same"),), 1, shape)
    with torch.device("meta"):
        output = build_plain(table)(torch.empty(1, 1, *shape))
    assert table.shapes() == (shape,) == (tuple(output.shape[2:]),)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 25), st.integers(1, 7), st.integers(1, 4), st.integers(0, 3))
def test_a_steerable_layer_is_refused_where_the_grid_moves(side, kernel, stride, padding):
    """Centred: the voxels that the first and the last filter see lie symmetrically in the padded image."""
    kernel += kernel == 2  # which is refused, whatever the grid
    layers = (SteerableConv(1, kernel, stride, padding),)
    if side + 2 * padding < kernel:
        with pytest.raises(ModelError, match="larger than the side"):
            Architecture("grid", layers, 1, side, flatten=True)
        return
    starts = range(0, side + 2 * padding - kernel + 1, stride)
    seen_from, seen_to = starts[0], starts[-1] + kernel
    if seen_from == side + 2 * padding - seen_to:
        assert Architecture("grid", layers, 1, side, flatten=True).sides() == (len(starts),)
    else:
        with pytest.raises(ModelError, match="off its centre"):
            Architecture("grid", layers, 1, side, flatten=True)
        assert Architecture("grid", layers, 1, side, flatten=True, off_centre=True).sides() == (len(starts),)


def test_sides_and_channels():
    assert SHALLOW.sides() == (19, 9, 7, 3, 1)
    assert SHALLOW.channels() == (245, 490, 490, 2030, 2030)
    plain = Architecture("plain", (Conv(8, 3), Pool("max", 2), Conv(16, 1, depthwise=True), Linear(6)), 4, 21)
    assert plain.shapes() == ((19,) * 3, (9,) * 3, (9,) * 3, (1,) * 3)
    assert plain.channels() == (8, 8, 16, 6)
    assert (SHALLOW.steerable, plain.steerable) == (True, False)


def test_an_uneven_image_has_shapes_but_no_sides():
    film = Architecture("film", (Pool("max", (1, 2, 2)),), 3, (16, 112, 112))
    assert film.shapes() == ((16, 56, 56),)
    with pytest.raises(ModelError, match=r"film: 16x112x112 voxels have no one side; use shapes\(\)"):
        film.sides()


@pytest.mark.parametrize(("band_limit", "channels", "irreps"), [(0, 1, 1), (1, 10, 4), (2, 35, 9), (3, 84, 16)])
def test_regular_representation(band_limit, channels, irreps):
    assert regular_channels(band_limit) == channels == channels_of(1, band_limit)
    assert regular_irreps(band_limit) == irreps


def test_fields_by_degree():
    layer = SteerableConv({2: 2, 0: 8, 1: 4, 3: 0}, 3)
    assert layer.fields == ((0, 8), (1, 4), (2, 2))
    assert layer.multiplicities(2) == {0: 8, 1: 4, 2: 2}
    assert channels_of(layer.fields, 2) == 8 + 12 + 10
    assert SteerableConv(2, 3).multiplicities(2) == {0: 2, 1: 6, 2: 10}
    block = ResidualBlock({0: 1}, hidden_fields=2)
    assert (block.multiplicities(2), block.hidden_multiplicities(1)) == ({0: 1}, {0: 2, 1: 6})


def test_tables_are_values():
    assert pickle.loads(pickle.dumps(SHALLOW)) == SHALLOW
    assert len({SHALLOW, dataclasses.replace(SHALLOW), SHALLOW.with_(band_limit=1)}) == 2
    given_as_lists = Architecture("shallow", list(SHALLOW.layers), np.int64(4), np.int64(21))
    assert given_as_lists == SHALLOW
    assert isinstance(given_as_lists.input_side, int)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: Conv(0, 3), "Conv: channels is 0; use an integer of at least 1"),
        (lambda: Conv(8, 2.5), "Conv: kernel is 2.5; use an integer of at least 1"),
        (lambda: Conv(8, (3, 3, 0)), "Conv: kernel is 0; use an integer of at least 1"),
        (lambda: Conv(8, 3, padding=-1), "Conv: padding is -1; use an integer of at least 0"),
        (lambda: Conv(8, 3, padding="valid"), "Conv: padding is 'valid'; use an integer of at least 0"),
        (lambda: Conv(8, 3, 2, padding="same"), 'padding "same" needs stride 1'),
        (lambda: Conv(True, 3), "Conv: channels is True; use an integer of at least 1"),
        (lambda: Pool("median", 3), 'Pool: kind is \'median\'; use "max" or "avg"'),
        (lambda: Pool("max", 3, padding=2), r"Pool\(max, k3 s3 p2\): a padding of 2 is more than half"),
        (lambda: Linear(None), "Linear: features is None; use an integer of at least 1"),
        (lambda: SteerableConv(0, 3), "SteerableConv: fields is 0; use an integer of at least 1"),
        (lambda: SteerableConv({0: 0}, 3), "fields is {0: 0} and holds no field; name at least one degree"),
        (lambda: SteerableConv({-1: 2}, 3), "degree in fields is -1; use an integer of at least 0"),
        (lambda: SteerableConv({1: "2"}, 3), r"fields\[1\] is '2'; use an integer of at least 0"),
        (lambda: SteerableConv(7, (3, 3, 3)), r"kernel is \(3, 3, 3\); use an integer of at least 1"),
        (lambda: SteerableConv(7, 2), "filters of 2x2x2 voxels are zero: their rings meet no voxel; use 1 or 3"),
        (lambda: ResidualBlock(7, 7, kernel=4), "an even kernel cannot keep the shape"),
    ],
)
def test_a_layer_that_is_none(layer, message):
    with pytest.raises(ModelError, match=message) as caught:
        layer()
    assert isinstance(caught.value, BenchCoreError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("layers", "side", "message"),
    [
        (
            (Conv(8, 3), Conv(8, 5)),
            6,
            r"t: layer 2, Conv\(8 channels, k5 s1 p0\), gets 4x4x4 voxels: its kernel of 5 is larger than the side of "
            r"4; use a kernel of at most 4, a padding of at least 1, or fewer layers before it",
        ),
        ((Conv(8, 7, padding=1),), 3, "larger than the side of 3 with 2 of padding; use a kernel of at most 5"),
        ((Pool("avg", 4, padding=2),), 3, "larger than the side of 3; use a kernel of at most 3, or fewer layers"),
        ((Conv(6, 3), Conv(8, 3, depthwise=True)), 9, "layer 2, depthwise Conv.* no multiple of the 6 channels"),
        ((Conv(6, (3, 3)),), 9, r"layer 1, .*: 2 numbers \(3, 3\) for 3 axes; give one, or one per axis"),
        ((Linear(6), Conv(8, 1)), 9, "layer 2, .* comes after a Linear, which leaves no image"),
        ((SteerableConv(2, 3), Conv(8, 3)), 5, "layer 2, .* mixes the channels of a field; use SteerableConv"),
        ((SteerableConv(2, 3), Pool("max", 3)), 5, 'layer 2, .* rotate into each other; use kind "avg"'),
        ((SteerableConv(2, 3, stride=2),), 6, r"layer 1, .* gets 6x6x6 voxels: a stride of 2 leaves the last 1 of"),
        ((SteerableConv(2, 3), Linear(6)), 5, "layer 1, .* leaves 3x3x3 voxels, .* or allow it with flatten=True"),
        ((SteerableConv(2, 3),), (3, 3, 5), "t: steerable layers rotate cubes, and the image is 3x3x5"),
        ((Conv(8, 3),), (9, 9), r"2 numbers \(9, 9\) for 3 axes"),
        ((Conv(8, 3),), 0, "t: input_side is 0; use an integer of at least 1"),
        ((Conv(8, 3), "pool"), 9, "t: layer 2 is 'pool'; use a layer of bench_core.models.tables"),
        ((), 9, "t: no layers; give at least one"),
    ],
)
def test_a_table_that_does_not_fit(layers, side, message):
    with pytest.raises(ModelError, match=message):
        Architecture("t", layers, 4, side)


def test_flattening_is_asked_for():
    table = Architecture("negative control", (SteerableConv(2, 3), Linear(6)), 4, 5, flatten=True)
    assert table.sides() == (3, 1)


def test_kernel_override_keeps_padded_layers_padded():
    padded = Architecture("padded", (SteerableConv(2, 3, padding=1), SteerableConv(2, 3)), 4, 3)
    assert padded.with_(kernel=1, flatten=True).sides() == (3, 3)
    wide = padded.with_(kernel=5, input_side=5)
    assert [(layer.kernel, layer.padding) for layer in wide.layers] == [(5, 2), (5, 0)]
    assert Architecture("point", (SteerableConv(2, 1),), 4, 3, flatten=True).with_(kernel=3).sides() == (1,)
    with pytest.raises(ModelError, match=r"shallow: layer 4, SteerableConv\(58 regular, k5 s2 p0\), gets 3x3x3 voxels"):
        SHALLOW.with_(kernel=5)


def test_band_limit_override_keeps_the_copies():
    wide = SHALLOW.with_(band_limit=3)
    assert wide.channels() == tuple(84 * layer.fields for layer in SHALLOW.layers)


def test_width_override_keeps_the_proportions():
    assert [layer.fields for layer in SHALLOW.with_(width=14).layers] == [2 * layer.fields for layer in SHALLOW.layers]
    assert [layer.fields for layer in SHALLOW.with_(width=1).layers] == [1, 2, 2, 8, 8]
    assert SHALLOW.with_(width=7) == SHALLOW
    block = Architecture("block", (SteerableConv(2, 3), ResidualBlock({0: 5, 1: 1}, 4)), 4, 3)
    assert block.with_(width=1).layers[1] == ResidualBlock({0: 2, 1: 1}, 2)
    with pytest.raises(ModelError, match=r"block: its first fields are \{0: 2\}, and width counts regular copies"):
        block.with_(layers=(SteerableConv({0: 2}, 3),)).with_(width=2)


def test_hidden_override_keeps_the_channels_as_near_as_copies_allow():
    gated = SHALLOW.with_(hidden={0: 4, 1: 2})
    assert gated.channels() == (240, 490, 490, 2030, 2030)
    assert dict(gated.layers[0].fields) == {0: 96, 1: 48}
    assert SHALLOW.with_(hidden={0: 1}, band_limit=3).channels() == SHALLOW.channels()
    assert SHALLOW.with_(hidden="regular") == SHALLOW
    assert gated.with_(hidden="regular") == SHALLOW
    block = Architecture("block", (ResidualBlock({0: 5}, 2), SteerableConv(1, 3)), 4, 3)
    assert block.with_(hidden={0: 10}).layers[0] == ResidualBlock({0: 5}, {0: 70})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"depth": 7}, "shallow: no override depth; use width, kernel, hidden, name, layers"),
        ({"width": 0}, "shallow: width is 0; use an integer of at least 1"),
        ({"hidden": "gated"}, "shallow: hidden is 'gated'; use \"regular\" or {degree: multiplicity}"),
        ({"kernel": 0}, "kernel is 0; use an integer of at least 1"),
        ({"band_limit": -1}, "band_limit is -1; use an integer of at least 0"),
    ],
)
def test_an_override_that_it_does_not_bear(overrides, message):
    with pytest.raises(ModelError, match=message):
        SHALLOW.with_(**overrides)


def test_plain_tables_have_no_steerable_overrides():
    plain = Architecture("plain", (Conv(8, 3),), 4, 21)
    assert plain.with_(input_side=9).sides() == (7,)
    with pytest.raises(
        ModelError, match="plain: width, kernel, band_limit and hidden are overrides of steerable tables"
    ):
        plain.with_(kernel=5)
