"""USS of workers: the kernel's figure, for pages that are known to be private or shared."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from bench_harness.errors import CouldNotMeasureError
from bench_harness.memory.worker_uss import loader_worker_uss_bytes, uss_bytes

pytestmark = pytest.mark.timeout(120)

MIB = 2**20


def test_private_pages_count_in_this_process() -> None:
    before = uss_bytes(os.getpid())
    held = np.ones(64 * MIB, np.uint8)
    assert uss_bytes(os.getpid()) - before == pytest.approx(64 * MIB, rel=0.05)
    assert held[-1] == 1


class Held(Dataset):
    """Holds an array from before the fork; workers read it, or write to it."""

    def __init__(self, write: bool) -> None:
        self.array = np.ones(32 * MIB, np.uint8)
        self.write = write

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> torch.Tensor:
        if self.write:
            self.array += 1
        return torch.tensor(float(self.array.sum()))


def mean_uss(write: bool) -> float:
    loader: DataLoader[Any] = DataLoader(Held(write), 1, num_workers=2, multiprocessing_context="fork", timeout=60)
    return float(np.mean(loader_worker_uss_bytes(loader)))


def test_inherited_pages_count_once_they_are_copied() -> None:
    read_only, written = mean_uss(write=False), mean_uss(write=True)
    assert read_only < 24 * MIB
    assert written - read_only == pytest.approx(32 * MIB, rel=0.1)


def test_all_workers_are_measured_and_end() -> None:
    loader: DataLoader[Any] = DataLoader(Held(False), 2, num_workers=2, multiprocessing_context="fork", timeout=60)
    assert len(loader_worker_uss_bytes(loader)) == 2
    assert not multiprocessing.active_children()


def test_no_workers_is_an_error_and_not_zero() -> None:
    with pytest.raises(CouldNotMeasureError, match="num_workers"):
        loader_worker_uss_bytes(DataLoader(Held(False), 2, num_workers=0))


class Leaves(Dataset):
    """The worker that comes to index 6 leaves: at once, or after it has handed over its last batch."""

    def __init__(self, at_once: bool) -> None:
        self.at_once = at_once

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> torch.Tensor:
        if i == 6:
            if self.at_once:
                os._exit(3)
            threading.Timer(0.3, os._exit, [3]).start()
        if i == 7:
            time.sleep(1.5)
        return torch.tensor(float(i))


@pytest.mark.parametrize("at_once", [True, False])
def test_a_worker_that_ends_early_is_an_error_and_not_left_out(at_once: bool) -> None:
    loader: DataLoader[Any] = DataLoader(Leaves(at_once), 1, num_workers=2, multiprocessing_context="fork", timeout=60)
    with pytest.raises(CouldNotMeasureError, match=r"died|ended too early"):
        loader_worker_uss_bytes(loader)
    del loader
    wait_for_all_workers()


def test_a_connection_that_breaks_before_its_worker_has_ended_is_its_death() -> None:
    class Broken:
        """An iterable whose worker ends a moment after its connection."""

        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Any:
            multiprocessing.get_context("fork").Process(target=time.sleep, args=(0.3,), daemon=True).start()
            return self

        def __next__(self) -> None:
            raise ConnectionResetError("reset by peer")

    with pytest.raises(CouldNotMeasureError, match="a worker of the loader died: reset by peer"):
        loader_worker_uss_bytes(Broken())


def wait_for_all_workers() -> None:
    """torch raises for every worker that dies, wherever the main process is: not in the next test, please."""
    while multiprocessing.active_children():
        with contextlib.suppress(RuntimeError):
            for process in multiprocessing.active_children():
                process.join(10)


def test_a_process_that_is_gone() -> None:
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    with pytest.raises(CouldNotMeasureError, match=f"process {child.pid}"):
        uss_bytes(child.pid or 0)
