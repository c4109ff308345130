"""Loops of two workers with the hazards that the argument names: several loaders in turn, or one that fails."""

import resource
import sqlite3
import sys
import threading
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info


class Store:
    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.files = [Path(__file__).open("rb")]  # noqa: SIM115 - the hazard


class Images(Dataset):
    """Two batches."""

    def __init__(self, hazard: str = "none") -> None:
        self.hazard = hazard
        self.store = Store() if hazard in ("shared", "reopened") else None
        self.records = [str(number) for number in range(1000)]

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> list[torch.Tensor]:
        if self.hazard == "hang" and get_worker_info().id == 1:
            time.sleep(600)
        if self.hazard == "raises":
            raise ValueError("bad item")
        if self.hazard == "reopened":
            self.store = Store()
        return [torch.zeros(1000) for _ in range(10)]


def begin(worker: int) -> None:
    torch.set_num_threads(3)


def first_of(items: list[list[torch.Tensor]]) -> torch.Tensor:
    return items[0][0]


def exhaust(loader: DataLoader) -> None:
    for _ in loader:
        pass


def several() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="logger")
    thread.start()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    settings = {"batch_size": 4, "num_workers": 2}
    reckless = DataLoader(
        Images("shared"), **settings, prefetch_factor=12, worker_init_fn=begin, multiprocessing_context="fork"
    )
    exhaust(reckless)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    end.set()
    thread.join()
    careful = DataLoader(Images("reopened"), **settings, timeout=100, multiprocessing_context="fork")
    exhaust(careful)
    spawned = DataLoader(Images(), **settings, collate_fn=first_of, multiprocessing_context="spawn")
    exhaust(spawned)
    impossible = DataLoader(Images(), **settings, collate_fn=lambda items: items, multiprocessing_context="spawn")
    exhaust(impossible)


def idle() -> None:
    """One batch for two workers, which wait together for longer than a doctor's patience."""
    train_loader = DataLoader(Images(), 8, num_workers=2, multiprocessing_context="fork", persistent_workers=True)
    exhaust(train_loader)
    time.sleep(5)
    exhaust(train_loader)


def rests() -> None:
    """The main process waits for ever, for nobody."""
    train_loader = DataLoader(Images(), 4, num_workers=2, multiprocessing_context="fork")
    for _ in train_loader:
        threading.Event().wait(600)


if __name__ == "__main__":
    if sys.argv[1] == "several":
        several()
    elif sys.argv[1] == "idle":
        idle()
    elif sys.argv[1] == "rests":
        rests()
    else:
        train_loader = DataLoader(Images(sys.argv[1]), 4, num_workers=2, multiprocessing_context="fork", timeout=100)
        exhaust(train_loader)
