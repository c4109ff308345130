"""A training loop of two workers that ends in the way its first argument names; the second is the start method."""

import ctypes
import os
import signal
import sys
import time

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

ENOUGH = 60  # batches in the middle of the epoch: 1.2 s of each worker's life at least


class Squares(Dataset):
    def __init__(self, ending: str) -> None:
        self.ending = ending

    def __len__(self) -> int:
        return 200

    def __getitem__(self, index: int) -> torch.Tensor:
        time.sleep(0.015)
        if index >= 150 and get_worker_info().id == 0:
            self.end()
        return torch.tensor([squares(index)])

    def end(self) -> None:
        if self.ending == "dataset raises":
            raise ValueError("bad item")
        if self.ending == "worker SIGKILLed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.ending == "worker SIGTERMed":
            os.kill(os.getpid(), signal.SIGTERM)
        if self.ending == "worker segfaults":
            ctypes.string_at(0)


def squares(index: int) -> int:
    return sum(j * j for j in range(300 + index))


def main(ending: str, method: str) -> None:
    global iterator
    loader = DataLoader(
        Squares(ending),
        batch_size=2,
        num_workers=2,
        persistent_workers=ending.startswith("persistent"),
        multiprocessing_context=method,
    )
    iterator = iter(loader)
    for number, _ in enumerate(iterator):
        if number == ENOUGH and in_the_middle(ending):
            return


def in_the_middle(ending: str) -> bool:
    """Return whether to leave the loop here."""
    global iterator
    if ending == "break, iterator deleted":
        del iterator
    if ending.endswith("main raises"):
        raise RuntimeError("main broke")
    if ending in ("main SIGTERM", "main SIGKILL"):
        os.kill(os.getpid(), getattr(signal, ending.removeprefix("main ")))
    if ending == "main os._exit":
        os._exit(3)
    if ending == "Ctrl-C":
        os.killpg(os.getpgrp(), signal.SIGINT)
        time.sleep(30)
    return "break" in ending or ending == "persistent, iterator alive"


if __name__ == "__main__":
    main(*sys.argv[1:])
