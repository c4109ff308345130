"""The stock backend: parameter counts, equivariance in the structure's coordinates, states, initialization."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from equivariance import CUBE_ROTATIONS, equivariance_error, faces_after, settled, spread
from parameter_counts import PARAMETERS

from bench_core.errors import ModelError
from bench_core.frames import CUBE_FACES
from bench_core.models.architectures import ARCHITECTURES
from bench_core.models.building import build
from bench_core.models.conversion import to_dense
from bench_core.models.so3.fourier import KERNEL_AXES
from bench_core.models.stock.importing import import_escnn
from bench_core.models.stock.initialization import he_initialize
from bench_core.models.stock.networks import StockClassifier, fourier_relu
from bench_core.models.tables import Architecture, Pool, SteerableConv

SMALL = Architecture("small", (SteerableConv(1, 3), SteerableConv(2, 3, stride=2), SteerableConv(2, 3)), 2, 9)


@pytest.fixture
def model() -> StockClassifier:
    torch.manual_seed(0)
    return StockClassifier(SMALL)


def some_views(architecture: Architecture = SMALL, pairs: int = 3) -> torch.Tensor:
    side = architecture.input_side
    generator = torch.Generator().manual_seed(1)
    return torch.randn(pairs, 2, architecture.input_channels, side, side, side, generator=generator)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts(name: str) -> None:
    model = StockClassifier(ARCHITECTURES[name], initialize=False)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


def test_logits_turn_with_the_structure(model: StockClassifier) -> None:
    views = some_views()
    assert equivariance_error(settled(model, views), views) < 5e-5


def test_rotations_move_the_logits(model: StockClassifier) -> None:
    """Else, the test above could pass with logits that are all the same."""
    views = some_views()
    settled(model, views)
    with torch.no_grad():
        logits = model(views)
    moved = [r for r in CUBE_ROTATIONS if (logits[:, faces_after(r)] - logits).abs().max() > 0.5 * spread(logits)]
    assert len(moved) == 23


def test_faces_in_coordinates_of_escnn_would_not_turn_with_the_structure(model: StockClassifier) -> None:
    views = some_views()
    settled(model, views)
    order = [int(np.argmax(CUBE_FACES @ (KERNEL_AXES.T @ face))) for face in CUBE_FACES]
    model.head.faces.copy_(model.head.faces[order].clone())
    assert equivariance_error(model, views) > 0.1


def test_flattening_is_not_equivariant() -> None:
    torch.manual_seed(0)
    architecture = Architecture("flattened", SMALL.layers[:2], 2, 9, flatten=True)
    views = some_views()
    model = StockClassifier(architecture)
    assert model.encoder.output_fields == 2 * 3**3
    assert equivariance_error(settled(model, views), views) > 0.1


def test_average_pooling_is_equivariant() -> None:
    torch.manual_seed(0)
    architecture = Architecture("pooled", (SteerableConv(2, 3), Pool("avg", 7), SteerableConv(1, 1)), 2, 9)
    views = some_views()
    assert equivariance_error(settled(StockClassifier(architecture), views), views) < 5e-5


@pytest.mark.parametrize(
    "override", [{"kernel": 5}, {"band_limit": 1}, pytest.param({"band_limit": 3}, marks=pytest.mark.slow)]
)
def test_overrides(override: dict[str, int]) -> None:
    torch.manual_seed(0)
    architecture = Architecture("other", (SteerableConv(1, 3), SteerableConv(1, 3)), 2, 5)
    if "kernel" in override:
        architecture = architecture.with_(input_side=9, **override)
    else:
        architecture = architecture.with_(**override)
    views = some_views(architecture)
    assert equivariance_error(settled(StockClassifier(architecture), views), views) < 5e-5


def test_band_limit_3_has_84_channels_and_192_samples() -> None:
    space = import_escnn().gspaces.rot3dOnR3(maximum_frequency=3)
    transform = fourier_relu(space, 1, 3)
    assert len(transform.rho.irreps) == 16
    assert tuple(transform.A.shape) == (192, 84)
    assert np.linalg.cond(transform.A.numpy()) < 2


@pytest.mark.parametrize(("blocks", "rank"), [(4, 81), (8, 84)])
def test_96_samples_do_not_tell_the_84_coefficients_apart(blocks: int, rank: int) -> None:
    space = import_escnn().gspaces.rot3dOnR3(maximum_frequency=3)
    irreps = space.fibergroup.bl_irreps(3)
    transform = import_escnn().nn.FourierPointwise(space, 1, irreps, type="thomson_cube", N=blocks)
    assert np.linalg.matrix_rank(transform.A.numpy(), tol=1e-4) == rank


def test_both_views_count_in_the_batch_norm(model: StockClassifier) -> None:
    model(some_views())
    assert [int(layer.norm.num_batches_tracked) for layer in model.encoder.layers[:-1]] == [2, 2]
    assert model.encoder.layers[-1].norm is None
    assert model.encoder.layers[-1].conv.bias is not None


def test_training_steps_reduce_the_loss(model: StockClassifier) -> None:
    views, labels = some_views(pairs=6), torch.arange(6)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(views), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_state_holds_parameters_and_statistics(model: StockClassifier) -> None:
    fresh = set(model.state_dict())
    statistics = {name for name in fresh if name.endswith(("_running_mean", "_running_var", "num_batches_tracked"))}
    assert fresh - statistics == {name for name, _ in model.named_parameters()}
    assert set(model.eval().state_dict()) == fresh
    saved = io.BytesIO()
    torch.save(model.state_dict(), saved)
    assert len(saved.getvalue()) < 4 * sum(parameter.numel() for parameter in model.parameters()) + 40_000


@pytest.mark.parametrize("training", [True, False])
def test_a_state_loads_into_either_mode(model: StockClassifier, training: bool) -> None:
    views = some_views()
    expected = settled(model, views)(views)
    other = StockClassifier(SMALL).train(training)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other.eval()(views), expected, rtol=0, atol=0)
    torch.testing.assert_close(model(views), expected, rtol=0, atol=0)


def test_a_state_within_a_larger_module(model: StockClassifier) -> None:
    outer, other = torch.nn.Sequential(model), torch.nn.Sequential(StockClassifier(SMALL))
    assert len(outer.state_dict()) == len(model.state_dict())
    other.load_state_dict(outer.state_dict())
    for first, second in zip(outer.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_a_state_that_lacks_weights_is_refused(model: StockClassifier) -> None:
    state = model.state_dict()
    state.pop("encoder.layers.0.conv.weights")
    with pytest.raises(RuntimeError, match=r"encoder\.layers\.0\.conv\.weights"):
        model.load_state_dict(state)


def test_no_filters_stay_after_construction(model: StockClassifier) -> None:
    for layer in model.encoder.layers:
        assert not hasattr(layer.conv, "filter")
    assert not hasattr(model.head.hidden, "matrix")


def test_initialization_is_that_of_escnn(model: StockClassifier) -> None:
    layers = [*(layer.conv for layer in model.encoder.layers), model.head.hidden, model.head.output]
    for layer in layers:
        torch.manual_seed(5)
        he_initialize(layer)
        own = layer.weights.clone()
        torch.manual_seed(5)
        import_escnn().nn.init.generalized_he_init(layer.weights.data, layer.basisexpansion)
        torch.testing.assert_close(own, layer.weights, rtol=0, atol=0)


def test_the_same_seed_gives_the_same_model(model: StockClassifier) -> None:
    torch.manual_seed(0)
    views = some_views()
    torch.testing.assert_close(StockClassifier(SMALL)(views), model(views), rtol=0, atol=0)


@pytest.mark.parametrize("mode", ["direction", "frame"])
def test_the_same_seed_gives_the_weights_of_the_dense_backend(mode: str) -> None:
    torch.manual_seed(3)
    dense = build(SMALL, mode=mode)
    torch.manual_seed(3)
    stock = build(SMALL, backend="escnn", mode=mode)
    torch.testing.assert_close(to_dense(stock.state_dict()), dict(dense.state_dict()), rtol=1e-6, atol=0)
    views = some_views()
    torch.testing.assert_close(stock(views), dense(views), rtol=1e-4, atol=1e-5)


def test_frames_are_rigid() -> None:
    torch.manual_seed(0)
    frames = StockClassifier(SMALL, "frame")(some_views())
    rotations = frames[:, :3, :3]
    torch.testing.assert_close(rotations @ rotations.transpose(1, 2), torch.eye(3).expand(3, 3, 3), atol=1e-5, rtol=0)
    assert frames[:, 3].tolist() == [[0, 0, 0, 1]] * 3


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ModelError, match="mode 'angle' is unknown: choose one of direction, frame"):
        StockClassifier(SMALL, "angle")


def test_fields_that_are_not_regular_are_refused() -> None:
    with pytest.raises(ModelError, match="regular fields only"):
        StockClassifier(Architecture("vectors", (SteerableConv({0: 2, 1: 2}, 3),), 2, 3))


def test_too_high_a_band_limit_is_refused() -> None:
    with pytest.raises(ModelError, match="band limits up to 3, not 4"):
        StockClassifier(SMALL.with_(band_limit=4))
