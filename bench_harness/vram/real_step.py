"""Takes the same steps for real, and reads the peak from the allocator's own events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from bench_harness.errors import CouldNotMeasureError
from bench_harness.vram.module_names import parameters_of, walk
from bench_harness.vram.training_step import Recipe, take_steps, tensors_in


def cpu_peak_bytes(model: torch.nn.Module, inputs: Sequence[Any], recipe: Recipe) -> int:
    """Return the peak of the CPU allocator over the steps: parameters, buffers, inputs and all that came after.

    Raises:
        CouldNotMeasureError: the profiler delivered no allocator events.
    """
    parameters = parameters_of(model)
    buffers = [buffer for _, module in walk(model) for buffer in module._buffers.values() if buffer is not None]
    held = storage_bytes([*parameters, *buffers, *tensors_in(list(inputs))])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        take_steps(model, parameters, inputs, recipe, lambda phase, step: None)
    return held + peak_of(_allocator_events(profile))


def cuda_peak_bytes(model: torch.nn.Module, inputs: Sequence[Any], recipe: Recipe) -> int:
    """Return torch.cuda.max_memory_allocated over the steps; model and inputs must be on the device already."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    take_steps(model, parameters_of(model), inputs, recipe, lambda phase, step: None)
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


def storage_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Return the bytes of the storages of tensors, each storage once."""
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def peak_of(changes: Iterable[int]) -> int:
    """Return the highest running sum."""
    live = peak = 0
    for change in changes:
        live += change
        peak = max(peak, live)
    return peak


def _allocator_events(profile: Any) -> list[int]:
    events = [
        (event.start_ns(), event.nbytes())
        for event in profile.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    if not events:
        raise CouldNotMeasureError("torch.profiler delivered no allocator events: is this torch built with kineto?")
    return [nbytes for _, nbytes in sorted(events, key=lambda event: event[0])]
