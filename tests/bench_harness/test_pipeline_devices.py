"""Copies to a device and the pin-memory thread, on stand-ins for what needs a GPU."""

from __future__ import annotations

import itertools
import queue
import types
from pathlib import Path
from typing import Any

import pytest

from bench_harness.capture.pipeline import hooks
from bench_harness.capture.pipeline.aggregate import read_pipeline
from bench_harness.capture.pipeline.context import Context
from bench_harness.capture.pipeline.copies import Copies, watch_copies

pytestmark = pytest.mark.timeout(60)


class Event:
    """Every copy takes 2 ms on this device; `finished` says whether the device came so far."""

    finished = True
    clock = itertools.count()

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        self.at = next(self.clock)

    def query(self) -> bool:
        return Event.finished

    def elapsed_time(self, end: Event) -> float:
        assert end.at > self.at
        return 2.0


class Base:
    """What torch's own methods are inherited from."""

    def to(self, device: str) -> Any:
        copied = type(self)(device)
        copied.calls = [*self.calls, device]
        return copied

    cuda = to


class FakeTensor(Base):
    def __init__(self, device: str = "cpu", pinned: bool = False, requires_grad: bool = False) -> None:
        self.device = types.SimpleNamespace(type=device)
        self.is_cuda = device == "cuda"
        self.pinned = pinned
        self.requires_grad = requires_grad
        self.nbytes = 100
        self.calls: list[str] = []

    def is_pinned(self) -> bool:
        return self.pinned


def fake_torch(available: bool = True, compiling: bool = False) -> Any:
    return types.SimpleNamespace(
        Tensor=FakeTensor,
        cuda=types.SimpleNamespace(Event=Event, is_available=lambda: available),
        compiler=types.SimpleNamespace(is_compiling=lambda: compiling),
    )


def fake_loop() -> Any:
    return types.SimpleNamespace(copies_pinned=0, copies_pageable=0, copied_bytes=0, copy_device_s=0.0, copies_unread=0)


@pytest.fixture
def copies() -> Any:
    meter = Copies(fake_torch())
    yield meter
    meter.remove()
    assert "to" not in vars(FakeTensor)
    assert "cuda" not in vars(FakeTensor)


def test_copies_of_steady_batches_are_counted(copies: Copies) -> None:
    loop = fake_loop()
    FakeTensor().to("cuda")  # before any batch: the model, say
    copies.begin_step(loop, steady=0.0)
    FakeTensor().to("cuda")
    copies.begin_step(loop, steady=1.0)
    assert FakeTensor(pinned=True).to("cuda").calls == ["cuda"]
    FakeTensor().cuda("cuda")
    FakeTensor().to("cpu")
    FakeTensor("cuda").to("cuda")
    FakeTensor(requires_grad=True).to("cuda")  # a parameter
    copies.poll()
    assert (loop.copies_pinned, loop.copies_pageable, loop.copied_bytes) == (1, 1, 200)
    assert loop.copy_device_s == pytest.approx(0.004)
    assert copies.taken_s() > 0
    FakeTensor().to("cuda")  # between steps
    assert loop.copies_pageable == 1


def test_a_device_that_is_behind_is_not_waited_for(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = fake_loop()
    monkeypatch.setattr(Event, "finished", False)
    copies.begin_step(loop, steady=1.0)
    for _ in range(300):
        FakeTensor().to("cuda")
    copies.poll()
    assert loop.copy_device_s == 0
    assert loop.copies_unread == 300 - 256
    monkeypatch.setattr(Event, "finished", True)
    copies.poll()
    assert loop.copy_device_s == pytest.approx(0.002 * 256)


def test_nothing_is_seen_while_torch_compiles_or_without_a_device() -> None:
    meter = Copies(fake_torch(compiling=True))
    loop = fake_loop()
    meter.begin_step(loop, steady=1.0)
    FakeTensor().to("cuda")
    meter.remove()
    assert loop.copied_bytes == 0
    assert watch_copies(fake_torch(available=False)) is None


def pin_slowly(in_queue: Any, out_queue: Any, device_id: int, done_event: Any, device: str) -> None:
    """Stand in for torch's loop of the same signature, which needs a device."""
    while not done_event.is_set():
        try:
            item = in_queue.get(timeout=0.1)
        except queue.Empty:
            continue
        done_event.wait(0.002 if item[0] is not None else 0)
        out_queue.put(item)


def test_the_pin_memory_thread_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.utils.data._utils.pin_memory, "_pin_memory_loop", pin_slowly)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cpu"))
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 0)
    hooks.install(Context(tmp_path, "main"))
    try:
        data = torch.utils.data.TensorDataset(torch.zeros(30, 2))
        loader = torch.utils.data.DataLoader(data, num_workers=1, pin_memory=True, multiprocessing_context="fork")
        assert sum(len(batch) for (batch,) in loader) == 30
    finally:
        hooks.uninstall()
    loop = read_pipeline(tmp_path).results["loaders"][0]
    assert loop["pin_memory"]
    assert loop["pin_thread"]["pin_s"] >= 0.002
    assert loop["pin_thread"]["receive_s"] > 0
    # Nobody installed hooks in the worker: the waits are known, and that nobody can say what they were for.
    assert (loop["matched_share"], loop["shares"]["loader_wait"]) == (0, 0)
    assert loop["shares"]["unknown_wait"] > 0
