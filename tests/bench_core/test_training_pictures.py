"""Figures of real runs, and the sweep over the loader's settings."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import torch

from bench_core import ImageSpec, OriginStore
from bench_core.__main__ import main
from bench_core.errors import RunError
from bench_core.training import fit, plots
from bench_core.training.options import TrainOptions
from bench_core.training.plots import plot_runs, series, smoothed
from bench_core.training.runs import Run, joined_log
from bench_core.training.sweeps import Loading, Sample, Setting, Swept, settings, sweep, table

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def runs(prepared_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    options = {"data": str(prepared_folder), "length_voxels": 9, "resolution_A": 1.0, "batch_size": 4}
    small = {"epoch_size": 20, "val_size": 8, "val_share": 0.5, "max_steps": 6, "val_every": 3}
    return [
        fit.start(TrainOptions("tiny_models:tiny", mode=mode, **options, **small), tmp_path / "runs", [])  # type: ignore[arg-type]
        for mode in ("direction", "direction", "frame")
    ]


def words(picture: Path) -> str:
    return " ".join(element.text or "" for element in ET.parse(picture).iter("{http://www.w3.org/2000/svg}text"))


def test_the_figure_of_runs(runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    picture = plot_runs([run.folder for run in runs[:2]], tmp_path / "runs.svg")
    text = words(picture)
    for word in ("cross-entropy", "accuracy", "steps", "wall clock of training / s", "mean of the last 20"):
        assert word in text
    assert "RMSD" not in text
    assert text.count("tiny_models:tiny, dense, seed 0, finished [") == 2
    both = words(plot_runs([run.folder for run in runs], tmp_path / "both.svg"))
    assert "RMSD / Å" in both
    png = plot_runs([runs[0].folder], tmp_path / "run.png", window=3)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob(".partial*"))


def test_many_runs_and_a_single_step_can_be_told_apart(
    prepared_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More runs than colours, one step each, no validation that was due."""
    options = {"data": str(prepared_folder), "length_voxels": 9, "resolution_A": 1.0, "batch_size": 4}
    small = {"epoch_size": 20, "val_size": 8, "val_share": 0.5, "max_steps": 1, "val_every": 3}
    run = fit.start(TrainOptions("tiny_models:tiny", **options, **small), tmp_path / "runs", [])  # type: ignore[arg-type]
    drawn: list[tuple[str, str, str]] = []
    plain = plots._draw

    def draw(*what: Any, **how: Any) -> Any:
        line = plain(*what, **how)
        drawn.append((line.get_color(), line.get_linestyle(), line.get_marker()))
        return line

    monkeypatch.setattr(plots, "_draw", draw)
    assert plot_runs([run.folder] * 12, tmp_path / "many.png").is_file()
    assert len(set(drawn)) == 12
    assert {marker for _, _, marker in drawn} == {"_"}


def test_what_cannot_be_drawn(runs: list[Run], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nothing to draw: 0 runs"):
        plot_runs([], tmp_path / "a.png")
    with pytest.raises(RunError, match=r"a\.docx cannot be drawn"):
        plot_runs([runs[0].folder], tmp_path / "a.docx")
    with pytest.raises(RunError, match=r"run\.json is no record of a run"):
        plot_runs([tmp_path], tmp_path / "a.png")


def test_series_and_smoothing(runs: list[Run]) -> None:
    assert smoothed([1.0, 3.0, 5.0, 7.0], 2) == [1.0, 2.0, 4.0, 6.0]
    assert smoothed([], 5) == []
    assert smoothed([1e30, 1.0, 1.0, 1.0], 2)[2:] == [1.0, 1.0]
    steps, losses = series(joined_log(runs[0]), "val_loss", "step")
    assert steps == [3.0, 6.0]
    assert all(loss > 0 for loss in losses)


def test_one_setting_is_changed_at_a_time() -> None:
    base = Setting(workers=2, batch_size=16)
    rows = list(settings(base, workers=[0, 4], pin_memory=[True]))
    assert [(name, value) for name, value, _ in rows] == [
        ("workers", 0), ("workers", 2), ("workers", 4), ("pin_memory", False), ("pin_memory", True),
    ]  # fmt: skip
    assert sum(setting == base for _, _, setting in rows) == 2
    assert all(setting.batch_size == 16 for _, _, setting in rows)


def test_a_sweep_measures_every_setting_that_applies(origins: OriginStore, small_image: ImageSpec) -> None:
    stepped: list[int] = []
    loading = Loading(origins, small_image, "cpu", lambda batch: stepped.append(len(batch[0])))
    told: list[tuple[int, int]] = []
    values = {"workers": [0, 1], "batch_size": [2], "float16_inputs": [True], "pin_memory": [True]}
    rows = sweep(loading, Setting(0, 4), values, repeats=2, examples=8, tell=lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]
    assert [(row.changed, row.value, len(row.samples)) for row in rows] == [
        ("workers", 0, 2), ("workers", 1, 2), ("batch_size", 2, 2), ("batch_size", 4, 2),
        ("float16_inputs", False, 2), ("float16_inputs", True, 2), ("pin_memory", False, 2), ("pin_memory", True, 0),
    ]  # fmt: skip
    assert rows[0].samples is rows[3].samples or rows[0].samples == rows[3].samples
    assert set(stepped) == {2, 4}
    assert all(sample.total_s >= sample.load_s + sample.transfer_s for row in rows for sample in row.samples)
    assert rows[-1].note.startswith("not applicable: no CUDA here")


def test_the_table_of_a_sweep() -> None:
    base = Setting()
    rows = [
        Swept("workers", 2, base, (Sample(1e-3, 0.0, 1e-3, 2e-3), Sample(3e-3, 0.0, 1e-3, 4e-3))),
        Swept("workers", 4, Setting(4), (Sample(1e-3, 0.0, 5e-4, 1.5e-3),)),
        Swept("pin_memory", True, Setting(pin_memory=True), (), "not applicable"),
    ]
    lines = table(rows, base).splitlines()
    assert lines[2].split() == ["workers", "2*", "2.000", "0.000", "1.000", "3.000", "2.000", "to", "4.000", "1.00"]
    assert lines[3].split()[-1] == "0.50"
    assert lines[4].split(maxsplit=2) == ["pin_memory", "True", "not applicable"]


def test_the_command_draws_and_prints(
    prepared_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    few = ["--workers", "0", "--batch-sizes", "2", "--repeats", "1", "--examples", "4", "--base-workers", "0"]
    small = ["--data", str(prepared_folder), "--length-voxels", "9", "--resolution-A", "1", "--device", "cpu"]
    picture = tmp_path / "sweep.png"
    assert main(["sweep", *few, *small, "--arch", "tiny_models:tiny", "--plot", str(picture), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["conditions"]["arch"] == "tiny_models:tiny"
    assert [row["value"] for row in result["rows"] if row["changed"] == "batch_size"] == [2, 16]
    assert all(row["median"]["step_s"] > 0 for row in result["rows"] if row["samples"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["sweep", *few, *small]) == 0
    assert "not applicable: no CUDA here" in capsys.readouterr().out
    for name, why in (("sweep.docx", "no kind of picture"), ("none/sweep.png", "there is no folder")):
        assert main(["sweep", *few, *small, "--plot", str(tmp_path / name)]) == 2
        (line,) = capsys.readouterr().err.splitlines()  # before anything is measured
        assert why in line


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_sweep_on_a_gpu_measures_pinned_memory(origins: OriginStore, small_image: ImageSpec) -> None:
    rows = sweep(Loading(origins, small_image, "cuda"), Setting(1, 4), {"pin_memory": [True]}, repeats=1, examples=8)
    assert [len(row.samples) for row in rows] == [1, 1]
    assert all(sample.transfer_s > 0 for row in rows for sample in row.samples)
