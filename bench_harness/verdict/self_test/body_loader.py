"""A loader of two worker processes: python body_loader.py EXTRA; its items take 1 + EXTRA times the work.

torch's DataLoader where torch is installed, else a pool of multiprocessing. Each epoch starts its workers anew, waits
for all items and for the end of the workers: only then does the system tell their CPU seconds.
"""

import importlib.util
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable

_ITEMS = 64
# Units per item, epochs by the clock. A process takes seconds to import torch, and an alarm thirteen rounds at least of
# two processes on one core: in a minute these leave a body some tenths of a second.
_WITH_TORCH, _PLAIN = (80, 1), (30, 3)
_WORKERS = 2


def unit(seed: int) -> int:
    """Do about 25 us of what Python programs do."""
    words = {f"w{(seed * number) % 97}": number for number in range(40)}
    order = sorted(words, key=lambda word: (len(word), words[word]))
    return sum(words[word] for word in order if word[-1] != "7") + len("-".join(order))


class Items:
    """A dataset of numbers that take work to come by."""

    def __init__(self, units: int) -> None:
        self.units = units

    def __len__(self) -> int:
        return _ITEMS

    def __getitem__(self, index: int) -> int:
        return sum(unit(seed) for seed in range(self.units))


def torch_epochs() -> Callable[[Items], int]:
    """Return what reads every item through a DataLoader of two workers."""
    from torch.utils.data import DataLoader

    def epoch(items: Items) -> int:
        loader = DataLoader(items, batch_size=8, num_workers=_WORKERS, collate_fn=sum)  # type: ignore[arg-type, var-annotated]
        return sum(loader)

    return epoch


def plain_epochs() -> Callable[[Items], int]:
    """Return what reads every item through a pool of two workers."""
    context = multiprocessing.get_context("fork")

    def epoch(items: Items) -> int:
        with context.Pool(_WORKERS) as pool:
            total = sum(pool.imap(items.__getitem__, range(_ITEMS), chunksize=8))
            pool.close()
            pool.join()
        return total

    return epoch


def cpu_s() -> float:
    """Return the CPU seconds of this process and of all workers that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Read one epoch to get warm, then some by the clock."""
    torch = importlib.util.find_spec("torch") is not None
    units, epochs = _WITH_TORCH if torch else _PLAIN
    items = Items(round(units * (1 + float(sys.argv[1]))))
    epoch = torch_epochs() if torch else plain_epochs()
    begin_s = time.perf_counter()
    epoch(items)
    warm_s, warm_cpu_s = time.perf_counter(), cpu_s()
    for _ in range(epochs):
        epoch(items)
    spent_s, end_s = cpu_s() - warm_cpu_s, time.perf_counter()
    path = os.environ.get("BENCH_COMPARE_REPORT")
    if path:  # not where instructions are counted: numbers of other lengths are other work
        told = f'{{"body_s": {end_s - begin_s}}}\n{{"metric": "cpu_s", "value": {spent_s}}}\n'
        told += f'{{"metric": "wall_s", "value": {end_s - warm_s}}}\n'
        with open(path, "a") as file:  # noqa: PTH123 pathlib takes longer than the start
            file.write(told)


if __name__ == "__main__":
    main()
