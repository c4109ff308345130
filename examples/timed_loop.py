"""A training loop that times itself: a data set that is slow because it draws in Python, forked workers.

    python examples/timed_loop.py --workers 2

An example is a grid into which balls are drawn one after another, which takes the time. At the end the loop tells its
seconds by the clock, and the CPU seconds of its process and its workers, as JSON: imports are in neither.
Needs NumPy and torch.
"""

import argparse
import json
import resource
import time

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

SIZE = 24


class Balls(Dataset):
    """How full each layer of a grid of balls is, and how many balls are in it."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        grid = np.zeros((SIZE, SIZE, SIZE), np.float32)
        count = int(rng.integers(20, 60))
        for _ in range(count):
            draw(grid, rng.uniform(5, SIZE - 5, size=3), rng.uniform(1, 3))
        return torch.from_numpy(grid.mean(axis=(1, 2))), float(count)


def draw(grid, center, radius):
    """Add a ball to a grid."""
    lower, upper = (center - radius).astype(int), (center + radius).astype(int) + 2
    x, y, z = map(squares, lower, upper, center)
    box = tuple(map(slice, lower, upper))
    grid[box] += x[:, None, None] + y[:, None] + z < radius**2


def squares(first, last, middle):
    """Return squared distances along an axis."""
    return (np.arange(first, last) - middle) ** 2


def cpu_s():
    """Return the CPU seconds of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batches", type=int, default=500)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loader = DataLoader(Balls(8 * arguments.batches), batch_size=8, num_workers=arguments.workers)
    model = nn.Linear(SIZE, 1)
    optimizer = torch.optim.Adam(model.parameters())
    begin_s, begin_cpu_s = time.perf_counter(), cpu_s()
    for layers, counts in loader:
        optimizer.zero_grad()
        guesses = model(layers).squeeze(1)
        nn.functional.mse_loss(guesses, counts.float()).backward()
        optimizer.step()
    print(json.dumps({"wall_s": time.perf_counter() - begin_s, "cpu_s": cpu_s() - begin_cpu_s}))


if __name__ == "__main__":
    main()
