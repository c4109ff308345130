"""The reviewed steerable networks as modules: shapes, parameters, and what rotations of the image do to them."""

import itertools

import pytest
import torch

from bench_core.errors import ModelError
from bench_core.models.closed_forms import filter_parameters
from bench_core.models.dense.irreps import GatedLayer, Invariants, IrrepNorm, SphereMean, mixed_type
from bench_core.models.dense.maps import FieldType
from bench_core.models.dense.single_images import SteerableNetwork
from bench_core.models.survey import SURVEY, on_views
from bench_core.models.survey_networks import image_network, survey_network
from bench_core.models.tables import Architecture, Linear, Pool, ResidualBlock, SteerableConv

STEERABLE = [name for name, table in SURVEY.items() if table.steerable]

GATED = Architecture(
    "gated",
    (
        SteerableConv({0: 3, 1: 2, 2: 1}, 3, stride=2, padding=1),
        SteerableConv({0: 4, 1: 3, 2: 2}, 3),
        Pool("avg", 3),
        Linear(6),
    ),
    input_channels=2,
    input_side=9,
)
RESIDUAL = Architecture(
    "residual",
    (
        SteerableConv({0: 2, 1: 2, 2: 1}, 3, padding=1),
        ResidualBlock({0: 2, 1: 3, 2: 1, 3: 1}, hidden_fields=2, stride=2),
        ResidualBlock({0: 2, 1: 3, 2: 1, 3: 1}, hidden_fields={0: 3, 1: 2, 2: 1}, stride=2),
        SteerableConv({0: 4, 1: 4, 2: 4}, 3),
        Linear(5),
        Linear(6),
    ),
    input_channels=2,
    input_side=9,
)
MIXED_WITH_REGULAR = Architecture(
    "mixed_with_regular",
    (SteerableConv(2, 3), SteerableConv({1: 2, 2: 2}, 3), SteerableConv(1, 3), Linear(6)),
    input_channels=2,
    input_side=7,
)


def built(table):
    """The network with the statistics of a few images, in eval mode, and its weights away from their start."""
    torch.manual_seed(0)
    network = image_network(table)
    for _ in range(2):
        network(torch.rand(4, table.input_channels, *table.input_shape))
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return network.eval()


def rotated(image):
    """The image under the 24 rotations of the cube."""
    for axes in ((2, 3, 4), (3, 4, 2), (4, 2, 3)):  # which axis of the cube points along the first one
        turned = image.permute(0, 1, *axes)
        for flipped, quarters in itertools.product((False, True), range(4)):
            side = turned.rot90(2, (2, 3)) if flipped else turned
            yield side.rot90(quarters, (3, 4))


def deviation(table, rotations):
    """The largest change of an output under these rotations, in standard deviations of the outputs of other images."""
    network = built(table)
    images = torch.rand(8, table.input_channels, *table.input_shape)
    with torch.no_grad():
        spread = network(images).std(0).max()
        before = network(images[:1])
        return max((network(turned) - before).abs().max() for turned in rotations(images[:1])) / spread


@pytest.mark.parametrize("name", STEERABLE)
def test_modules_have_the_shapes_of_their_tables(name):
    table, network = SURVEY[name], survey_network(name).to("meta")
    shapes = []
    for row in network.rows:
        row.register_forward_hook(lambda row, inputs, output: shapes.append(tuple(output.shape)))
    network(torch.empty(2, table.input_channels, *table.input_shape, device="meta"))
    expected = [(2, channels, *shape) for channels, shape in zip(table.channels(), table.shapes(), strict=True)]
    images = sum(not isinstance(layer, Linear) for layer in table.layers)
    if name == "cesa_2022":
        expected[images - 1] = (2, 128, 1, 1, 1)  # of the functions on the sphere their means
    assert shapes == expected[:images] + [row[:2] for row in expected[images:]]


def test_parameters_of_weiler_2018():
    """142 K are published; the margin of 1 % is what the gates' norms could differ in."""
    parameters = sum(parameter.numel() for parameter in survey_network("weiler_2018").parameters())
    assert parameters == pytest.approx(142_000, rel=0.01)


@pytest.mark.parametrize("name", ["weiler_2018", "weiler_2018_torng"])
def test_parameters_by_hand(name):
    table = SURVEY[name]
    fields, expected = {0: table.input_channels}, 0
    for layer in table.layers[:-1]:
        if isinstance(layer, SteerableConv):
            degrees = layer.multiplicities(2)
            gates = degrees.get(1, 0) + degrees.get(2, 0)
            gated = {**degrees, 0: degrees[0] + gates}
            expected += filter_parameters(fields, gated, layer.kernel)
            expected += sum(gated.values()) + gated[0]  # a scale for each irrep, a shift for each scalar
            fields = degrees
    expected += (sum(fields.values()) + 1) * table.layers[-1].features
    assert sum(parameter.numel() for parameter in survey_network(name).parameters()) == expected


def test_parameters_of_the_residual_network():
    table, fields, expected = SURVEY["cesa_2022"], {0: 1}, 0
    for layer in table.layers[:-3]:
        degrees = layer.multiplicities(2)
        if isinstance(layer, ResidualBlock):
            hidden = layer.hidden_multiplicities(2)
            expected += filter_parameters(fields, hidden, 3) + filter_parameters(hidden, degrees, 3)
            expected += filter_parameters(fields, degrees, 1) + 2 * layer.hidden_fields
        else:
            expected += filter_parameters(fields, degrees, layer.kernel)
        fields = degrees
    expected += 128 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10
    assert sum(parameter.numel() for parameter in survey_network("cesa_2022").parameters()) == expected


@pytest.mark.parametrize("table", [GATED, RESIDUAL, MIXED_WITH_REGULAR], ids=lambda table: table.name)
def test_outputs_are_invariant_to_the_rotations_of_the_cube(table):
    assert len({tuple(turned.flatten().tolist()) for turned in rotated(torch.rand(1, 1, 2, 2, 2))}) == 24
    assert deviation(table, rotated) < 1e-4


def test_a_mirror_image_is_told_apart():
    """What is invariant to rotations alone: the control that shows that the test can fail."""
    assert deviation(GATED, lambda image: [image.flip(2)]) > 1e-2


def test_a_grid_off_its_centre_is_not_invariant():
    off = Architecture("off", GATED.layers, 2, input_side=10, off_centre=True)
    assert deviation(off, rotated) > 1e-2


@pytest.mark.slow
def test_the_residual_network_is_invariant():
    table = SURVEY["cesa_2022"]
    assert deviation(table, lambda image: [image.rot90(1, axes) for axes in ((2, 3), (3, 4))]) < 1e-3


def test_training_reaches_every_parameter_and_filters_may_be_kept():
    gradients = []
    for recompute in (True, False):
        torch.manual_seed(0)
        network = SteerableNetwork(RESIDUAL, recompute=recompute)
        network(torch.rand(2, 2, 9, 9, 9)).square().sum().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert all(gradient is not None and (gradient.any() or gradient.numel() == 0) for gradient in gradients[0])
    torch.testing.assert_close(*gradients)


def test_state_dicts_hold_no_filters():
    network = survey_network("weiler_2018")
    assert sum(tensor.numel() for tensor in network.state_dict().values()) < 150_000


def test_a_norm_of_irreps():
    """Scalars have mean 0 and variance 1, every other irrep an average variance of 1 over its channels."""
    torch.manual_seed(0)
    norm = IrrepNorm((0, 0, 1, 2, 2))
    x = torch.randn(6, 2 + 3 + 10, 4, 4, 4) * torch.arange(1, 16).view(-1, 1, 1, 1) + 5
    out = norm(x)
    irreps = out.split([1, 1, 3, 5, 5], dim=1)
    assert out[:, :2].mean((0, 2, 3, 4)).abs().max() < 1e-5
    for irrep in irreps:
        assert irrep.detach().var((0, 2, 3, 4)).mean().item() == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(out[:, 2:5] / x[:, 2:5], (out[0, 2, 0, 0, 0] / x[0, 2, 0, 0, 0]).expand(6, 3, 4, 4, 4))


def test_a_norm_of_two_views():
    torch.manual_seed(0)
    norm, x = IrrepNorm((0, 1)), torch.randn(4, 4, 3, 3, 3) + torch.tensor([0, 0, 7.0, 7]).view(4, 1, 1, 1, 1)
    torch.testing.assert_close(norm(x, views=2), torch.cat([norm(x[:2]), norm(x[2:])]))


def test_gates():
    torch.manual_seed(0)
    layer = GatedLayer(FieldType((0,), 2), {0: 2, 1: 1, 2: 2}, 3)
    x = torch.randn(3, 2, 5, 5, 5)
    before = layer.norm(layer.conv(x))
    scalars, gates, vector, tensors = before.split([2, 3, 3, 10], dim=1)
    gates = gates.sigmoid()
    expected = [scalars.clamp(min=0), vector * gates[:, :1]]
    expected += [tensors[:, :5] * gates[:, 1:2], tensors[:, 5:] * gates[:, 2:]]
    torch.testing.assert_close(layer(x), torch.cat(expected, dim=1))


def test_means_of_functions_on_the_sphere():
    constant = torch.zeros(1, 2 * 9)
    constant[0, [0, 9]] = torch.tensor([3.0, -3.0])
    torch.testing.assert_close(SphereMean(2)(constant), torch.tensor([[3 / 3**0.5, 0]]))


def test_what_is_invariant():
    x = torch.tensor([[2.0, -1.0, 3.0, 0.0, 4.0]]).requires_grad_()
    out = Invariants(mixed_type({0: 2, 1: 1}))(x)
    torch.testing.assert_close(out, torch.tensor([[2.0, -1.0, 5.0]]))
    assert torch.autograd.grad(out.sum(), x)[0].isfinite().all()
    assert Invariants(mixed_type({0: 5}))(x) is x


def test_on_views():
    network = image_network(on_views(SURVEY["weiler_2018"])).to("meta")
    assert network(torch.empty(2, 4, 21, 21, 21, device="meta")).shape == (2, 6)


def test_an_unknown_name():
    with pytest.raises(ModelError, match="no network 'resnet' in the survey: choose one of alexnet_3d, "):
        survey_network("resnet")
    assert survey_network("voxnet")(torch.zeros(1, 1, 32, 32, 32)).shape == (1, 6)
