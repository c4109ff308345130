"""Inside Lightning's loop: a hung worker ends the run with a reason, real escnn layers leave nothing in checkpoints."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from bench_core.errors import BenchCoreError, LoaderError, RunError, StoppedError
from bench_core.training import checkpoints, data, fit
from bench_core.training.epoch_loader import EpochLoader
from bench_core.training.options import TrainOptions
from bench_core.training.order import BatchOrder
from bench_core.training.runs import Run, find_run, joined_log, registered

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("one_thread", "_tiny_models_can_be_imported")]


@pytest.fixture
def _tiny_models_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


class Pairs(Dataset[Any]):
    """Random pairs; one of them takes for ever, or cannot be had."""

    def __init__(
        self, hangs_at: int = -1, fails_at: int = -1, count: str = "", ends_after: int = -1, ends_by: int = 0
    ) -> None:
        self.hangs_at, self.fails_at = hangs_at, fails_at
        self.count, self.ends_after, self.ends_by = count, ends_after, ends_by

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == self.hangs_at:
            time.sleep(100)
        if index == self.fails_at:
            raise BenchCoreError(f"structure of example {index} is gone")
        if self.count:
            with Path(self.count).open("a") as file:  # counts the examples made, in whatever worker
                file.write(".")
            if Path(self.count).stat().st_size == self.ends_after:
                os.kill(os.getpid(), self.ends_by)
        generator = torch.Generator().manual_seed(index)
        return torch.randn(2, 4, 7, 7, 7, generator=generator), index % 6


class Numbers(Dataset[int]):
    """Each example is its index."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> int:
        return index


class PairsModule(data.PairsDataModule):
    """Another data set joins through the same interface."""

    held_out_pairs = Pairs()
    digest = "random"

    def __init__(self, options: TrainOptions) -> None:
        super().__init__(options)
        self.train_pairs = Pairs(**options.logger_options)


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> TrainOptions:
    monkeypatch.setitem(data.DATA_MODULES, "random", PairsModule)
    return TrainOptions(arch="tiny_models:tiny", dataset="random", batch_size=4, timeout_s=2)


def test_a_hung_worker_ends_the_run_with_a_reason(
    options: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.5)  # torch would wait 5 s for its end
    hanging = options.changed_by({"workers": 2, "logger_options": {"hangs_at": 9}})
    with pytest.raises(LoaderError, match="no worker delivered a batch in 2 s"):
        fit.start(hanging, tmp_path, [])
    (run,) = registered(tmp_path)
    assert run.state() == "failed"
    assert "no worker delivered a batch in 2 s" in str(run.reason())
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_the_data_is_the_runs_reason(options: TrainOptions, tmp_path: Path, workers: int) -> None:
    failing = options.changed_by({"workers": workers, "logger_options": {"fails_at": 9}})
    with pytest.raises(BenchCoreError, match=r"^structure of example 9 is gone$"):
        fit.start(failing, tmp_path, [])
    (run,) = registered(tmp_path)
    assert run.reason() == "structure of example 9 is gone"


@pytest.mark.parametrize("examples", [9, 13, 17, 25, 29])
def test_what_was_done_before_a_worker_died_is_kept(options: TrainOptions, tmp_path: Path, examples: int) -> None:
    """Epochs of 4 steps, a validation each 3: the worker dies within an epoch, or making the next one's first batch.

    Going on ends in the weights of a run whose workers lived.
    """
    options = options.changed_by({"max_steps": 8, "workers": 1, "checkpoint_every": 100})
    options = dataclasses.replace(options, val_every=3, plateau=True, plateau_patience=0)
    whole = fit.start(options, tmp_path / "whole", [])
    end = {"ends_after": examples, "ends_by": signal.SIGKILL, "count": str(tmp_path / "count")}
    with pytest.raises(LoaderError, match="SIGKILL"):
        fit.start(options.changed_by({"logger_options": end}), tmp_path / "dying", [])
    (run,) = registered(tmp_path / "dying")
    path = checkpoints.newest(run.checkpoints)
    assert 1 <= checkpoints.read(path)["global_step"] == run.record["step"] <= (examples - 1) // 4
    fit.resume(run, path, options, [])
    assert_same(whole, run)


@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_signal_stops_after_the_step_and_its_validation(options: TrainOptions, tmp_path: Path, step: int) -> None:
    """In the midst of an epoch, where a validation is due, at the end of an epoch: what goes on is the same run."""
    options = options.changed_by({"max_steps": 8, "checkpoint_every": 100})
    options = dataclasses.replace(options, val_every=3, plateau=True, plateau_patience=0)
    whole = fit.start(options, tmp_path / "whole", [])
    end = {"ends_after": 4 * step, "ends_by": signal.SIGTERM, "count": str(tmp_path / "count")}
    with pytest.raises(StoppedError, match=f"stopped by SIGTERM, after step {step}; its checkpoint is written") as why:
        fit.start(options.changed_by({"logger_options": end}), tmp_path / "stopped", [])
    assert why.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    (run,) = registered(tmp_path / "stopped")
    assert ["val_loss" in row for row in joined_log(run)].count(True) == step // 3
    fit.resume(run, checkpoints.newest(run.checkpoints), options, [])
    assert_same(whole, run)


def assert_same(whole: Run, run: Run) -> None:
    """Hold the weights at the end of two runs against each other, and their logs."""
    ends = [checkpoints.read(checkpoints.newest(each.checkpoints)) for each in (whole, run)]
    assert ends[0]["global_step"] == ends[1]["global_step"] == 8
    for name, weights in ends[0]["state_dict"].items():
        assert torch.equal(weights, ends[1]["state_dict"][name]), name
    figures = ("step", "train_loss", "val_loss", "lr")
    logs = [[[row.get(name) for name in figures] for row in joined_log(each)] for each in (whole, run)]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_each_epoch_has_its_own_order_and_is_taken_up_where_training_stands(workers: int) -> None:
    order = BatchOrder(16, 4, seed=5)
    for done in (0, 3, 4, 9):
        loader = EpochLoader(Numbers(), order, workers, steps_done=lambda done=done: done)
        assert [batch.tolist() for batch in loader] == list(order.batches(done // 4, done % 4))
    assert len(loader) == 4
    assert not multiprocessing.active_children()


def test_a_run_is_found_by_the_beginning_of_its_id(options: TrainOptions, tmp_path: Path) -> None:
    runs = [fit.start(options, tmp_path, []) for _ in range(2)]
    assert find_run(tmp_path, runs[0].id).folder == runs[0].folder
    assert find_run(tmp_path / "elsewhere", str(runs[1].folder)).id == runs[1].id
    with pytest.raises(RunError, match="2 runs begin so: "):
        find_run(tmp_path, runs[0].id[:4])
    (runs[0].folder / "run.json").write_text("{}")
    with pytest.raises(RunError, match=r"run\.json is no record of a run"):
        Run.read(runs[0].folder)


def test_a_process_id_that_was_given_to_another_process_is_no_sign_of_life(
    options: TrainOptions, tmp_path: Path
) -> None:
    run = fit.start(options, tmp_path, [])
    run.record["segments"][-1] |= {"outcome": "running", "pid_started": "1"}  # this process's id, of another time
    assert run.state() == "killed"
    run.record["segments"][-1]["host"] = "another machine"
    assert run.state() == "running"


@pytest.mark.skipif(find_spec("escnn") is None, reason="escnn is not installed")
def test_stock_escnn_leaves_no_filters_in_checkpoints(options: TrainOptions, tmp_path: Path) -> None:
    """A convolution of escnn holds its filter when it is built and when it evaluates."""
    escnn_options = TrainOptions(
        arch="tiny_models:steerable", dataset="random", batch_size=4, max_steps=4, val_every=2, checkpoint_every=1
    )
    run = fit.start(escnn_options, tmp_path, [])
    paths = checkpoints.every(run.checkpoints)
    assert [path.name for path in paths] == ["step_000000003.ckpt", "step_000000004.ckpt"]
    for path in paths:
        names = list(checkpoints.read(path)["state_dict"])
        assert "model.head.weight" in names
        assert not [name for name in names if name.endswith(".filter")]
    resumed = fit.resume(run, paths[-1], escnn_options.changed_by({"max_steps": 6}), [])
    assert resumed.record["step"] == 6
