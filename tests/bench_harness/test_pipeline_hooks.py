"""Hooks on real DataLoaders: nothing is lost or counted twice, however it is iterated."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hooked_loaders import DataLoader, Items, SpawnedItems, forked, iterate
from pipeline_capture import Capture

from bench_harness.capture.pipeline import hooks, layout
from bench_harness.capture.pipeline.aggregate import read_pipeline

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.timeout(60)


class Uneven(torch.utils.data.IterableDataset):
    """Worker 0 has few items, the others many."""

    def __iter__(self) -> Iterator[int]:
        worker = torch.utils.data.get_worker_info()
        yield from range(4 if worker.id == 0 else 26)


def test_workers_are_named_and_every_batch_is_matched(capture: Capture) -> None:
    train_loader = forked(Items(42), batch_size=4, num_workers=2)
    seen = [int(number) for _ in range(2) for batch, _ in train_loader for number in batch[:, 0]]
    assert seen == [*range(42), *range(42)]
    assert capture.started == [("train_loader", worker, epoch) for epoch in (0, 1) for worker in (0, 1)]
    loop = capture.loop("train_loader")
    assert (loop["batches"], loop["samples"], loop["iterators"]) == (22, 84, 2)
    assert loop["steady"]["batches"] == 2 * (11 - 2)
    assert loop["matched_share"] == 1
    assert loop["steady"]["samples"] == 2 * (7 * 4 + 2 * 4) - 2 * 2
    assert loop["message_bytes"] > 0
    assert (loop["tensors"], loop["tensor_bytes"]) == (2, 4 * 3 * 8 + 4 * 8)
    assert sum(loop["shares"].values()) == pytest.approx(1, abs=1e-6)
    assert capture.boundaries == ["setup", "first"]
    assert {path.name for path in capture.folder.glob("*.first")} == {f"main.{number}.first" for number in range(1, 5)}
    assert capture.warnings == []


def test_a_worker_keeps_its_own_sums(capture: Capture) -> None:
    for _ in forked(Items(20), batch_size=2, num_workers=1):
        pass
    totals = dict(zip(layout.TOTAL_FIELDS, layout.Ring(capture.folder / "main.1.pipeline").totals(), strict=True))
    assert (totals["batches"], totals["samples"]) == (10, 20)
    assert totals["message_bytes"] > 0
    assert totals["cpu_s"] > 0


@pytest.mark.parametrize("options", [{"in_order": False}, {"persistent_workers": True}, {"prefetch_factor": 60}])
def test_other_orders_and_lives_of_workers(capture: Capture, options: dict[str, Any]) -> None:
    loader = forked(Items(150), batch_size=1, num_workers=2, **options)
    for _ in range(2):
        assert sorted(int(batch[0, 0]) for batch, _ in loader) == list(range(150))
    loop = capture.loop("loader")
    assert (loop["batches"], loop["matched_share"], loop["shares"]["unknown_wait"]) == (300, 1, 0)
    assert len(capture.started) == (2 if "persistent_workers" in options else 4)


def test_a_row_is_read_before_its_worker_may_write_another_in_its_place(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With in_order=False a worker that was late is sent, say, index 68 where row 1 was: here each one is replaced."""
    processing = torch.utils.data.dataloader._MultiProcessingDataLoaderIter
    put_index = processing._try_put_index

    def put_and_write(iterator: Any) -> None:
        put_index(iterator)
        last = iterator._rcvd_idx - 1
        if last >= 0:
            ring = layout.Ring(capture.folder / "main.1.pipeline")
            ring.write(ring.offset(last), last + layout.RING_ROWS, *(1.0,) * 10)

    monkeypatch.setattr(processing, "_try_put_index", put_and_write)
    loader = forked(Items(20), num_workers=1)
    iterate(loader)
    assert (capture.loop("loader")["batches"], capture.loop("loader")["matched_share"]) == (20, 1)


def test_iterable_datasets_whose_workers_end_early(capture: Capture) -> None:
    stream = forked(Uneven(), batch_size=2, num_workers=3)
    assert sum(len(batch) for batch in stream) == 4 + 26 + 26
    loop = capture.loop("stream")
    assert (loop["batches"], loop["samples"], loop["matched_share"]) == (2 + 13 + 13, 56, 1)
    assert loop["iterable"]


def test_loaders_without_batches_and_broken_off(capture: Capture) -> None:
    single = forked(Items(30), batch_size=None, num_workers=1)
    for number, _ in enumerate(single):
        if number == 9:
            break
    loop = capture.loop("single")
    assert (loop["batches"], loop["samples"], loop["steady"]["batches"]) == (10, 10, 8)


def test_without_workers(capture: Capture) -> None:
    here = DataLoader(Items(40, seconds=0.002), batch_size=4)
    for _ in here:
        pass
    loop = capture.loop("here")
    assert (loop["batches"], loop["samples"], loop["steady"]["batches"]) == (10, 40, 9)
    assert loop["verdict"] == "loader-bound"
    assert loop["per_batch"]["fetch_s"]["mean"] >= 0.008
    assert loop["workers_busy_share"] is None


def test_two_loaders_at_once_do_not_count_each_other(capture: Capture) -> None:
    slow = DataLoader(Items(20, seconds=0.04))
    quick = DataLoader(Items(20))
    for _ in zip(slow, quick, strict=True):
        time.sleep(0.002)
    assert capture.loop("slow")["per_batch"]["step_s"]["mean"] < 0.03
    assert capture.loop("quick")["per_batch"]["step_s"]["mean"] < 0.03


def test_validation_between_steps_is_not_the_training_steps(capture: Capture) -> None:
    training, validation = DataLoader(Items(8)), DataLoader(Items(20, seconds=0.005))
    for _ in training:
        for _ in validation:
            time.sleep(0.001)
    assert capture.loop("training")["per_batch"]["step_s"]["mean"] < 0.05  # 20 * 6 ms and more, if it counted
    assert capture.loop("validation")["iterators"] == 8


def test_steps_of_the_optimizer_name_the_loader_that_is_judged(capture: Capture) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    parameter.grad = torch.zeros(1)
    training, other = DataLoader(Items(12)), DataLoader(Items(9, seconds=0.01))
    for number, _ in enumerate(training):
        if number % 2:
            optimizer.step()
    for _ in other:
        pass
    pipeline = capture.read()
    assert pipeline.results["loader"] == "training"
    assert pipeline.counts == {"steps": 6, "samples": 12, "batches": 12, "steady_batches": 11, "steady_steps": 6}


class Trainer:
    """Code as people write it: the loader is an attribute, and a parameter called loader."""

    def __init__(self, **options: Any) -> None:
        self.valid_loader = DataLoader(Items(2), **options)

    def run(self) -> None:
        for _ in self.valid_loader:
            pass


def test_names(capture: Capture) -> None:
    Trainer().run()
    evaluation = DataLoader(Items(2))
    iterate(evaluation)
    iterate(DataLoader(torch.utils.data.Subset(Items(3), [1])))
    two = [Trainer(), Trainer()]
    for trainer in (*two, two[0]):
        trainer.run()
    for _ in range(3):
        renewed = DataLoader(Items(2))
        iterate(renewed)
        del renewed
    loops = {loop["name"]: loop["iterators"] for loop in capture.read().results["loaders"]}
    # The first trainer is dead by the time of the others: the second goes on under its name.
    assert loops == {"valid_loader": 3, "evaluation": 1, "loader": 1, "valid_loader-2": 1, "renewed": 3}


def test_outside_of_a_loader_there_is_no_worker(capture: Capture) -> None:
    process = multiprocessing.get_context("fork").Process(target=os.getpid)
    process.start()
    process.join()
    assert capture.started == [(None, None, None)]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_that_are_not_forked(capture: Capture, method: str) -> None:
    capture.start = lambda process, original: (hooks.worker_started("main.1"), original(process))  # type: ignore[assignment]
    loader = DataLoader(SpawnedItems(capture.folder), batch_size=2, num_workers=1, multiprocessing_context=method)
    assert sum(len(batch) for batch, _ in loader) == 20
    loop = capture.loop("loader")
    assert (loop["samples"], loop["matched_share"]) == (20, 1)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert read_pipeline(tmp_path).results["lines"] == ["no torch DataLoader was iterated"]
    (tmp_path / "main.pipeline").write_bytes(b"BHLOADER" + bytes([9, 0, 0, 0]) + bytes(layout.SLOT_BYTES))
    (tmp_path / "rank1.pipeline").write_bytes(b"torn")
    pipeline = read_pipeline(tmp_path)
    assert pipeline.warnings == [
        "pipeline: main.pipeline cannot be read: main.pipeline: counters of version 9, expected 2"
    ]
    assert pipeline.counts["batches"] is None
