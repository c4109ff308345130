"""Copies of batches to a CUDA device: how many bytes, from pinned memory or not, timed by events on the device."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from bench_harness.capture.own_frames import hide

_MAX_PENDING = 256


class Copies:
    """The copies that steps made, taken by Tensor.to and Tensor.cuda.

    Args:
        torch: the module.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._originals = {name: getattr(torch.Tensor, name) for name in ("to", "cuda")}
        self._pending: deque[tuple[Any, Any, Any, bool]] = deque()
        self._loop: Any = None
        self._steady = False
        self._host_s = 0.0
        for name, original in self._originals.items():
            setattr(torch.Tensor, name, self._timed(original))

    def begin_step(self, loop: Any, steady: float) -> None:
        """Copies from now on are those of a batch of `loop`."""
        self.poll()
        self._loop, self._steady, self._host_s = loop, bool(steady), 0.0

    def taken_s(self) -> float:
        """Return the seconds that this step's copies kept the host; other work of this thread is no copy's."""
        self._loop, taken = None, self._host_s
        return taken

    def poll(self) -> None:
        """Add up what the device has finished; never waits for it."""
        while self._pending and self._pending[0][1].query():
            begun, ended, loop, steady = self._pending.popleft()
            if steady:
                loop.copy_device_s += begun.elapsed_time(ended) / 1e3

    def remove(self) -> None:
        """Put Tensor.to and Tensor.cuda back."""
        for name, original in self._originals.items():
            if name in vars(self._torch.Tensor):
                delattr(self._torch.Tensor, name)
            if getattr(self._torch.Tensor, name) is not original:
                setattr(self._torch.Tensor, name, original)

    def _timed(self, original: Callable[..., Any]) -> Callable[..., Any]:
        is_compiling = self._torch.compiler.is_compiling

        def timed(tensor: Any, *args: Any, **kwargs: Any) -> Any:
            # While torch.compile traces, nothing but the call may be seen.
            if is_compiling() or self._loop is None or tensor.requires_grad or tensor.device.type != "cpu":
                return original(tensor, *args, **kwargs)
            event = self._torch.cuda.Event
            try:
                begun, ended = event(enable_timing=True), event(enable_timing=True)
                begun.record()
            except Exception:  # a stream that is being captured records no events
                return original(tensor, *args, **kwargs)
            start = time.monotonic()
            try:
                copied = original(tensor, *args, **kwargs)
            except BaseException as error:
                hide(error)
                raise
            self._host_s += time.monotonic() - start
            if copied.is_cuda:
                self._note(tensor, begun, ended)
            return copied

        return timed

    def _note(self, tensor: Any, begun: Any, ended: Any) -> None:
        loop = self._loop
        if not self._steady:
            return
        ended.record()
        pinned = tensor.is_pinned()
        loop.copies_pinned += pinned
        loop.copies_pageable += not pinned
        loop.copied_bytes += tensor.nbytes
        if len(self._pending) < _MAX_PENDING:
            self._pending.append((begun, ended, loop, self._steady))
        else:
            loop.copies_unread += 1


def watch_copies(torch: Any) -> Copies | None:
    """Return a meter of copies to the device; None where there is no CUDA device that torch can use."""
    if not torch.cuda.is_available():
        return None
    return Copies(torch)
