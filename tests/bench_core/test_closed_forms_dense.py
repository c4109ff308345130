"""The dense backend's closed forms: against the allocator, the dispatcher and the network itself."""

import itertools

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from bench_core.errors import ModelError
from bench_core.models import ARCHITECTURES, Architecture, Pool, SteerableConv, build
from bench_core.models.closed_forms import cpu_peak_bytes, expansion_flops, fourier_bytes, steerable_rows
from bench_core.models.closed_forms_dense import (
    _is_matrix_product,
    dense_expansion_flops,
    dense_peak_bytes,
    dense_step_flops,
    dense_waiting_bytes,
)
from bench_core.models.dense.convolution import Geometry
from bench_core.models.dense.maps import SteerableConv3d
from bench_core.models.so3.grids import rotation_grid


def allocated_peak_bytes(network, batch, side=21):
    """The CPU allocator's peak over two training steps, with what was there before them."""
    views, targets = torch.rand(batch, 2, 4, side, side, side), torch.zeros(batch, dtype=torch.int64)
    optimizer = torch.optim.Adam(network.parameters())
    static = (*network.parameters(), *network.buffers(), views)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        for _ in range(2):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(views), targets).backward()
            optimizer.step()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return sum(tensor.numel() * tensor.element_size() for tensor in static) + max(itertools.accumulate(changes))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["arch_0", "arch_3_width_7_repeats_1"])
def test_peak_within_a_twentieth_of_the_allocator(name):
    assert dense_peak_bytes(ARCHITECTURES[name], 2) == pytest.approx(allocated_peak_bytes(build(name), 2), rel=0.05)


SMALL = Architecture(
    "small", (SteerableConv(4, 3), SteerableConv(6, 3, 2), SteerableConv(8, 5)), input_channels=4, input_side=13
)


@pytest.mark.parametrize("batch", [2, 12])
def test_peak_of_a_table_that_nothing_was_tuned_on(batch):
    torch.manual_seed(0)
    allocated = allocated_peak_bytes(build(SMALL), batch, side=13)
    assert dense_peak_bytes(SMALL, batch) == pytest.approx(allocated, rel=0.05)


@pytest.mark.parametrize(
    ("name", "batch", "allocated_MB"),
    [
        ("arch_0", 2, 890.2),
        ("arch_0", 8, 962.1),
        ("arch_3_width_7_repeats_1", 2, 1112.9),
        ("arch_3_width_7_repeats_1", 8, 1478.4),
        ("arch_2_width_7_repeats_1", 2, 1474.2),
        # The formula was written before these were measured.
        ("arch_1_width_7_kernel_5", 1, 4771.6),
        ("arch_1_width_7_kernel_3", 1, 2470.1),
        ("arch_0", 16, 1057.8),
        ("arch_3_width_7_repeats_1", 16, 2043.7),
    ],
)
def test_peaks_once_measured(name, batch, allocated_MB):
    assert dense_peak_bytes(ARCHITECTURES[name], batch) / 1e6 == pytest.approx(allocated_MB, rel=0.01)


@pytest.mark.parametrize("name", ["arch_0", "arch_3_width_7_repeats_1"])
def test_peak_is_less_than_seven_tenths_of_stock_escnn_s(name):
    assert dense_peak_bytes(ARCHITECTURES[name]) < 0.7 * cpu_peak_bytes(ARCHITECTURES[name])


def test_what_waits_for_the_backward_pass():
    """Counted by the hooks that autograd saves tensors through, each memory once."""
    network, batch, saved = build(SMALL).to("meta"), 3, {}

    def note(tensor):
        saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network.encoder(torch.empty(2 * batch, 4, 13, 13, 13, device="meta"), views=2)
    owned = {tensor.untyped_storage()._cdata for tensor in (*network.parameters(), *network.buffers())}
    waiting = sum(tensor.untyped_storage().nbytes() for key, tensor in saved.items() if key not in owned)
    last = 4 * 2 * batch * 8 * 35  # the last output waits for the head
    assert dense_waiting_bytes(SMALL, batch) == pytest.approx(waiting + last, rel=1e-3)  # and a few scales and shifts


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_when_a_matrix_product_stands_for_a_convolution(stride):
    for side in (3, 5, 7, 9, 19, 21):
        table = Architecture("one", (SteerableConv(1, 3, stride),), 4, side, flatten=True, off_centre=True)
        network = Geometry(3, stride).as_matrix_product(side)
        assert _is_matrix_product(next(iter(steerable_rows(table)))) == network, side


def test_work_of_an_expansion():
    """As many multiplications as the blocks' matrix products have."""
    convolutions = [module for module in build(SMALL).encoder.modules() if isinstance(module, SteerableConv3d)]
    expected = 0
    for convolution in convolutions:
        pairs = convolution.in_type.copies * convolution.out_type.copies
        for block in convolution.basis.blocks:
            expected += 2 * pairs * block.weights.size * block.basis[0].size
    assert dense_expansion_flops(SMALL) == expected
    ratio = expansion_flops(ARCHITECTURES["arch_0"]) / dense_expansion_flops(ARCHITECTURES["arch_0"])
    assert 60 < ratio < 100  # "about 1/80 of the multiplications"


def test_work_grows_with_the_batch():
    table = ARCHITECTURES["arch_0"]
    one, two, three = (dense_step_flops(table, batch) for batch in (1, 2, 3))
    assert three - two == two - one > 0
    assert 2 * one - two == 3 * dense_expansion_flops(table)


@pytest.mark.parametrize("band_limit", [0, 1, 2, 3])
def test_samples_are_those_of_the_band_limit(band_limit):
    table = SMALL.with_(band_limit=band_limit)
    widest = max(layer.fields * side**3 for layer, side in zip(table.layers, table.sides(), strict=True))
    assert fourier_bytes(table, 1) == 2 * 4 * widest * len(rotation_grid(band_limit))


def test_a_band_limit_without_rotations_is_refused():
    with pytest.raises(ModelError, match="rotations are shipped for band limits up to 3, not 4"):
        dense_peak_bytes(SMALL.with_(band_limit=4))


def test_other_rows_are_refused():
    table = Architecture("pooled", (SteerableConv(2, 3), Pool("avg", 3)), 4, 5)
    with pytest.raises(ModelError, match="pooled: layer 2, Pool"):
        dense_peak_bytes(table)
