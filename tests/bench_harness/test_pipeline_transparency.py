"""Hooks on real DataLoaders: the target never notices them, but for what a sweep overrides."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hooked_loaders import DataLoader, Items, forked, iterate
from pipeline_capture import Capture

from bench_harness.capture.pipeline import hooks, layout, replacements
from bench_harness.capture.pipeline.aggregate import read_pipeline
from bench_harness.capture.pipeline.context import EnoughBatches, Overrides

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.timeout(60)


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
