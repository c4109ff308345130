"""`--profiler` of python -m bench_core train: reports in the segment's folder, epochs apart, also of a failed run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench_core.__main__ import main
from bench_core.training.runs import Run, registered

pytestmark = [pytest.mark.timeout(200), pytest.mark.usefixtures("one_thread")]
Train = Callable[..., int]


@pytest.fixture
def train(prepared_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """The command: epochs of two steps, each with a validation, by two workers."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    tiny = ("--arch", "tiny_models:tiny", "--length-voxels", "9", "--resolution-A", "1", "--val-share", "0.5")
    size = ("--batch-size", "4", "--epoch-size", "8", "--val-size", "4", "--workers", "2", "--max-steps", "4")
    where = ("--data", str(prepared_folder), "--out", str(tmp_path / "runs"))

    def run(*arguments: str) -> int:
        how = arguments if "--resume" in arguments else (*tiny, *size, *where, *arguments)
        return main(["train", *how])

    return run


def only_run(tmp_path: Path) -> Run:
    (found,) = registered(tmp_path / "runs")
    return found


def profiles(run: Run, segment: int) -> list[Path]:
    return sorted(path for path in (run.folder / f"segment_{segment:03d}").iterdir() if path.name != "metrics.csv")


@pytest.mark.parametrize("name", ["simple", "advanced"])
def test_reports_keep_epochs_apart_and_segments_too(name: str, train: Train, tmp_path: Path) -> None:
    assert train("--profiler", name) == 0
    (report,) = profiles(only_run(tmp_path), 0)
    before = report.read_text()
    heads = [line for line in before.splitlines() if line.startswith(("epoch ", "outside epochs"))]
    assert heads == ["epoch 0", "epoch 1", "outside epochs"]
    sections = before.split("\nepoch 1\n")
    assert all("run_training_batch" in section for section in sections)
    if name == "simple":
        rows = [line.split("|") for line in before.splitlines() if "|  run_training_batch" in line]
        assert [int(row[3]) for row in rows] == [2, 2]
    assert train("--resume", only_run(tmp_path).id, "--max-steps", "6", "--out", str(tmp_path / "runs")) == 0
    (second,) = profiles(only_run(tmp_path), 1)
    assert "epoch 2" in second.read_text()
    assert report.read_text() == before


def test_the_trace_of_pytorchs_profiler_lies_beside_its_report(train: Train, tmp_path: Path) -> None:
    assert train("--profiler", "pytorch") == 0
    found = profiles(only_run(tmp_path), 0)
    assert "fit-profile.txt" in [path.name for path in found]
    traces = [path for path in found if path.name.endswith(".pt.trace.json")]
    names = {event.get("name") for path in traces for event in json.loads(path.read_text())["traceEvents"]}
    assert any("[pl][profile]run_training_batch" in str(name) for name in names)


@pytest.mark.parametrize(
    ("name", "told"), [("simple", "training_step"), ("advanced", "training_step"), ("pytorch", "aten::conv3d")]
)
def test_a_run_that_fails_leaves_its_report(name: str, told: str, train: Train, tmp_path: Path) -> None:
    assert train("--arch", "tiny_models:explosive", "--profiler", name) == 3
    assert only_run(tmp_path).state() == "failed"
    report = next(path for path in profiles(only_run(tmp_path), 0) if path.suffix == ".txt")
    assert told in report.read_text()


def test_a_report_that_fails_hides_no_reason(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def describe(self: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("bench_core.training.profilers.SimpleByEpoch.describe", describe)
    assert train("--arch", "tiny_models:explosive", "--profiler", "simple") == 3
    stderr = capsys.readouterr().err
    assert "warning: --profiler: no report of the run until then: OSError: disk full" in stderr
    assert "the loss of step 3 is nan" in stderr.splitlines()[-1]
