"""Leaves the segments of a run with two forked workers, one of which never writes the dump of its end.

Usage: capture_by_hand.py RUN_FOLDER; does by hand what bench_harness.capture does to a target.
"""

import cProfile
import json
import marshal
import multiprocessing.util
import os
import pickle
import sys
import threading
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from bench_harness.segments import FOLDER, Identity, State, announce, write_atomically, write_document

RUN = Path(sys.argv[1])
SEGMENTS = RUN / FOLDER
BATCHES = 6
PROFILE = cProfile.Profile()
LOCK = threading.Lock()
LOGGED = []


def dump(identity, ending="", *, final=False, reason="running", started=time.perf_counter(), ends={}):  # noqa: B006, B008
    """Write the statistics so far, of the whole or frozen at a boundary, and the state."""
    PROFILE.snapshot_stats()
    write_atomically(SEGMENTS / f"{identity.serial}{ending}.prof", marshal.dumps(PROFILE.stats))
    wall_s = time.perf_counter() - started
    if ending:
        ends[ending[1:]] = wall_s
    state = State(identity, "cprofile", final, reason, wall_s=wall_s, cpu_s=wall_s / 2, phases_s=ends, uss_bytes=10**7)
    write_document(SEGMENTS / f"{identity.serial}.json", state)


def work(count):
    return sum(i * 0.5 for i in range(count))


class Numbers(Dataset):
    def __len__(self):
        return BATCHES * 2 * 2

    def __getitem__(self, index):
        with LOCK:
            work(5000)
        time.sleep(0.001)
        return torch.zeros(8)


def start_worker(worker):
    global PROFILE
    PROFILE = cProfile.Profile()
    identity = Identity(f"main.{worker + 1}", "worker", 0, "numbers", worker, 0, os.getpid())
    PROFILE.enable()
    if worker == 0:
        finish = lambda: dump(identity, final=True, reason="exit")  # noqa: E731
        multiprocessing.util.Finalize(None, finish, exitpriority=100)
    fetch = Numbers.__getitem__
    seen = []

    def counted(self, index):
        if not seen:
            dump(identity, ".setup")
        elif len(seen) == 2:
            dump(identity, ".first")
        seen.append(index)
        item = fetch(self, index)
        dump(identity)
        return item

    Numbers.__getitem__ = counted


def log(value):
    LOGGED.append(value)


def step(batch):
    time.sleep(0.002)
    work(3000)
    log(float((batch @ batch.T).sum()))


def set_up():
    pickle.dumps(list(range(100)))
    json.dumps({"a": [1, 2]})
    work(20000)


def main():
    identity = Identity("main", pid=os.getpid())
    announce(SEGMENTS, identity)
    for worker in range(2):
        announce(SEGMENTS, Identity(f"main.{worker + 1}", "worker", 0, "numbers", worker, 0))
    announce(SEGMENTS, Identity("main.3", "process", name="Helper", pid=1))
    PROFILE.enable()
    set_up()
    loader = DataLoader(
        Numbers(), batch_size=2, num_workers=2, worker_init_fn=start_worker, multiprocessing_context="fork"
    )
    dump(identity, ".setup")
    for number, batch in enumerate(loader):
        step(batch)
        if number == 0:
            dump(identity, ".first")
    PROFILE.disable()
    dump(identity, final=True, reason="exit")


if __name__ == "__main__":
    SEGMENTS.mkdir(parents=True)
    main()
