"""One prediction, from the words of the command line to plain data; run in a process of its own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from bench_harness.errors import UsageError
from bench_harness.vram.census import Census, Moment, Storage, totals
from bench_harness.vram.module_names import ROOT, parameters_of, walk
from bench_harness.vram.target import Input, build_model, finish_lazy_modules, load_callable, make_inputs
from bench_harness.vram.training_step import Recipe

MAX_MODULES = 200


@dataclass(frozen=True)
class Job:
    """What to predict. `loss` is module:callable; `threads` those of the step, which some workspaces grow with."""

    target: str
    inputs: tuple[Input, ...]
    batch: int = 16
    arguments: dict[str, Any] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)
    loss: str | None = None
    threads: int = 1
    tensors: int = 0

    def with_value(self, name: str, value: Any) -> Job:
        """Return the job with another batch, or another argument of the callable."""
        if name == "batch":
            return replace(self, batch=value)
        return replace(self, arguments={**self.arguments, name: value})


def predict(job: Job, *, without_memory: bool = True) -> dict[str, Any]:
    """Simulate the job and return its ledger.

    Args:
        job: what to predict.
        without_memory: build the model on fake tensors, so that no parameter takes memory; models whose constructor
            reads values cannot be built so, and raise.

    Raises:
        UsageError: the target, the input or the model is at fault.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    from bench_harness.vram.devices import rules
    from bench_harness.vram.simulation import simulate

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with contextlib.redirect_stdout(sys.stderr):  # a chatty constructor must not spoil --json
        recipe = replace(job.recipe, loss=load_callable(job.loss) if job.loss else None)
        target = load_callable(job.target)
        with mode if without_memory else contextlib.nullcontext():
            model = build_model(target, job.target, job.arguments)
            finish_lazy_modules(model, lambda: make_inputs(job.inputs, job.batch, model))
        device = rules(recipe.device, job.threads)
        simulated = simulate(
            model,
            lambda model: make_inputs(job.inputs, job.batch, model),
            recipe,
            device.workspace_bytes,
            device.round_up,
            mode,
        )
    return {
        **ledger(simulated.census, job.tensors),
        "parameters": sum(parameter.numel() for parameter in parameters_of(model)),
        "module_types": {name or ROOT: type(module).__name__ for name, module in walk(model)},
        "built": "on fake tensors" if without_memory else "on real tensors",
        "notes": simulated.notes,
        "device": recipe.device,
        "validated": device.validated,
    }


def ledger(census: Census, tensors: int = 0) -> dict[str, Any]:
    """Return the peak of a census with its ledger by kind and by module, as plain data."""
    peak = census.peak
    alive = census.alive_at(peak)
    return {
        "peak_bytes": peak.total_bytes,
        "peak": _moment(peak),
        "phases": {phase: moment.total_bytes for phase, moment in census.phase_peaks.items()},
        "by_kind": totals(alive, lambda storage: storage.kind),
        "by_module": dict(list(totals(alive, lambda storage: storage.module).items())[:MAX_MODULES]),
        "modules": [_module_row(name, alive) for name in list(totals(alive, lambda storage: storage.module))[:20]],
        "tensors": [_tensor_row(storage) for storage in alive[:tensors]],
        "tensors_alive": len(alive),
    }


def _moment(moment: Moment) -> dict[str, Any]:
    return {
        "phase": moment.phase,
        "step": moment.step,
        "module": moment.module,
        "op": moment.op,
        "workspace_bytes": moment.workspace_bytes,
    }


def _module_row(name: str, alive: list[Storage]) -> dict[str, Any]:
    own = [storage for storage in alive if storage.module == name]
    kinds = totals(own, lambda storage: storage.kind)
    return {"module": name, "bytes": sum(kinds.values()), "by_kind": kinds}


def _tensor_row(storage: Storage) -> dict[str, Any]:
    return {
        "bytes": storage.size_bytes,
        "kind": storage.kind,
        "module": storage.module,
        "op": storage.op,
        "shape": list(storage.shape),
        "dtype": storage.dtype,
    }


def measure(job: Job) -> dict[str, Any]:
    """Take the job's steps for real on its device, and return the allocator's peak."""
    import torch

    from bench_harness.vram.real_step import cpu_peak_bytes, cuda_peak_bytes

    on_cuda = job.recipe.device == "cuda"
    if on_cuda and not torch.cuda.is_available():
        raise UsageError("--check --device cuda: torch sees no CUDA device; leave --device out to check on the CPU")
    torch.set_num_threads(job.threads)
    peak_bytes: Callable[..., int] = cuda_peak_bytes if on_cuda else cpu_peak_bytes
    with contextlib.redirect_stdout(sys.stderr):
        recipe = replace(job.recipe, loss=load_callable(job.loss) if job.loss else None)
        model = build_model(load_callable(job.target), job.target, job.arguments).to(job.recipe.device)
        inputs = make_inputs(job.inputs, job.batch, model, recipe.device)
        try:
            finish_lazy_modules(model, lambda: inputs)
            return {"measured_bytes": peak_bytes(model, inputs, recipe)}
        except RuntimeError as error:
            raise UsageError(f"--check: the real step failed: {' '.join(str(error).split())[:300]}") from error
