"""Which module is at work: a stack kept by forward hooks, and for backward the sequence numbers of autograd's nodes."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ROOT = "(model)"


def walk(model: torch.nn.Module, name: str = "") -> Iterator[tuple[str, torch.nn.Module]]:
    """Yield (qualified name, module), each module once.

    By identity: torch's named_modules() skips a module that equals one it has seen, and escnn's compare by value.
    """
    seen: set[int] = set()

    def visit(name: str, module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
        if id(module) in seen:
            return
        seen.add(id(module))
        yield name, module
        for key, child in module._modules.items():
            if child is not None:
                yield from visit(f"{name}.{key}" if name else key, child)

    yield from visit(name, model)


def parameters_of(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return every parameter once, by identity."""
    found = {id(item): item for _, module in walk(model) for item in module._parameters.values() if item is not None}
    return list(found.values())


class ModuleStack:
    """Context manager: while it is open, `current()` names the module whose forward or backward is running.

    Autograd numbers its nodes in the order of their making. The stack notes the number at each entry and exit of a
    module, so that a node's number tells which module made it: no hook on the tensors, and recomputation inside
    backward (activation checkpointing), where modules are entered again, needs no special case.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._names = {id(module): name or ROOT for name, module in walk(model)}
        self._parameter_owners = {
            id(parameter): name or ROOT
            for name, module in walk(model)
            for parameter in module._parameters.values()
            if parameter is not None
        }
        self._stack: list[str] = []
        self._numbers: list[int] = []
        self._owners: list[str] = []
        self._handles: list[Any] = []

    def __enter__(self) -> ModuleStack:
        from torch.nn.modules import module

        self._handles = [
            module.register_module_forward_pre_hook(self._entered),
            module.register_module_forward_hook(self._left),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def current(self) -> str:
        """Return the qualified name of the module at work; `(model)` outside of all of them."""
        import torch

        if self._stack:
            return self._stack[-1]
        node = torch._C._current_autograd_node()
        if node is None:
            return ROOT
        variable = getattr(node, "variable", None)  # of the node that adds up a parameter's gradient
        if variable is not None:
            return self.owner(variable)
        return self._maker(node._sequence_nr())

    def owner(self, parameter: torch.Tensor) -> str:
        """Return the qualified name of the (first) module that a parameter belongs to."""
        return self._parameter_owners.get(id(parameter), ROOT)

    def inside_forward(self) -> bool:
        """Tell whether a module's forward is running."""
        return bool(self._stack)

    def forget(self) -> None:
        """Drop what an exception left behind."""
        self._stack.clear()

    def _maker(self, number: int) -> str:
        place = bisect.bisect_right(self._numbers, number) - 1
        return self._owners[place] if place >= 0 else ROOT

    def _entered(self, module: torch.nn.Module, _: object) -> None:
        self._stack.append(self._names.get(id(module)) or (self._stack[-1] if self._stack else ROOT))
        self._note()

    def _left(self, module: torch.nn.Module, _: object, __: object) -> None:
        if self._stack:
            self._stack.pop()
        self._note()

    def _note(self) -> None:
        import torch

        self._numbers.append(torch._C._autograd._get_sequence_nr())
        self._owners.append(self._stack[-1] if self._stack else ROOT)
