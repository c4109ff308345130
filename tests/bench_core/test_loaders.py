"""DataLoaders: dead and hung workers are named, forks after heavy imports work, timings travel with the batches."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from bench_core import ImageSpec, LoaderError, MissingOriginError, OriginStore
from bench_core.datasets import OriginPairs
from bench_core.loaders import iterate, make_loader

pytestmark = pytest.mark.timeout(120)


class Doomed(Dataset):
    """Numbers, but the worker that comes to index 4 ends as it is told to."""

    def __init__(self, end: str) -> None:
        self.end = end

    def __len__(self) -> int:
        return 16

    def __getitem__(self, i: int) -> torch.Tensor:
        if i == 4:
            match self.end:
                case "exit 0" | "exit 7":
                    os._exit(int(self.end[-1]))
                case "hang":
                    time.sleep(60)
                case "raise":
                    raise ValueError("row 4 is odd")
                case "time out":
                    raise RuntimeError("NFS read timed out")
                case "raise ours":
                    raise MissingOriginError("no origin 4")
                case "SIGKILL" | "SIGTERM" as name:
                    os.kill(os.getpid(), getattr(signal, name))
        return torch.tensor(float(i))


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("SIGKILL", r"worker 0 \(pid \d+\) died with exit code -9 \(SIGKILL\).*out-of-memory"),
        ("SIGTERM", r"worker 0 \(pid \d+\) died with exit code -15 \(SIGTERM\)"),
        ("exit 7", r"worker 0 \(pid \d+\) died with exit code 7"),
        ("exit 0", r"worker 0 \(pid \d+\) died with exit code 0: something in it called exit"),
    ],
)
def test_dead_workers_are_named(end: str, message: str) -> None:
    with pytest.raises(LoaderError, match=message):
        list(iterate(make_loader(Doomed(end), 2, 2, timeout_s=30)))


def test_hung_workers_end_with_a_reason() -> None:
    with pytest.raises(LoaderError, match="no worker delivered a batch in 2 s: likely a thread pool"):
        list(iterate(make_loader(Doomed("hang"), 2, 2, timeout_s=2)))


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_of_the_data_set_pass_through(workers: int) -> None:
    with pytest.raises(ValueError, match="row 4 is odd"):
        list(iterate(make_loader(Doomed("raise"), 2, workers)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_time_out_of_the_data_set_is_not_the_loaders(workers: int) -> None:
    with pytest.raises(RuntimeError, match="NFS read timed out"):
        list(iterate(make_loader(Doomed("time out"), 2, workers)))


@pytest.mark.parametrize("workers", [0, 1])
def test_our_own_errors_stay_one_line(workers: int) -> None:
    with pytest.raises(MissingOriginError, match=r"^no origin 4$"):
        list(iterate(make_loader(Doomed("raise ours"), 2, workers)))


def test_persistent_workers_serve_every_epoch() -> None:
    loader = make_loader(Doomed("none"), 4, 2, persistent_workers=True)
    assert [len(list(iterate(loader))) for _ in range(3)] == [4, 4, 4]
    assert len(multiprocessing.active_children()) == 2
    for _ in iterate(loader):
        break
    assert not multiprocessing.active_children()
    assert len(list(iterate(loader))) == 4  # an epoch that was broken off is followed by a whole one
    del loader
    gc.collect()
    assert not multiprocessing.active_children()


def test_the_callers_signal_handlers_stay_and_work() -> None:
    """Of interleaved loaders too, in the loop and after it, and closed from whatever thread.

    Raised in this thread: the death of a child may be told to another one, and be noticed here a moment later.
    """
    taken: list[int] = []
    before = signal.signal(signal.SIGCHLD, lambda number, _: taken.append(number))
    try:
        loaders = [make_loader(Doomed("none"), 4, workers) for workers in (1, 1, 0)]
        for _ in zip(*map(iterate, loaders), strict=True):
            taken.clear()
            signal.raise_signal(signal.SIGCHLD)
            assert taken
        batches = iterate(loaders[0])
        next(batches)
        thread = threading.Thread(target=batches.close)
        thread.start()
        thread.join()
        taken.clear()
        signal.raise_signal(signal.SIGCHLD)
        assert taken
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGCHLD, before)


def mask_of_a_process(context: Any) -> set[int]:
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=send_mask, args=(send,))
    process.start()
    mask: set[int] = receive.recv()
    process.join()
    return mask


def send_mask(send: Any) -> None:
    send.send(set(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, set()))))


@pytest.mark.parametrize("start_method", ["fork", "forkserver", "spawn"])
def test_other_processes_still_take_interrupts(start_method: str) -> None:
    """In a process of its own: a forkserver lives as long as its process."""
    code = f"""
import multiprocessing, sys, torch
sys.path.insert(0, {str(Path(__file__).parent)!r})
from bench_core.loaders import iterate, make_loader
from test_loaders import mask_of_a_process
if __name__ == "__main__":
    dataset = torch.utils.data.TensorDataset(torch.zeros(4, 1))
    print(len(list(iterate(make_loader(dataset, 2, 1, {start_method!r})))))
    print(mask_of_a_process(multiprocessing.get_context({start_method!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "2\nset()\n", done.stderr


def test_interrupts_are_blocked_in_workers_and_nowhere_else() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    batches = iterate(make_loader(Doomed("none"), 2, 2))
    next(batches)
    for worker in multiprocessing.active_children():
        os.kill(worker.pid or 0, signal.SIGINT)
    assert len(list(batches)) == 7
    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == before


@pytest.mark.parametrize("workers", [0, 2])
def test_any_loader_can_be_iterated(workers: int) -> None:
    """Also one that was made without a start method of its own, as users make theirs."""
    assert len(list(iterate(DataLoader(Doomed("none"), 4, num_workers=workers)))) == 4


def test_without_workers_no_process_is_started() -> None:
    code = """
import torch
from multiprocessing import resource_tracker
from bench_core.loaders import iterate, make_loader
list(iterate(make_loader(torch.utils.data.TensorDataset(torch.zeros(4, 1)), 2)))
print(resource_tracker._resource_tracker._fd)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "None", done.stderr


def test_early_break_ends_the_workers() -> None:
    loader = make_loader(Doomed("none"), 2, 2)
    batches = iterate(loader)
    next(batches)
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    batches.close()
    assert not multiprocessing.active_children()
    assert [worker.exitcode for worker in workers] == [0, 0]


def test_unknown_start_method() -> None:
    with pytest.raises(LoaderError, match="'frok' does not exist"):
        make_loader(Doomed("none"), 2, 1, "frok")


@pytest.mark.parametrize("workers", [0, 2])
def test_timed_batches(origins: OriginStore, small_image: ImageSpec, workers: int) -> None:
    pairs = OriginPairs(origins, small_image, size=8)
    batches = list(make_loader(pairs, 4, workers, timed=True))
    assert len(batches) == 2
    for (x, y), cost in batches:
        assert x.shape == (4, 2, 4, 9, 9, 9)
        assert y.shape == (4,)
        assert 0 < cost.seconds < 60
        assert cost.skipped >= 0


@pytest.mark.parametrize("workers", [0, 1])
def test_skipped_structures_are_counted_in_the_worker(
    origins: OriginStore, small_image: ImageSpec, workers: int
) -> None:
    pairs = OriginPairs(origins, small_image, size=64, max_tries=1)
    skipped = sum(cost.skipped for _, cost in make_loader(pairs, 8, workers, timed=True))
    pairs.skipped.clear()
    for i in range(64):
        pairs.draw(i)
    assert skipped == pairs.skipped.total() > 0


def test_fork_after_heavy_imports() -> None:
    """Workers forked from a process that has used gemmi, scipy, torch and threads deliver: under a hard timeout."""
    code = """
import os, gemmi, numpy, scipy.linalg, torch
import bench_core
from bench_core.datasets import OriginPairs
from bench_core.loaders import make_loader
torch.set_num_threads(2)
torch.randn(300, 300) @ torch.randn(300, 300)
scipy.linalg.svd(numpy.random.rand(200, 200))
from bench_core.commands.data_folder import default_folder, ensure_prepared
ensure_prepared(default_folder())
image = bench_core.ImageSpec(bench_core.Grid(9, 1.0), [["*"]])
pairs = OriginPairs(bench_core.open_origins(default_folder()), image, size=32)
print(sum(len(x) for x, y in make_loader(pairs, 4, 2, "fork", timeout_s=60)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "32"


@pytest.mark.timeout(30)
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_worker_that_dies_while_indices_are_sent_leaves_no_lock_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's handler must not raise between taking the lock of a queue and giving it back."""
    send, main, killed = Queue.put, os.getpid(), list[int]()
    before = set(multiprocessing.active_children())

    def put_slowly(queue: Any, item: Any, *more: Any) -> None:
        if not killed and os.getpid() == main:
            killed.append((set(multiprocessing.active_children()) - before).pop().pid or 0)
            queue._notempty.acquire()
            os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.3)
            queue._notempty.release()
        send(queue, item, *more)

    monkeypatch.setattr(Queue, "put", put_slowly)
    loader = make_loader(torch.utils.data.TensorDataset(torch.zeros(64, 1)), batch_size=4, workers=2)
    with pytest.raises(LoaderError, match=r"died with exit code -9 \(SIGKILL\)"):
        list(iterate(loader))
