"""Watches a step operator by operator, under FakeTensorMode, and keeps the census of its storages."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch._prims_common import is_non_overlapping_and_dense_or_false
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench_harness.vram.census import Census, Storage
from bench_harness.vram.module_names import ModuleStack
from bench_harness.vram.workspace import result_bytes

# (operator, arguments, keyword arguments, result) -> bytes held inside it beside arguments and results.
WorkspaceRule = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], int]

# Formulas of backward that write into fresh zeros, but out of place for fakes.
IN_PLACE = {
    torch.ops.aten.index_put.default: torch.ops.aten.index_put_.default,
    torch.ops.aten.index_add.default: torch.ops.aten.index_add_.default,
    torch.ops.aten.scatter_add.default: torch.ops.aten.scatter_add_.default,
    torch.ops.aten.scatter.src: torch.ops.aten.scatter_.src,
}


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that registers every new storage and its end, and claims for what autograd saves."""

    def __init__(self, census: Census, modules: ModuleStack, workspace_bytes: WorkspaceRule) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.census = census
        self.failed_op: str | None = None
        self._modules = modules
        self._workspace_bytes = workspace_bytes
        self._known: dict[int, tuple[weakref.ref[torch.UntypedStorage], Storage]] = {}
        self._phase, self._step = "before", 0
        self._sole_owner_counts: tuple[int, int] | None = None
        self._counts_seen: list[tuple[int, int]] = []

    def enter_phase(self, phase: str, step: int) -> None:
        """Say what runs from now on."""
        self._phase, self._step = phase, step

    def learn_use_counts(self) -> None:
        """Learn the use counts of a sole owner, from a backward pass in which the engine sums two gradients."""
        with self:
            self.enter_phase("backward", 0)
            _sum_two_gradients()
        self._sole_owner_counts = self._counts_seen[-1]
        self.census.reset()

    def register(self, tensor: torch.Tensor, op: str, module: str, size_bytes: int | None = None) -> Storage:
        """Return the record of a tensor's storage, made now where it is new; `size_bytes` corrects that of the fake."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self._known.get(key)
        if known is not None and known[0]() is not None:
            return known[1]
        dtype = str(tensor.dtype).removeprefix("torch.")
        size_bytes = storage.nbytes() if size_bytes is None else size_bytes
        record = self.census.birth(size_bytes, module, op, tensor.shape, dtype)

        def freed(reference: weakref.ref[torch.UntypedStorage]) -> None:
            self.census.death(record)
            if self._known.get(key, (None,))[0] is reference:
                del self._known[key]

        self._known[key] = (weakref.ref(storage, freed), record)
        return record

    def claim(self, tensors: Iterable[torch.Tensor | None], kind: str, module: str) -> None:
        """Say what the storages of tensors are kept for, and for which module."""
        for tensor in tensors:
            if tensor is not None:
                self.register(tensor, kind, module).claim(kind, module)

    def on_saved(self, tensor: torch.Tensor) -> torch.Tensor:
        """Pack hook of autograd: claim what it saves for backward."""
        if tensor.layout == torch.strided:
            self.register(tensor, "saved", self._modules.current()).claim("saved activations")
        return tensor

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "prim":  # questions such as .device
            return func(*args, **kwargs)
        if func is torch.ops.aten.add.Tensor and self._adds_in_place(args, kwargs):
            func = torch.ops.aten.add_.Tensor
        elif func in IN_PLACE and self._writes_in_place():
            func = IN_PLACE[func]
        try:
            result = func(*args, **kwargs)
        except Exception:
            self.failed_op = self.failed_op or f"{func}({', '.join(map(_shown, args))})"
            raise
        self._count(func, args, kwargs, result)
        return result

    def _count(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        name, module = str(func), self._owner(args)
        corrected = result_bytes(func, args)
        for place, leaf in enumerate(tree_leaves(result)):
            if isinstance(leaf, torch.Tensor) and leaf.layout == torch.strided:
                self.register(leaf, name, module, corrected.get(place))
        workspace_bytes = self._workspace_bytes(func, args, kwargs, result)
        self.census.after_op(name, module, self._phase, self._step, workspace_bytes)

    def _owner(self, args: tuple[Any, ...]) -> str:
        """Return the module at work; in the optimizer's step, that of the parameter, gradient or state it works on."""
        if self._phase == "optimizer step":
            for leaf in tree_leaves(args):
                known = self._known.get(leaf.untyped_storage()._cdata) if isinstance(leaf, torch.Tensor) else None
                if known is not None:
                    return known[1].module
        return self._modules.current()

    def _writes_in_place(self) -> bool:
        """Tell whether one of torch's own formulas is running, and not a user's torch.autograd.Function."""
        node = torch._C._current_autograd_node()
        users = isinstance(node, torch.autograd.function.BackwardCFunction)
        return node is not None and not users and not self._modules.inside_forward()

    def _adds_in_place(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Tell whether this is autograd summing two gradients of one tensor, which it does in place on real tensors.

        The engine takes fakes (and any tensor under a dispatch mode) for tensors it must not write to, and adds out of
        place: one gradient too many. It writes where nobody else holds the first gradient.
        """
        if self._phase != "backward" or kwargs or len(args) != 2 or self._modules.inside_forward():
            return False
        first, second = args
        if not (isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor)) or first.shape != second.shape:
            return False
        if self._sole_owner_counts is None:
            self._counts_seen.append(_use_counts(first))
            return False
        if first.requires_grad or first.dtype != second.dtype:
            return False
        counts = _use_counts(first)
        return counts <= self._sole_owner_counts and is_non_overlapping_and_dense_or_false(first)


def _sum_two_gradients() -> None:
    leaf = torch.ones(2, requires_grad=True)
    middle = leaf * 2
    torch.autograd.backward((middle.sin() + middle.cos()).sum())


def _use_counts(tensor: torch.Tensor) -> tuple[int, int]:
    # Of tensor and storage; Python's own references count too, so that only a comparison says who else holds them.
    count: int = tensor._use_count()  # type: ignore[attr-defined]
    return count, torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_shown, value))}]"
    return str(tuple(value.shape)) if isinstance(value, torch.Tensor) else str(value)
