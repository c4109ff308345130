"""Memory that is used again."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn


class _Buffers(threading.local):
    """A dictionary for each thread, freed with it; emptied where a FakeTensorMode begins or ends."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, torch.dtype, Any], Tensor] = {}


class Scratch:
    """Memory that layers take turns in, on the CPU: new memory costs a page fault per 4 kB, 0.1 s for 265 MB.

    What is taken is valid until the same thread takes the same name again; each thread has memory of its own, so that
    several may run one model. Copies and pickles of it are empty. Under a FakeTensorMode, where nothing is computed, it
    lends fake memory by the same rule, so that a simulated step holds what a real one does.
    """

    def __init__(self) -> None:
        self._of_thread = _Buffers()

    def take(self, name: str, elements: int, like: Tensor, dtype: torch.dtype) -> Tensor:
        """Return a flat, uninitialised tensor of `elements` on the device of `like`.

        Fake tensors have scratch memory of their mode, so that a simulation holds what a real step does.
        """
        fake_mode = getattr(like, "fake_mode", None)
        kept = fake_mode is not None or type(like) in (Tensor, nn.Parameter)
        if like.device.type != "cpu" or torch.compiler.is_compiling() or not kept:
            return torch.empty(elements, dtype=dtype, device=like.device)
        buffers, key = self._of_thread.buffers, (name, dtype, fake_mode)
        buffer = buffers.get(key)
        if buffer is None or buffer.numel() < elements:
            buffers.pop(key, None)
            buffer = buffers[key] = like.new_empty(elements, dtype=dtype)
        return buffer[:elements]

    def __deepcopy__(self, memo: Any) -> Scratch:
        return Scratch()

    def __reduce__(self) -> tuple[type[Scratch], tuple[()]]:
        return Scratch, ()
