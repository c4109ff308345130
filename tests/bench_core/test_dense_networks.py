"""View-pair networks of the dense backend: counts, equivariance with its convention, modes, states, compilation."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from equivariance import equivariance_error, settled
from parameter_counts import PARAMETERS
from torch import nn

from bench_core.errors import ModelError
from bench_core.models import ARCHITECTURES, Architecture, Conv, Pool, ResidualBlock, SteerableConv, build
from bench_core.models.dense.layers import scalar_type
from bench_core.models.dense.maps import FieldType, SteerableConv3d
from bench_core.models.dense.networks import DenseClassifier, rigid_frame

TINY = Architecture(
    "tiny",
    (SteerableConv(2, 3, padding=1), SteerableConv(3, 3, stride=2), SteerableConv(2, 3), SteerableConv(2, 2 + 1)),
    2,
    11,
)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameters_are_the_published_ones(name: str) -> None:
    assert set(PARAMETERS) == set(ARCHITECTURES)
    model = build(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    state = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    assert state < 4.1 * PARAMETERS[name]


@pytest.mark.parametrize(
    "overrides",
    [{}, {"band_limit": 1}, {"band_limit": 3}, {"hidden": {0: 3, 1: 2, 2: 1}}],
)
def test_logits_turn_with_the_views(overrides: dict[str, Any]) -> None:
    torch.manual_seed(0)
    x = torch.rand(3, 2, 2, 11, 11, 11)
    assert equivariance_error(settled(build(TINY, **overrides), x), x) < 5e-5


def test_kernels_can_be_overridden() -> None:
    model = build(TINY, kernel=5, input_side=21)
    assert [layer.conv.basis.kernel for layer in model.encoder.layers] == [5] * 4  # type: ignore[union-attr]
    assert model(torch.rand(2, 2, 2, 21, 21, 21)).shape == (2, 6)


def test_flattening_is_not_equivariant() -> None:
    torch.manual_seed(0)
    x = torch.rand(3, 2, 2, 11, 11, 11)
    flattened = Architecture("flattened", TINY.layers[:3], 2, 11, flatten=True)
    assert flattened.sides()[-1] == 3
    assert equivariance_error(settled(build(flattened), x), x) > 0.05
    pooled = Architecture("pooled", (*TINY.layers[:3], Pool("avg", 3)), 2, 11)
    assert equivariance_error(settled(build(pooled), x), x) < 5e-5


def test_an_ordinary_convolution_is_not_equivariant() -> None:
    torch.manual_seed(0)
    x = torch.rand(3, 2, 2, 7, 7, 7)
    plain = nn.Sequential(nn.Flatten(1, 2), nn.Conv3d(4, 8, 7), nn.ReLU(), nn.Flatten(), nn.Linear(8, 6))
    assert equivariance_error(plain, x) > 0.05


# Logits of arch_0 lie 128 float32 eps of the largest from those of float64 (AVX2; with SSE 22), and the largest is 5
# times their spread. Views and rotated views both round: twice that, and twice again for a processor that adds up in
# another order. That is 3e-4; in float64, with constants rounded to float32, the error is 6e-7.
EQUIVARIANCE_LIMITS = {
    "arch_0": 2 * 2 * 128 * torch.finfo(torch.float32).eps * 5,
    "arch_3_width_7_repeats_1": 5e-5,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EQUIVARIANCE_LIMITS)
def test_real_architectures_are_equivariant(name: str) -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 2, 4, 21, 21, 21)
    assert equivariance_error(settled(build(name), torch.cat([x, x.flip(2)])), x) < EQUIVARIANCE_LIMITS[name]


def test_frames_are_rigid_and_mode_is_checked() -> None:
    torch.manual_seed(0)
    frames = build(TINY, mode="frame")(torch.rand(3, 2, 2, 11, 11, 11))
    assert frames.shape == (3, 4, 4)
    rotations = frames[:, :3, :3]
    torch.testing.assert_close(rotations @ rotations.transpose(1, 2), torch.eye(3).expand(3, 3, 3))
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(3))
    assert frames[:, 3].tolist() == [[0.0, 0.0, 0.0, 1.0]] * 3
    identity = rigid_frame(torch.tensor([[2.0, 0, 0]]), torch.tensor([[1.0, 1, 0]]), torch.tensor([[1.0, 2, 3]]))[0]
    assert identity[:3, :3].tolist() == torch.eye(3).tolist()
    assert identity[:3, 3].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build("arch_9"), "no architecture 'arch_9': choose one of arch_0, arch_1_width_14_kernel_3, "),
        (lambda: build(TINY, backend="jax"), "backend 'jax' is unknown: choose one of dense, escnn"),
        (lambda: build(TINY, mode="angle"), "mode 'angle' is unknown: choose one of direction, frame"),
        (lambda: build(TINY, backend="escnn", recompute=True), "the escnn backend always keeps its filters"),
        (lambda: build(TINY, band_limit=7), "rotations are shipped for band limits up to 3, not 7"),
        (lambda: build(TINY, colour=1), "tiny: no override colour"),
        (lambda: build("arch_0", kernel=9), "arch_0: layer 2, .* gets 7x7x7 voxels"),
    ],
)
def test_bad_requests_get_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_kept_and_recomputed_filters_give_the_same_step() -> None:
    torch.manual_seed(0)
    recomputing = build(TINY)
    keeping = DenseClassifier(TINY, recompute=False)
    keeping.load_state_dict(recomputing.state_dict())
    x = torch.rand(2, 2, 2, 11, 11, 11)
    for model in (recomputing, keeping):
        nn.functional.cross_entropy(model(x), torch.tensor([1, 4])).backward()
    for one, other in zip(recomputing.parameters(), keeping.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_a_seed_decides_the_weights_and_a_copy_is_equal() -> None:
    models = []
    for _ in range(2):
        torch.manual_seed(5)
        models.append(build(TINY))
    models.append(copy.deepcopy(models[0]))
    x = torch.rand(2, 2, 2, 11, 11, 11)
    first, second, third = (model.eval()(x) for model in models)
    assert torch.equal(first, second)
    assert torch.equal(first, third)
    assert len({id(module) for model in models for module in model.modules()}) == 3 * len(list(models[0].modules()))


def test_one_graph_without_breaks() -> None:
    torch.manual_seed(0)
    model = build(Architecture("two", (SteerableConv(2, 3), SteerableConv(2, 3, stride=2)), 2, 5))
    x = torch.rand(2, 2, 2, 5, 5, 5)
    state = copy.deepcopy(model.state_dict())
    nn.functional.cross_entropy(model(x), torch.tensor([1, 4])).backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
    model.load_state_dict(state)
    model.zero_grad()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    nn.functional.cross_entropy(compiled(x), torch.tensor([1, 4])).backward()
    for parameter, grad in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, grad, rtol=1e-4, atol=1e-6)


def test_bfloat16_is_near() -> None:
    torch.manual_seed(0)
    model = build(TINY)
    x = torch.rand(4, 2, 2, 11, 11, 11)
    exact = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        near = model(x)
    assert near.dtype == torch.float32
    assert (near - exact).abs().max() < 0.05 * exact.abs().max()
    nn.functional.cross_entropy(near, torch.tensor([0, 1, 2, 3])).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())  # type: ignore[arg-type]


@pytest.mark.parametrize("hidden", [{0: 2, 1: 1}, {0: 1, 1: 1, 2: 1}, {1: 1}])
def test_gated_hidden_fields_are_equivariant(hidden: dict[int, int]) -> None:
    torch.manual_seed(0)
    model, x = build(TINY, hidden=hidden), torch.rand(3, 2, 2, 11, 11, 11)
    assert equivariance_error(settled(model, x), x) < 1e-4


@pytest.mark.parametrize("mode", ["direction", "frame"])
def test_gated_hidden_fields_train_whether_filters_are_kept_or_not(mode: str) -> None:
    gradients, x = [], torch.rand(2, 2, 2, 11, 11, 11)
    for recompute in (True, False):
        torch.manual_seed(0)
        model = build(TINY, mode=mode, hidden={0: 2, 1: 1}, recompute=recompute)
        model(x).square().sum().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None
        assert gradient.any() or not gradient.numel(), name  # norms of irreps that are no scalars have an empty bias
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("backend", ["dense", "escnn"])
def test_a_plain_table_is_no_view_pair_network(backend: str) -> None:
    with pytest.raises(ModelError, match="plain: no SteerableConv, which view-pair networks are made of"):
        build(Architecture("plain", (Conv(8, 3),), 4, 21), backend)


def test_irreps_that_no_filter_reaches_are_refused() -> None:
    with pytest.raises(
        ModelError, match=r"no steerable filter of 3\^3 voxels leads from irreps of degrees \[0\] to \[4\]"
    ):
        SteerableConv3d(scalar_type(2), FieldType((4,), 1), 3)


def test_layers_that_have_no_network_are_named() -> None:
    block = Architecture("block", (ResidualBlock(1, 1), SteerableConv(1, 3)), 2, 3)
    with pytest.raises(ModelError, match=r"block: layer 1, .*, is not among those of view-pair networks"):
        build(block)
