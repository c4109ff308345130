"""Leaves the segments of a run with two forked workers, one of which never writes the dump of its end.

Usage: capture_by_hand.py RUN_FOLDER; does by hand what `bench profile` does to a target.
"""

import cProfile
import json
import marshal
import multiprocessing.util
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from bench_harness.segments import FOLDER, Identity, State, announce, write_atomically, write_document

BATCHES = 6  # of each worker
LOCK = threading.Lock()
LOGGED = []


class Capture:
    """A profile of this process, and its segment."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.folder = folder
        self.identity = identity
        self.profile = cProfile.Profile()
        self.started = time.perf_counter()
        self.ends: dict[str, float] = {}

    def dump(self, ending: str = "", *, final: bool = False) -> None:
        """Write the statistics so far, of the whole or frozen at a boundary, and the state."""
        self.profile.disable()
        wall_s = time.perf_counter() - self.started
        self.profile.snapshot_stats()  # type: ignore[attr-defined]
        content = marshal.dumps(self.profile.stats)  # type: ignore[attr-defined]
        write_atomically(self.folder / f"{self.identity.serial}{ending}.prof", content)
        if ending:
            self.ends[ending[1:]] = wall_s
        state = State(self.identity, "cprofile", final, "exit" if final else "running")
        state.wall_s, state.cpu_s, state.phases_s, state.uss_bytes = wall_s, wall_s / 2, self.ends, 10**7
        write_document(self.folder / f"{self.identity.serial}.json", state)
        if not final:
            self.profile.enable()


def work(count: int) -> float:
    return sum(i * 0.5 for i in range(count))


class Numbers(Dataset[Any]):
    def __len__(self) -> int:
        return BATCHES * 2 * 2

    def __getitem__(self, index: int) -> Any:
        with LOCK:
            work(5000)
        time.sleep(0.001)
        return torch.zeros(8)


class Watched(Numbers):
    """Dumps before the first and after the second item, and then after each."""

    capture: Capture
    served = 0

    def __getitem__(self, index: int) -> Any:
        if self.served == 0:
            self.capture.dump(".setup")
        item = super().__getitem__(index)
        self.served += 1
        self.capture.dump(".first" if self.served == 2 else "")
        return item

    def start_worker(self, worker: int) -> None:
        self.capture.profile.disable()  # of main, which this process inherited: only one can be active
        identity = Identity(f"main.{worker + 1}", "worker", 0, "numbers", worker, 0, os.getpid())
        self.capture = Capture(Path(sys.argv[1]) / FOLDER, identity)
        self.capture.profile.enable()
        if worker == 0:
            multiprocessing.util.Finalize(None, lambda: self.capture.dump(final=True), exitpriority=100)


def log(value: float) -> None:
    LOGGED.append(value)


def step(batch: Any) -> None:
    time.sleep(0.002)
    work(3000)
    log(float((batch @ batch.T).sum()))


def set_up() -> None:
    json.dumps({"a": [1, 2]})
    work(20000)


def train(capture: Capture) -> None:
    set_up()
    numbers = Watched()
    numbers.capture = capture
    loader = DataLoader(
        numbers, batch_size=2, num_workers=2, worker_init_fn=numbers.start_worker, multiprocessing_context="fork"
    )
    capture.dump(".setup")
    for number, batch in enumerate(loader):
        step(batch)
        if number == 0:
            capture.dump(".first")


def main() -> None:
    segments = Path(sys.argv[1]) / FOLDER
    segments.mkdir(parents=True)
    capture = Capture(segments, Identity("main", pid=os.getpid()))
    announce(segments, capture.identity)
    for worker in range(2):
        announce(segments, Identity(f"main.{worker + 1}", "worker", 0, "numbers", worker, 0))
    announce(segments, Identity("main.3", "process", name="Watcher", pid=1))
    capture.profile.enable()
    train(capture)
    capture.dump(final=True)


if __name__ == "__main__":
    main()
