"""Turns a built model into one that runs under FakeTensorMode, and lifts what keeps foreign models from doing so.

What is lifted, each from outside and for the time of the simulation only:

- modules that compare by value (escnn's basis expansions): the comparison reads tensors, identity does not;
- tensors of one integer kept in lists on a module and used as sizes (escnn's in_indices): plain ints are put there;
- torch.allclose and torch.equal, which need values and guard assertions (escnn's batch norm): they answer True.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from bench_harness.vram.module_names import walk


def fake_state(model: torch.nn.Module, mode: FakeTensorMode) -> None:
    """Replace every parameter and buffer by a fake of the same shape, in place; shared ones stay shared."""
    fakes: dict[int, Any] = {}
    for _, module in walk(model):
        for table in (module._parameters, module._buffers):
            for name, tensor in table.items():
                if tensor is not None:
                    table[name] = fakes[id(tensor)] if id(tensor) in fakes else _fake(tensor, mode, fakes)


def _fake(tensor: torch.Tensor, mode: FakeTensorMode, fakes: dict[int, Any]) -> Any:
    if isinstance(tensor, FakeTensor):
        # Made anew: a deep copy of a fake, such as nn.TransformerEncoder takes of its layer, is not what it seems.
        with mode:
            fake: torch.Tensor = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
    else:
        fake = mode.from_tensor(tensor.detach(), static_shapes=True)
    if isinstance(tensor, torch.nn.Parameter):
        fake = torch.nn.Parameter(fake, requires_grad=tensor.requires_grad)
    fakes[id(tensor)] = fake
    return fake


@contextlib.contextmanager
def obstacles_lifted(model: torch.nn.Module) -> Iterator[list[str]]:
    """Lift what stands in the way while the block runs; yields notes, one per kind of obstacle met."""
    notes: list[str] = []
    with contextlib.ExitStack() as stack:
        _compare_by_identity(model, stack, notes)
        _indices_as_ints(model, stack, notes)
        for name in ("allclose", "equal"):
            _answer_true(torch, name, stack, notes)
            _answer_true(torch.Tensor, name, stack, notes)
        yield notes


def _compare_by_identity(model: torch.nn.Module, stack: contextlib.ExitStack, notes: list[str]) -> None:
    classes = {cls for _, module in walk(model) for cls in type(module).__mro__ if cls is not object}
    by_value = sorted((cls for cls in classes if "__eq__" in vars(cls)), key=lambda cls: cls.__qualname__)
    for cls in by_value:
        for name in ("__eq__", "__hash__"):
            _replace(cls, name, getattr(object, name), stack)
    if by_value:
        names = ", ".join(cls.__qualname__ for cls in by_value)
        notes.append(f"modules that compare by value were compared by identity: {names}")


def _indices_as_ints(model: torch.nn.Module, stack: contextlib.ExitStack, notes: list[str]) -> None:
    count = 0
    for _, module in walk(model):
        for name, value in list(vars(module).items()):
            if isinstance(value, (list, tuple)) and any(map(_is_index, value)):
                _replace(module, name, type(value)(_as_int(item) for item in value), stack)
                count += 1
    if count:
        notes.append(f"{count} lists of one-integer tensors that modules keep were made lists of ints")


def _is_index(value: Any) -> bool:
    fixed = isinstance(value, torch.Tensor) and not isinstance(value, FakeTensor)
    return fixed and value.dim() == 0 and not value.is_floating_point() and not value.is_complex()


def _as_int(value: Any) -> Any:
    return int(value) if _is_index(value) else value


def _answer_true(owner: Any, name: str, stack: contextlib.ExitStack, notes: list[str]) -> None:
    real: Callable[..., bool] = getattr(owner, name)

    def answer(first: Any, second: Any, *args: Any, **kwargs: Any) -> bool:
        if not (isinstance(first, FakeTensor) or isinstance(second, FakeTensor)):
            return real(first, second, *args, **kwargs)
        note = f"torch.{name} needs values: it was taken to be True"
        if note not in notes:
            notes.append(note)
        return True

    _replace(owner, name, answer, stack)


def _replace(owner: Any, name: str, value: Any, stack: contextlib.ExitStack) -> None:
    missing = object()
    before = vars(owner).get(name, missing)
    if before is missing:  # inherited: deleting restores it
        stack.callback(delattr, owner, name)
    else:
        stack.callback(setattr, owner, name, before)
    setattr(owner, name, value)
