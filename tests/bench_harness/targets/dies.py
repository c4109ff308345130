"""Loops of two workers, of which the first dies at its eleventh item in the ways that the arguments name, in turn."""

import ctypes
import os
import resource
import signal
import sys

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

LIMIT_BYTES = 4 << 30


class Numbers(Dataset):
    def __init__(self, ending: str) -> None:
        self.ending = ending

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> torch.Tensor:
        if index >= 20 and get_worker_info().id == 0:
            self.end()
        return torch.tensor([index])

    def end(self) -> None:
        if self.ending in ("SIGKILL", "SIGTERM"):
            os.kill(os.getpid(), getattr(signal, self.ending))
        if self.ending == "segmentation fault":
            ctypes.string_at(0)
        if self.ending == "exception":
            raise ValueError("bad item\nin two lines")
        if self.ending == "os._exit":
            os._exit(3)
        if self.ending == "sys.exit":
            sys.exit(4)
        if self.ending == "MemoryError":
            bytearray(2 * LIMIT_BYTES)


def begin(worker: int) -> None:
    ending = get_worker_info().dataset.ending
    if ending == "worker_init_fn":
        raise KeyError("no such setting")
    if ending == "MemoryError":
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))


def main(*endings: str) -> None:
    for number, ending in enumerate(endings):
        train_loader = DataLoader(
            Numbers(ending), 2, num_workers=2, worker_init_fn=begin, multiprocessing_context="fork", timeout=60
        )
        try:
            for _ in train_loader:
                pass
        except Exception:
            if number == len(endings) - 1:
                raise


if __name__ == "__main__":
    main(*sys.argv[1:])
