"""Dense layers against what they stand for: padded bases, torch's convolution, plain formulas with autograd."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from bench_core.models.dense.activation import FieldStatistics, FourierActivation
from bench_core.models.dense.convolution import Geometry
from bench_core.models.dense.layers import FourierNonlinearity, regular_type, scalar_type
from bench_core.models.dense.maps import FieldType, SteerableConv3d, SteerableLinear
from bench_core.models.dense.scratch import Scratch

TYPES = [scalar_type(2), regular_type(2, 1), regular_type(3, 1), FieldType((0, 0, 1, 2), 1)]


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(0)


def padded_filter(conv: SteerableConv3d) -> torch.Tensor:
    """Return the filter as the whole basis gives it: weights (out fields, in fields, kernels) times kernels."""
    basis = torch.from_numpy(conv.basis.padded()).to(conv.weights.dtype)
    weights = conv.weights.view(conv.out_type.copies, conv.in_type.copies, -1)
    return torch.einsum("kois,abk->aobis", basis, weights).reshape(conv.out_type.channels, conv.in_type.channels, -1)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("into", TYPES)
@pytest.mark.parametrize("out", TYPES[1:])
def test_blocks_expand_to_the_padded_basis(into: FieldType, out: FieldType, kernel: int) -> None:
    conv = SteerableConv3d(into, out, kernel)
    expected = padded_filter(conv)
    torch.testing.assert_close(conv.expand(), expected, rtol=1e-5, atol=1e-6)
    cotangent = torch.randn_like(expected)
    (wanted,) = torch.autograd.grad(expected, conv.weights, cotangent)
    (got,) = torch.autograd.grad(conv.expand(), conv.weights, cotangent)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


@given(
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    extra=st.integers(0, 4),
    recompute=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_geometry_is_the_convolution_of_the_filter(
    kernel: int, stride: int, padding: int, extra: int, recompute: bool
) -> None:
    torch.manual_seed(kernel + 10 * stride + 100 * padding)
    side = max(1, kernel - 2 * padding) + extra
    conv = SteerableConv3d(scalar_type(2), regular_type(2, 1), kernel, stride, padding, recompute=recompute).double()
    x = torch.randn(2, 2, side, side, side, dtype=torch.float64, requires_grad=True)
    voxels = (kernel,) * 3
    expected = torch.nn.functional.conv3d(x, padded_filter(conv).unflatten(2, voxels), stride=stride, padding=padding)
    got = conv(x)
    torch.testing.assert_close(got, expected)
    cotangent = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, [x, conv.weights], cotangent)
    for one, other in zip(torch.autograd.grad(got, [x, conv.weights], cotangent), wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_both_ways_to_convolve_are_taken() -> None:
    taken = {(stride, side): Geometry(3, stride).as_matrix_product(side) for stride in (1, 2) for side in (3, 7, 19)}
    assert taken == {(1, 3): True, (2, 3): True, (1, 7): False, (2, 7): True, (1, 19): False, (2, 19): False}


def test_a_recomputed_filter_is_not_saved() -> None:
    conv = SteerableConv3d(regular_type(2, 2), regular_type(3, 2), 3)
    x = torch.randn(2, 70, 5, 5, 5, requires_grad=True)
    assert 105 * 70 * 27 not in saved_sizes(conv, x)
    conv.recompute = False
    assert 105 * 70 * 27 in saved_sizes(conv, x)


def saved_sizes(conv: SteerableConv3d, x: torch.Tensor) -> list[int]:
    """Return the elements of each tensor that a call keeps for the backward pass."""
    sizes = []

    def keep(saved: torch.Tensor) -> torch.Tensor:
        sizes.append(saved.numel())
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        conv(x)
    return sizes


def test_a_linear_map_is_a_convolution_of_one_voxel() -> None:
    linear = SteerableLinear(regular_type(2, 2), regular_type(1, 2))
    with torch.no_grad():
        linear.bias.fill_(3.0)  # type: ignore[union-attr]
    x = torch.randn(4, 70)
    expected = x @ linear.expand()[:, :, 0].t()
    expected[:, 0] += 3.0
    torch.testing.assert_close(linear(x), expected)


def test_scratch_memory_is_shared_and_stays_out_of_copies() -> None:
    scratch = Scratch()
    like = torch.empty(0)
    first = scratch.take("filter", 10, like, torch.float32)
    assert scratch.take("filter", 5, like, torch.float32).data_ptr() == first.data_ptr()
    assert scratch.take("gradient", 5, like, torch.float32).data_ptr() != first.data_ptr()
    assert scratch.take("filter", 20, like, torch.float32).numel() == 20
    for twin in (copy.deepcopy(scratch), pickle.loads(pickle.dumps(scratch))):
        assert twin.take("filter", 5, like, torch.float32).data_ptr() != first.data_ptr()
        assert twin._of_thread.buffers.keys() == {("filter", torch.float32, None)}


def plain_statistics(x: torch.Tensor, fields: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a mean of the first channel and a variance per field, of x (B, fields * size, ...), in float64."""
    by_channel = x.double().flatten(2).transpose(0, 1).flatten(1).unflatten(0, (fields, -1))
    return by_channel[:, 0].mean(1), by_channel.var(2).mean(1)


@pytest.mark.parametrize(("offset", "of_trivials"), [(0.0, 0.0), (30.0, 0.0), (0.0, 1000.0)])
def test_statistics_are_per_view_and_tracked_one_after_another(offset: float, of_trivials: float) -> None:
    norm = FieldStatistics(3, 10)
    views = [torch.randn(4, 30, 2, 2, 2) * (view + 1) + offset for view in range(2)]
    for x in views:
        x[:, ::10] += of_trivials
    scale, shift = norm(torch.cat(views), views=2)
    mean, var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for view, x in enumerate(views):
        view_mean, view_var = plain_statistics(x, 3)
        expected = (view_var + 1e-5).rsqrt()
        torch.testing.assert_close(scale[view].double(), expected, rtol=2e-4, atol=0)
        torch.testing.assert_close(shift[view, :, 0].double(), -view_mean * expected, rtol=2e-4, atol=1e-5)
        mean, var = mean.lerp(view_mean, 0.1), var.lerp(view_var, 0.1)
    torch.testing.assert_close(norm.running_mean[:, 0].double(), mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(norm.running_var.double(), var, rtol=1e-4, atol=1e-6)
    assert norm.num_batches_tracked == 2
    norm.eval()
    scale, shift = norm(torch.cat(views), views=2)
    assert torch.equal(scale[0], scale[1])
    torch.testing.assert_close(scale[0], torch.rsqrt(norm.running_var + 1e-5))
    assert norm.num_batches_tracked == 2


@pytest.mark.parametrize("points", [1, 5])
def test_the_activation_is_its_formula_with_its_gradients(points: int) -> None:
    nonlinearity = FourierNonlinearity(1).double()
    sampling, analysis = nonlinearity.sampling, nonlinearity.analysis
    x = torch.randn(4, 20, points, dtype=torch.float64, requires_grad=True)
    scale = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    shift = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)

    def formula() -> torch.Tensor:
        fields = x.view(2, 2, 2, 10, points) * scale[:, None, :, None, None]
        fields = fields + torch.nn.functional.pad(shift[..., None], (0, 9))[:, None, :, :, None]
        return torch.matmul(analysis, torch.matmul(sampling, fields).relu()).view(x.shape)

    got = FourierActivation.apply(x, scale, shift, sampling, analysis)
    torch.testing.assert_close(got, formula())
    cotangent = torch.randn_like(x)
    wanted = torch.autograd.grad(formula(), [x, scale, shift], cotangent)
    for one, other in zip(torch.autograd.grad(got, [x, scale, shift], cotangent), wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    nonlinearity = FourierNonlinearity(2)
    x = torch.randn(6, 70, 27)
    scale, shift = torch.rand(2, 2), torch.rand(2, 2, 1)
    whole = nonlinearity(x, scale, shift)
    monkeypatch.setattr("bench_core.models.dense.activation._PIECE_BYTES", 1)
    monkeypatch.setattr("bench_core.models.dense.expansion._CHUNK_BYTES", 1)
    torch.testing.assert_close(nonlinearity(x, scale, shift), whole)
    conv = SteerableConv3d(regular_type(2, 2), regular_type(3, 2), 3)
    torch.testing.assert_close(conv.expand(), padded_filter(conv), rtol=1e-5, atol=1e-6)


def test_weights_start_with_the_deviations_of_he() -> None:
    conv = SteerableConv3d(regular_type(6, 2), regular_type(8, 2), 3)
    drawn = conv.weights.detach().view(48, -1)
    for block in conv.basis.blocks:
        # Three input degrees reach every output degree; kernels per output irrep: copies x kernels x fields.
        expected = 1 / np.sqrt(3 * block.weights.shape[1] * block.weights.shape[2] * 6)
        sample = drawn[:, torch.from_numpy(block.weights.reshape(-1))]
        assert abs(sample.std() / expected - 1) < 5 / np.sqrt(2 * sample.numel())


def test_scratch_memory_of_fakes_is_kept_apart() -> None:
    scratch, real = Scratch(), torch.empty(0)
    taken = scratch.take("filter", 10, real, torch.float32)
    for mode in (FakeTensorMode(), FakeTensorMode()):
        fake = scratch.take("filter", 10, mode.from_tensor(real), torch.float32)
        assert isinstance(fake, FakeTensor)
        assert fake.fake_mode is mode
        again = scratch.take("filter", 5, mode.from_tensor(real), torch.float32)
        assert again.untyped_storage()._cdata == fake.untyped_storage()._cdata
    assert scratch.take("filter", 10, real, torch.float32).data_ptr() == taken.data_ptr()
