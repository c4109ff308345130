"""An architecture of bench_core.models in training: both backends do the same steps, and resume exactly."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from bench_core.training import checkpoints, fit
from bench_core.training.options import TrainOptions
from bench_core.training.runs import Run, joined_log

pytestmark = [pytest.mark.timeout(200), pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def options(prepared_folder: Path) -> TrainOptions:
    """The first architecture with fewer irreps than it has, on two pairs at a time."""
    return TrainOptions(
        "arch_0",
        model_options={"band_limit": 1},
        data=str(prepared_folder),
        batch_size=2,
        epoch_size=8,
        val_size=2,
        val_share=0.5,
        val_every=3,
        checkpoint_every=2,
        max_steps=3,
    )


def weights(run: Run) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = checkpoints.read(checkpoints.newest(run.checkpoints))["state_dict"]
    return state


@pytest.mark.skipif(find_spec("escnn") is None, reason="escnn is not installed")
def test_backends_do_the_same_steps(options: TrainOptions, tmp_path: Path) -> None:
    runs = [fit.start(replace(options, backend=backend), tmp_path, []) for backend in ("dense", "escnn")]
    logs = [[row.get("train_loss", row.get("val_loss")) for row in joined_log(run)] for run in runs]
    assert len(logs[0]) == 4
    assert logs[0] == pytest.approx(logs[1], rel=1e-3)
    sizes = [checkpoints.newest(run.checkpoints).stat().st_size for run in runs]
    parameters = runs[0].record["parameters"]
    assert runs[1].record["parameters"] == parameters
    assert all(size < 1.1 * 3 * 4 * parameters + 100_000 for size in sizes)  # weights, and Adam's two moments of each


def test_an_architecture_resumes_to_the_bit(options: TrainOptions, tmp_path: Path) -> None:
    whole = fit.start(options, tmp_path, [])
    run = fit.start(replace(options, max_steps=2), tmp_path, [])
    fit.resume(run, checkpoints.newest(run.checkpoints), options, [])
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(run)[name]), name
