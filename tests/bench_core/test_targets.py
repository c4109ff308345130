"""The workloads that `bench profile @name` runs: registered, described, and they run."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench_core import targets
from bench_core.models import ARCHITECTURES

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("one_thread")]
REPOSITORY = Path(__file__).resolve().parents[2]
Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call a target as a program is called."""

    def called(target: Callable[[], int], *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["a name", *arguments])
        return target()

    return called


def test_what_is_registered_can_be_called_and_says_what_it_is() -> None:
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    registered = project["entry-points"]["bench_harness.targets"]
    assert set(registered) == {"load", "train", "train-small-cnn", "train-arch-3", "train-arch-0"}
    for reference in registered.values():
        module, _, name = reference.partition(":")
        target = getattr(importlib.import_module(module), name)
        assert target.__doc__.splitlines()[0].endswith(".")


def test_the_programs_are_targets(run: Run, prepared_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ("--batches", "2", "--batch-size", "2", "--workers", "1", "--data", str(prepared_folder))
    assert run(targets.load, *size, "--json") == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 4
    assert run(targets.train) == 2
    assert "train needs --arch NAME" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_plain_loop_trains(
    run: Run, workers: str, prepared_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ("--batches", "3", "--batch-size", "2", "--workers", workers, "--data", str(prepared_folder))
    assert run(targets.train_small_cnn, *size) == 0
    assert capsys.readouterr().out.startswith("3 steps of 2 examples, loss ")


def test_the_loop_takes_networks_of_the_tables(
    run: Run, prepared_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By their names; a step of theirs takes seconds, so that a small one stands in."""
    built: list[str] = []

    def build(name: str) -> torch.nn.Module:
        built.append(name)
        return targets._small_cnn()

    monkeypatch.setattr("bench_core.models.build", build)
    size = ("--batches", "1", "--batch-size", "2", "--workers", "0", "--data", str(prepared_folder))
    assert run(targets.train_arch_0, *size) == run(targets.train_arch_3, *size) == 0
    assert [name in ARCHITECTURES for name in built] == [True, True]
    assert capsys.readouterr().out.startswith("1 steps of 2 examples, loss ")


def test_bad_input_is_one_line(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").write_text("a file")
    assert run(targets.train_small_cnn, "--data", str(tmp_path / "data")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train-small-cnn: error: ")
    with pytest.raises(SystemExit, match="2"):
        run(targets.train_small_cnn, "--batches", "0")
