"""The step that is simulated, and measured by --check: one piece of code for both."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench_harness.errors import UsageError

if TYPE_CHECKING:
    import torch

OPTIMIZERS = ("adam", "adamw", "sgd", "none")
PRECISIONS = ("32", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class Recipe:
    """How a step is taken; `loss` maps the model's output to a scalar (None: the sum of its floating tensors)."""

    optimizer: str = "adam"
    momentum: float = 0.0
    precision: str = "32"
    device: str = "cpu"
    steps: int = 2
    loss: Callable[[Any], torch.Tensor] | None = None


def take_steps(
    model: torch.nn.Module,
    parameters: Sequence[torch.nn.Parameter],
    inputs: Sequence[Any],
    recipe: Recipe,
    on_phase: Callable[[str, int], None],
    on_optimizer: Callable[[torch.optim.Optimizer | None], None] = lambda _: None,
) -> None:
    """Take `recipe.steps` training steps as the usual loop does; on_phase(phase, step) is told what comes next.

    The output stays alive until the step ends, as it does where a loop's variable holds it; gradients are set to None
    at the start of the next step.
    """
    optimizer = make_optimizer(parameters, recipe)
    for step in range(1, recipe.steps + 1):
        on_phase("forward", step)
        for parameter in parameters:
            parameter.grad = None
        with autocast(recipe, inputs):
            output = model(*inputs)
            loss = (recipe.loss or sum_of_floats)(output)
        on_phase("backward", step)
        loss.backward()  # type: ignore[no-untyped-call]
        on_phase("optimizer step", step)
        if optimizer is not None:
            optimizer.step()
        on_optimizer(optimizer)
        del output, loss


def make_optimizer(parameters: Sequence[torch.nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer | None:
    """Return the optimizer, as torch would choose its implementation on the recipe's device."""
    import torch

    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if recipe.optimizer == "none" or not trained:
        return None
    # On CUDA torch updates all parameters in one call, whose temporaries are as large as all of them.
    foreach = recipe.device == "cuda"
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(trained, lr=1e-3, momentum=recipe.momentum, foreach=foreach)
    cls = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return cls(trained, lr=1e-3, foreach=foreach)


def autocast(recipe: Recipe, inputs: Sequence[Any]) -> contextlib.AbstractContextManager[Any]:
    """Return the autocast context of the recipe's precision, on the device where the inputs lie.

    That is not always the recipe's: fakes lie on the CPU whatever device they stand for.
    """
    import torch

    if recipe.precision == "32":
        return contextlib.nullcontext()
    dtype = torch.bfloat16 if recipe.precision == "bf16-mixed" else torch.float16
    device = next((tensor.device.type for tensor in tensors_in(list(inputs))), recipe.device)
    return torch.autocast(device, dtype=dtype)


def sum_of_floats(output: Any) -> torch.Tensor:
    """Return the sum of every floating tensor in a model's output, whatever holds them."""
    tensors = [tensor for tensor in tensors_in(output) if tensor.is_floating_point() and tensor.requires_grad]
    if not tensors:
        raise UsageError(
            "the model's output holds no floating tensor that depends on its parameters; give --loss module:callable"
        )
    loss = tensors[0].sum()
    for tensor in tensors[1:]:
        loss = loss + tensor.sum()
    return loss


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in nested containers, dataclasses and wrappers with a `.tensor` (escnn's GeometricTensor)."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for entry in dataclasses.fields(value):
            yield from tensors_in(getattr(value, entry.name))
    elif isinstance(getattr(value, "tensor", None), torch.Tensor):
        yield value.tensor
