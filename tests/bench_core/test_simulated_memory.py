"""Peak memory found without memory: against the allocator, and by hand."""

import itertools

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from bench_core.models.simulated_memory import step_peak_bytes


def test_peak_of_linear_layers_is_the_allocators():
    """Without the optimizer, whose temporaries come after the backward pass; its states are added."""
    network, batch = nn.Sequential(nn.Linear(300, 2000), nn.ReLU(), nn.Linear(2000, 500), nn.Tanh()), 64
    images = torch.rand(batch, 300)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        network(images).sum().backward()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    static = 4 * (images.numel() + 3 * sum(parameter.numel() for parameter in network.parameters()))
    allocated = static + max(itertools.accumulate(changes))
    assert step_peak_bytes(network, 300, (), batch) == pytest.approx(allocated, rel=0.01)


def test_peak_by_hand():
    """Of the sum of tanh(x W): W with both states, x, and at the end the gradient of x W and that of W."""
    network = nn.Sequential(nn.Linear(1000, 500, bias=False), nn.Tanh())
    weights, images, outputs = 1000 * 500, 64 * 1000, 64 * 500
    assert step_peak_bytes(network, 1000, (), 64) == pytest.approx(4 * (4 * weights + images + outputs), rel=0.001)
    assert all(parameter.device.type == "meta" for parameter in network.parameters())


def test_memory_grows_with_the_batch_and_is_not_taken():
    network = nn.Sequential(nn.Conv3d(1, 64, 3, padding=1), nn.ReLU(), nn.Conv3d(64, 64, 3, padding=1))
    assert step_peak_bytes(network, 1, (256,) * 3, 64) > 64 * 2 * 64 * 4 * 256**3
