"""Iterates loaders over rows held as Python strings or as one NumPy array: rows.py strings|array ROWS WORKERS [how]."""

import gc
import os
import signal
import sys

import numpy as np
from torch.utils.data import DataLoader, Dataset

READ = 64  # rows per item: a worker soon reads pages all over


class Rows(Dataset):
    def __init__(self, kind, count):
        self.records = np.arange(count) if kind == "array" else [f"{number:040d}" for number in range(count)]

    def __len__(self):
        return len(self.records) // READ

    def __getitem__(self, index):
        begin = index * READ
        return sum(int(self.records[number]) for number in range(begin, begin + READ)) % 1000


def main(kind, count, workers, how="run"):
    # Held here until the workers have ended: of records that main lets go, the pages belong to the last worker alive.
    data = [Rows(kind, size) for size in (count, count // 4)]
    iterate(
        *(DataLoader(each, batch_size=32, num_workers=workers, persistent_workers=workers > 0) for each in data), how
    )


def iterate(train_loader, val_loader, how):
    gc.freeze()  # else a collection in a worker, which comes or does not, writes to every object of the imports
    for _ in range(2):
        for _ in train_loader:
            if how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
        for _ in val_loader:
            pass


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
