"""Peak memory of a training step of any network, found by going through it without memory: on the meta device."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench_core.models.closed_forms import ADAM_STATES, FLOAT32_BYTES


def step_peak_bytes(network: nn.Module, input_channels: int, input_shape: tuple[int, ...], batch: int = 16) -> int:
    """Peak of a forward, a backward and the gradients' sum, with the parameters, both states of Adam and the images.

    Every tensor that the dispatcher makes counts as long as its memory is referred to; what an operator takes inside
    (oneDNN's layouts, cuDNN's workspace) is not seen. The network is moved to the meta device, and is of no use after.
    """
    network.to("meta").train()
    network.zero_grad()
    images = torch.empty((batch, input_channels, *input_shape), device="meta")
    # The gradients are allocated in the backward pass, and seen there.
    static: int = (1 + ADAM_STATES) * FLOAT32_BYTES * sum(parameter.numel() for parameter in network.parameters())
    static += sum(_bytes(buffer.untyped_storage()) for buffer in network.buffers()) + _bytes(images.untyped_storage())
    with _LiveBytes() as live:
        network(images).sum().backward()
    peak: int = static + live.peak
    return peak


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the memory of the tensors that operators return, each once, until it is freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = {_key(tensor) for tensor in _tensors((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            if _key(tensor) not in known:
                self._count(tensor)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage, key = tensor.untyped_storage(), _key(tensor)
        if key in self._seen:
            return
        self._seen.add(key)
        size = _bytes(storage)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.live -= size


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _bytes(storage: torch.UntypedStorage) -> int:
    return int(storage.nbytes())


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
