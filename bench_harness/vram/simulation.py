"""Simulates training steps on fake tensors, and returns the census of what would have been alive when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedOperatorException,
)

from bench_harness.errors import HarnessError, UsageError
from bench_harness.vram.census import Census
from bench_harness.vram.fake_model import fake_state, obstacles_lifted
from bench_harness.vram.module_names import ROOT, ModuleStack, parameters_of, walk
from bench_harness.vram.recorder import Recorder, WorkspaceRule
from bench_harness.vram.training_step import Recipe, take_steps, tensors_in


@dataclass(frozen=True)
class Simulated:
    """A simulated run: its census, and what had to be lifted so that it ran."""

    census: Census
    notes: list[str]


def simulate(
    model: torch.nn.Module,
    make_inputs: Callable[[torch.nn.Module], Sequence[Any]],
    recipe: Recipe,
    workspace_bytes: WorkspaceRule,
    round_up: Callable[[int], int] = lambda size_bytes: size_bytes,
    mode: FakeTensorMode | None = None,
) -> Simulated:
    """Simulate `recipe.steps` training steps; the model's state is replaced by fakes and stays so.

    Args:
        model: built with real tensors, or within `mode`.
        make_inputs: returns the model's arguments; called within the mode.
        recipe: optimizer, precision, number of steps.
        workspace_bytes: what an operator holds beside arguments and results.
        round_up: the allocator's size of a block.
        mode: the mode that the model was built in.

    Raises:
        UsageError: the model refuses its input or needs values, which a simulation does not have; names the module
            and the operator.
    """
    mode = mode or FakeTensorMode(allow_non_fake_inputs=True)
    fake_state(model, mode)
    census, modules = Census(round_up), ModuleStack(model)
    recorder = Recorder(census, modules, workspace_bytes)
    with obstacles_lifted(model) as notes, mode:
        recorder.learn_use_counts()
        parameters = _claim_state(model, modules, recorder)
        inputs = make_inputs(model)
        recorder.claim(tensors_in(list(inputs)), "inputs", "(input)")
        try:
            _run(model, parameters, inputs, recipe, recorder, modules)
        except HarnessError:
            raise
        except Exception as error:
            raise UsageError(refusal(error, modules.current(), recorder.failed_op)) from error
    return Simulated(census, notes)


def _run(
    model: torch.nn.Module,
    parameters: list[torch.nn.Parameter],
    inputs: Sequence[Any],
    recipe: Recipe,
    recorder: Recorder,
    modules: ModuleStack,
) -> None:
    def on_phase(phase: str, step: int) -> None:
        recorder.enter_phase(phase, step)
        if phase == "optimizer step":
            for parameter in parameters:
                recorder.claim([parameter.grad], "gradients", modules.owner(parameter))

    def on_optimizer(optimizer: torch.optim.Optimizer | None) -> None:
        for parameter, state in (optimizer.state if optimizer else {}).items():
            tensors = [value for value in state.values() if isinstance(value, torch.Tensor)]
            recorder.claim(tensors, "optimizer", modules.owner(parameter))

    saved = torch.autograd.graph.saved_tensors_hooks(recorder.on_saved, lambda tensor: tensor)
    with modules, recorder, saved:
        take_steps(model, parameters, inputs, recipe, on_phase, on_optimizer)


def _claim_state(model: torch.nn.Module, modules: ModuleStack, recorder: Recorder) -> list[torch.nn.Parameter]:
    parameters = parameters_of(model)
    for parameter in parameters:
        recorder.claim([parameter], "parameters", modules.owner(parameter))
    for name, module in walk(model):
        recorder.claim(module._buffers.values(), "buffers", name or ROOT)
    return parameters


def refusal(error: Exception, module: str, op: str | None) -> str:
    """Return one line that says which module and operator a step failed in."""
    where = f"module {module}" + (f", operator {op}" if op else "")
    if isinstance(error, (DataDependentOutputException, DynamicOutputShapeException)):
        return f"{where}: its result depends on values, which a simulation does not have; it can only be measured"
    if isinstance(error, UnsupportedOperatorException):
        return f"{where}: it has no shape rule for fake tensors; register one with torch.library.register_fake"
    reason = " ".join(str(error).split())
    return f"{where}: {type(error).__name__}: {reason[:300]}; does --input fit the model?"
