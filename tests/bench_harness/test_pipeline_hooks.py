"""Hooks on real DataLoaders: nothing is lost or counted twice, however it is iterated, and the target never notices."""

from __future__ import annotations

import json
import multiprocessing.process
import os
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench_harness.capture.pipeline import hooks, layout, naming, replacements, worker_side
from bench_harness.capture.pipeline.aggregate import Pipeline, read_pipeline
from bench_harness.capture.pipeline.context import Context, EnoughBatches, Overrides

torch = pytest.importorskip("torch")
DataLoader = torch.utils.data.DataLoader
pytestmark = pytest.mark.timeout(60)


class Capture:
    """A capture runtime in small: it gives each worker a serial and installs the hooks there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[tuple[str | None, int | None, int | None]] = []
        self.boundaries: list[str] = []
        self.warnings: list[str] = []

    def install(self, **options: Any) -> None:
        told = {"on_boundary": self.boundaries.append, "on_warning": self.warnings.append}
        hooks.install(Context(self.folder, "main", **told, **options))

    def start(self, process: Any, original: Callable[[Any], None]) -> None:
        self.started.append(naming.current_loader_worker())
        serial = f"main.{len(self.started)}"
        hooks.worker_started(serial)
        run = process.run

        def run_captured() -> None:
            def passed(name: str) -> None:
                (self.folder / f"{serial}.{name}").touch()

            hooks.install(Context(self.folder, serial, "worker", on_boundary=passed))
            run()
            hooks.flush()

        process.run = run_captured
        original(process)

    def read(self) -> Pipeline:
        hooks.flush()
        return read_pipeline(self.folder)

    def loop(self, name: str) -> dict[str, Any]:
        return next(loop for loop in self.read().results["loaders"] if loop["name"] == name)


@pytest.fixture
def capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Capture]:
    runtime = Capture(tmp_path)
    original = multiprocessing.process.BaseProcess.start
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", lambda self: runtime.start(self, original))
    runtime.install()
    yield runtime
    hooks.uninstall()


class Items(torch.utils.data.Dataset):
    """Numbers that take a while; `value` is what goes with each."""

    def __init__(self, count: int, seconds: float = 0.0, value: Any = 0) -> None:
        self.count, self.seconds, self.value = count, seconds, value

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if self.seconds:
            time.sleep(self.seconds)
        return torch.full((3,), index), self.value


class Uneven(torch.utils.data.IterableDataset):
    """Worker 0 has few items, the others many."""

    def __iter__(self) -> Iterator[int]:
        worker = torch.utils.data.get_worker_info()
        yield from range(4 if worker.id == 0 else 26)


def forked(*args: Any, **kwargs: Any) -> Any:
    return DataLoader(*args, multiprocessing_context="fork", **kwargs)


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


def iterate(loader: Any) -> None:
    for _ in loader:
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


class SpawnedItems(Items):
    """Installs the hooks where it is unpickled: after torch was imported, before the worker's loop runs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(20)
        self.folder = folder

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        hooks.install(Context(self.folder, "main.1", "worker"))


# --- the target must not notice


def test_errors_of_the_dataset_arrive_and_what_was_before_is_kept(capture: Capture) -> None:
    class Failing(Items):
        def __getitem__(self, index: int) -> Any:
            if index == 15:
                raise ValueError("no such item")
            return super().__getitem__(index)

    failing = forked(Failing(20), batch_size=1, num_workers=2)
    iterator = iter(failing)
    with pytest.raises(ValueError, match="no such item"):
        iterate(iterator)
    # torch leaves the iterator in a cycle with its exception; once that is collected, it waits 5 s for each worker.
    iterator._shutdown_workers()
    assert capture.loop("failing")["batches"] == 15


def test_an_error_of_a_hook_ends_the_measurement_alone(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacements.MainSide, "received", lambda *_: 1 / 0)
    assert sum(len(batch) for batch, _ in forked(Items(20), batch_size=2, num_workers=2)) == 20
    assert capture.warnings == ["pipeline: not measured any more: ZeroDivisionError: division by zero"]


def test_a_disk_that_is_full_ends_the_measurement_alone(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(layout, "_reserve", full)
    assert sum(len(batch) for batch, _ in forked(Items(20), batch_size=2, num_workers=2)) == 20
    assert len(capture.warnings) == 1
    assert "No space left" in capture.warnings[0]


def test_another_torch_is_left_alone(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks.uninstall()
    processing = torch.utils.data.dataloader._MultiProcessingDataLoaderIter
    monkeypatch.delattr(processing, "_process_data")
    capture.install()
    assert "another torch" in capture.warnings[0]
    assert not hasattr(DataLoader.__iter__, "__wrapped__")


def test_uninstalling_puts_everything_back(capture: Capture) -> None:
    assert hasattr(DataLoader.__iter__, "__wrapped__")
    loader = DataLoader(Items(4))
    iterator = iter(loader)
    next(iterator)
    hooks.uninstall()
    assert len(list(iterator)) == 3
    dataloader = torch.utils.data.dataloader
    for owner, name in (
        (DataLoader, "__init__"),
        (DataLoader, "__iter__"),
        (dataloader._BaseDataLoaderIter, "__next__"),
        (dataloader._MultiProcessingDataLoaderIter, "_get_data"),
        (dataloader._utils.fetch._MapDatasetFetcher, "fetch"),
    ):
        assert not hasattr(getattr(owner, name), "__wrapped__"), name
    assert read_pipeline(capture.folder).results["loaders"][0]["batches"] == 1


# --- sweeps


def test_overrides(capture: Capture) -> None:
    capture.install(overrides=Overrides(num_workers=0))
    loader = DataLoader(
        Items(4), 2, None, None, None, 3, prefetch_factor=4, persistent_workers=True, timeout=9,
        multiprocessing_context="fork",
    )  # fmt: skip
    assert (loader.num_workers, loader.prefetch_factor, loader.persistent_workers, loader.timeout) == (
        0,
        None,
        False,
        0,
    )
    assert len(list(loader)) == 2
    dropped = {line.split(": ")[1].split("=")[0] for line in capture.warnings}
    assert dropped == {"prefetch_factor", "persistent_workers", "timeout", "multiprocessing_context"}
    capture.install(overrides=Overrides(num_workers=2, prefetch_factor=5))
    loader = DataLoader(Items(4))
    assert (loader.num_workers, loader.prefetch_factor) == (2, 5)
    with pytest.raises(TypeError, match="surprise"):
        DataLoader(Items(4), surprise=1)


def test_enough_batches(capture: Capture) -> None:
    capture.install(stop_after_batches=9)
    loader = forked(Items(40), num_workers=2)
    with pytest.raises(EnoughBatches):
        iterate(loader)
    assert capture.loop("loader")["batches"] == 9
    assert capture.loop("loader")["steady"]["batches"] == 7


def test_enough_batches_in_a_thread_end_its_loop(capture: Capture) -> None:
    capture.install(stop_after_batches=3)
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.extend(DataLoader(Items(9))))
    thread.start()
    thread.join()
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("what", "pickled_until", "cpu_s", "switches", "stalled_s"),
    [
        ("waits for the interpreter throughout", 2.0, 0.5, 1000, 0.5),
        ("until pickling ended", 1.25, 0.25, 1000, 0.25),
        ("works all the while", 2.0, 1.0, 1000, 0.0),
        ("sleeps on something else", 2.0, 0.0, 2, 0.01),
        ("pickling was over", 0.5, 0.0, 1000, 0.0),
    ],
)
def test_a_fetch_that_could_not_run_for_pickling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    what: str, pickled_until: float, cpu_s: float, switches: int, stalled_s: float,
) -> None:  # fmt: skip
    monkeypatch.setattr(worker_side.sys, "getswitchinterval", lambda: 0.005)
    before = types.SimpleNamespace(ru_utime=0.0, ru_stime=0.0, ru_nvcsw=0)
    after = types.SimpleNamespace(ru_utime=cpu_s, ru_stime=0.0, ru_nvcsw=switches)
    monkeypatch.setattr(worker_side, "_used_by_thread", lambda: after)
    side = worker_side.WorkerSide(Context(tmp_path, "main.1", "worker"))
    side._pickled_until = pickled_until
    assert side._stalled(1.0, 2.0, before) == pytest.approx(stalled_s), what


# --- verdicts of real loops, with margins that a loaded machine does not use up


def loop_over(loader: Any, step_s: float) -> None:
    for _ in loader:
        if step_s:
            time.sleep(step_s)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_slow_dataset_is_loader_bound(capture: Capture, workers: int) -> None:
    loop_over(DataLoader(Items(40, seconds=0.02), num_workers=workers), 0)
    results = capture.read().results
    assert results["verdict"] == "loader-bound"
    assert results["main_wait_share"] > 0.5


class Calculated(Items):
    """Calculated in Python alone: another thread of the process gets the interpreter when it asks for it, no sooner."""

    def __getitem__(self, index: int) -> Any:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        return super().__getitem__(index)


def test_a_dataset_that_calculates_in_python_is_loader_bound(capture: Capture) -> None:
    """Main waits for the interpreter of the worker then: its tensors come by file descriptors, from a second thread."""
    loop_over(DataLoader(Calculated(40), num_workers=2), 0)
    results = capture.read().results
    assert results["verdict"] == "loader-bound"
    assert results["main_wait_share"] > 0.5


def test_workers_are_not_idle_before_the_steady_state(capture: Capture) -> None:
    """They fetch ahead during the first step, however long it takes, and then wait."""
    for number, _ in enumerate(train := DataLoader(Items(14, seconds=0.01), num_workers=1)):
        time.sleep(0.5 if number == 0 else 0)
    loop = capture.loop("train")
    assert train.num_workers == 1
    assert loop["workers_idle_share"] < 0.6 < loop["workers_busy_share"]


def test_what_a_worker_fetched_meanwhile(tmp_path: Path) -> None:
    ring = layout.Ring(tmp_path / "main.1.pipeline")
    for index, begin in ((3, 1.0), (5, 4.0)):
        ring.write(ring.offset(index), index, 0.0, begin, begin + 2.0, *(0.0,) * 7)
    ring.write_fetching(7.0, 0.0)
    assert ring.fetched_within(2.0, 8.0, range(3, 9)) == 1 + 2 + 1
    assert ring.fetched_within(3.5, 3.75, range(3, 9)) == 0
    ring.write_fetching(7.0, 7.5)
    assert ring.fetched_within(0.0, 9.0, range(6, 9)) == 0.5


class SlowToRebuild:
    """What main sleeps for when it unpickles it."""

    def __reduce__(self) -> Any:
        return time.sleep, (0.02,)


def test_waiting_within_unpickling_is_told_from_unpickling(capture: Capture) -> None:
    loop_over(forked(Items(12, value=SlowToRebuild()), batch_size=1, num_workers=1, collate_fn=first), 0)
    results = capture.read().results
    loop = results["loaders"][0]
    assert loop["per_batch"]["receive_idle_s"]["mean"] > 0.015
    assert loop["receive_idle_share"] <= loop["shares"]["receive"]
    assert sum(loop["shares"].values()) == pytest.approx(1)
    assert results["verdict"] == "transport-bound"  # the worker does nothing meanwhile


@pytest.mark.parametrize("workers", [0, 2])
def test_a_slow_step_is_step_bound(capture: Capture, workers: int) -> None:
    loop_over(DataLoader(Items(25), num_workers=workers), 0.03)
    assert capture.read().results["verdict"] == "step-bound"


def first(items: list[Any]) -> Any:
    return items[0]


def test_large_pickled_objects_are_transport_bound(capture: Capture) -> None:
    objects = [{"name": f"atom {number}", "position": (number, 1.5)} for number in range(20_000)]
    loop_over(forked(Items(20, value=objects), batch_size=1, num_workers=2, collate_fn=first), 0)
    results = capture.read().results
    assert results["verdict"] == "transport-bound"
    assert results["loaders"][0]["message_bytes"] > 100_000
    assert any("pickled" in line for line in results["lines"])


# --- processes of their own

KILLED = """
import os, signal, sys
from pathlib import Path
from bench_harness.capture.pipeline import hooks
from bench_harness.capture.pipeline.context import Context
assert "torch" not in sys.modules
hooks.install(Context(Path(sys.argv[1]), "main"))
assert "torch" not in sys.modules
import time, torch
data = torch.utils.data.TensorDataset(torch.zeros(60, 2))
for number, _ in enumerate(torch.utils.data.DataLoader(data)):
    time.sleep(0.003)
    if number == 30:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_counters_survive_a_kill_and_torch_is_imported_by_the_target(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=60, check=False)
    assert ended.returncode == -9
    loop = read_pipeline(tmp_path).results["loaders"][0]
    assert loop["name"] == "TensorDataset"
    assert loop["steady"]["batches"] == 29
    json.dumps(loop, allow_nan=False)


LIGHTNING = """
import sys, warnings
from pathlib import Path
from bench_harness.capture.pipeline import hooks
from bench_harness.capture.pipeline.context import Context, EnoughBatches
hooks.install(Context(Path(sys.argv[1]), "main", stop_after_batches=12))
warnings.simplefilter("ignore")
import torch, lightning
from lightning.pytorch.demos.boring_classes import BoringModel

class Model(BoringModel):
    ended = None
    def on_exception(self, trainer, model, exception):
        Model.ended = type(exception).__name__
    def on_fit_start(self):
        self.trainer.callbacks.append(type("Watch", (lightning.Callback,), {"on_exception": self.on_exception})())

trainer = lightning.Trainer(
    max_epochs=4, limit_train_batches=5, limit_val_batches=2, logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False, accelerator="cpu", default_root_dir=sys.argv[1],
)
try:
    trainer.fit(Model())
except EnoughBatches as ended:
    print("ended:", ended, "told:", Model.ended)
hooks.flush()
"""


def test_lightning_names_loaders_by_stage_and_ends_in_order(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    command = [sys.executable, "-c", LIGHTNING, str(tmp_path)]
    ended = subprocess.run(command, timeout=60, check=False, capture_output=True, text=True)
    assert "ended: 12 batches, as asked for told: EnoughBatches" in ended.stdout, ended.stderr
    pipeline = read_pipeline(tmp_path)
    loops = {loop["name"]: loop for loop in pipeline.results["loaders"]}
    assert set(loops) == {"train", "val"}
    assert loops["train"]["iterators"] == 3
    assert pipeline.results["loader"] == "train"
    assert (pipeline.counts["batches"], pipeline.counts["steps"]) == (12, 12)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert read_pipeline(tmp_path).results["lines"] == ["no torch DataLoader was iterated"]
    (tmp_path / "main.pipeline").write_bytes(b"BHLOADER" + bytes([9, 0, 0, 0]) + bytes(layout.SLOT_BYTES))
    (tmp_path / "rank1.pipeline").write_bytes(b"torn")
    pipeline = read_pipeline(tmp_path)
    assert pipeline.warnings == [
        "pipeline: main.pipeline cannot be read: main.pipeline: counters of version 9, expected 2"
    ]
    assert pipeline.counts["batches"] is None
