"""What the view-pair networks make of other types, shapes, threads and second derivatives than they are made for."""

import threading

import pytest
import torch

from bench_core.errors import ModelError
from bench_core.models import Architecture, SteerableConv, build
from bench_core.models.dense.activation import FieldStatistics
from bench_core.models.dense.convolution import Geometry, convolve_backward
from bench_core.models.dense.scratch import Scratch

TINY = Architecture("tiny", (SteerableConv(1, 3, padding=1), SteerableConv(2, 3), SteerableConv(1, 3)), 2, 5)
ONE_VOXEL = Architecture("one_voxel", (SteerableConv(1, 5), SteerableConv(1, 1)), 2, 5)


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(0)


def views(batch: int = 2, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(batch, 2, 2, 5, 5, 5).to(dtype)


@pytest.mark.parametrize("backend", ["dense", "escnn"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mode", ["direction", "frame"])
def test_outputs_are_float32_under_autocast(mode: str, dtype: torch.dtype, backend: str) -> None:
    model, x = build(TINY, backend, mode=mode), views()
    with torch.autocast("cpu", dtype):
        assert model(x).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_frames_are_rigid_under_autocast(dtype: torch.dtype) -> None:
    model, x = build(TINY, mode="frame"), views()
    with torch.autocast("cpu", dtype):
        rotations = model(x)[:, :3, :3]
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand(2, 3, 3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["direction", "frame"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_of_another_type_trains(dtype: torch.dtype, mode: str) -> None:
    model = build(TINY, mode=mode).to(dtype)
    out = model(views(dtype=dtype))
    out.square().sum().backward()
    assert out.dtype == dtype
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())  # type: ignore[union-attr]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float64])
def test_images_of_another_type_are_taken_for_that_of_the_weights(dtype: torch.dtype) -> None:
    model = build(TINY).eval()
    x = torch.randint(0, 3, (2, 2, 2, 5, 5, 5))
    out = model(x.to(dtype))
    torch.testing.assert_close(out, model(x.float()), rtol=0, atol=0)


@pytest.mark.parametrize("backend", ["dense", "escnn"])
@pytest.mark.parametrize(
    "shape",
    [
        (2, 3, 2, 5, 5, 5),
        (2, 1, 2, 5, 5, 5),
        (2, 2, 5, 5, 5),
        (2, 2, 3, 5, 5, 5),
        (2, 2, 2, 6, 6, 6),
        (0, 2, 2, 5, 5, 5),
    ],
)
def test_images_of_another_shape_are_refused(shape: tuple[int, ...], backend: str) -> None:
    expected = r"tiny takes pairs of views \(B, 2, 2, 5, 5, 5\) with B at least 1, and got " + str(shape).replace(
        "(", r"\("
    )
    with pytest.raises(ModelError, match=expected[:-1]):
        build(TINY, backend)(torch.zeros(shape))


def test_a_batch_norm_of_one_number_is_refused_and_learns_nothing() -> None:
    model, x = build(ONE_VOXEL), views(1)
    with pytest.raises(ModelError, match="a batch norm has no variance of one example of one voxel"):
        model(x)
    assert model.eval()(x).isfinite().all()
    statistics = next(module for module in model.modules() if isinstance(module, FieldStatistics))
    assert statistics.num_batches_tracked == 0


def test_threads_share_a_model() -> None:
    wide = Architecture("wide", (*[SteerableConv(6, 3, padding=1)] * 3, SteerableConv(2, 5)), 2, 5)
    model, x = build(wide).eval(), views()
    with torch.no_grad():
        expected = model(x)
    wrong: list[float] = []

    def evaluate() -> None:
        for _ in range(6):
            with torch.no_grad():
                difference = (model(x) - expected).abs().max().item()
            if difference > 1e-5:
                wrong.append(difference)

    threads = [threading.Thread(target=evaluate, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong


def test_training_goes_on_after_inference_mode() -> None:
    model, x = build(TINY), views()
    with torch.inference_mode():
        model.eval()(x)
    model.train()(x).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())  # type: ignore[union-attr]


def test_functional_gradients_are_those_of_backward() -> None:
    model, x = build(TINY).eval(), views()
    model(x).square().sum().backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}

    def loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        out: torch.Tensor = torch.func.functional_call(model, parameters, (x,))
        return out.square().sum()

    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    torch.testing.assert_close(torch.func.grad(loss)(parameters), expected)


@pytest.mark.parametrize("recompute", [True, False])
def test_second_derivatives_are_refused(recompute: bool) -> None:
    model, x = build(TINY, recompute=recompute), views().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        torch.autograd.backward(gradient.square().sum())


@pytest.mark.parametrize("geometry", [Geometry(3), Geometry(3, stride=2)])
def test_the_gradient_of_a_frozen_filter_is_not_made(geometry: Geometry) -> None:
    x, weight = torch.rand(1, 2, 5, 5, 5), torch.rand(3, 2, 27)
    side = geometry.out_side(5)
    grad = torch.rand(1, 3, side, side, side)
    both = convolve_backward(grad, x, weight, geometry, Scratch(), (True, True))
    of_input, of_filter = convolve_backward(grad, x, weight, geometry, Scratch(), (True, False))
    assert of_filter is None
    assert both[1] is not None
    torch.testing.assert_close(of_input, both[0])
