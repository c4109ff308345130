"""A resumed run is, bit for bit, the run that was never stopped; checkpoints of others are refused."""

from __future__ import annotations

import pickle
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import tiny

from bench_core import Atoms, embedded_structure, read_atoms
from bench_core.errors import CheckpointError, DivergenceError, RunError
from bench_core.origins.prepare import prepare_store
from bench_core.training import checkpoints, fit
from bench_core.training.callbacks import is_jump
from bench_core.training.module import ViewPairTraining
from bench_core.training.options import TrainOptions
from bench_core.training.runs import Run, joined_log

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module", autouse=True)
def _tiny_models_can_be_imported() -> Iterator[None]:
    """By the name that `--arch` gives, as a user's own module."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    yield
    sys.path.remove(folder)


@pytest.fixture
def options(prepared_folder: Path) -> TrainOptions:
    """Epochs of 5 steps, a rate that drops, and dropout, so that the generator's state counts."""
    return TrainOptions(
        arch="tiny_models:tiny",
        model_options={"dropout": 0.2},
        data=str(prepared_folder),
        length_voxels=9,
        resolution_A=1.0,
        batch_size=4,
        epoch_size=20,
        val_size=8,
        val_share=0.5,
        max_steps=12,
        val_every=3,
        checkpoint_every=1,
        plateau=True,
        plateau_patience=0,
        plateau_factor=0.7,
        lr=0.5,
    )


def final(run: Run) -> dict[str, Any]:
    """What a run has come to, without its name, the time it took and Lightning's own counting of epochs."""
    checkpoint = checkpoints.read(checkpoints.newest(run.checkpoints))
    kept = {name: checkpoint[name] for name in ("state_dict", "optimizer_states", "view_pair_training", "global_step")}
    return kept | {"recent": checkpoint["callbacks"]["Journal"]["recent"]}


@pytest.fixture
def written(options: TrainOptions, tmp_path: Path) -> Path:
    """A checkpoint after one step."""
    run = fit.start(replace(options, max_steps=1), tmp_path / "written", [])
    return checkpoints.newest(run.checkpoints)


def log(run: Run) -> list[dict[str, float]]:
    """The log of a run, without times and without the validation at an end where none was due."""
    val_every = run.record["options"]["val_every"]
    due = [row for row in joined_log(run) if "train_loss" in row or not row["step"] % val_every]
    return [{name: value for name, value in row.items() if name != "wall_s"} for row in due]


def validated(run: Run) -> list[float]:
    return [row["step"] for row in joined_log(run) if "val_loss" in row]


def differences(a: Any, b: Any, where: str = "") -> list[str]:
    if isinstance(a, torch.Tensor):
        return [] if torch.equal(a, b) else [where]
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        return [found for key in a for found in differences(a[key], b[key], f"{where}/{key}")]
    if isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        return [found for i, (x, y) in enumerate(zip(a, b, strict=True)) for found in differences(x, y, f"{where}/{i}")]
    return [] if a == b else [f"{where}: {a} is not {b}"]


@pytest.mark.parametrize("val_every", [3, 5])
@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_anywhere_it_is_the_same_run(
    options: TrainOptions, tmp_path: Path, val_every: int, workers: int
) -> None:
    """Mid-epoch, at an epoch's end, where a validation was due, with a learning rate that has dropped."""
    options = replace(options, val_every=val_every)
    whole = fit.start(options, tmp_path, [])
    assert {row["lr"] for row in log(whole)} > {0.5}
    assert [row["step"] for row in log(whole) if "train_loss" in row] == list(range(1, 13))
    assert validated(whole) == ([3, 6, 9, 12] if val_every == 3 else [5, 10, 12])
    for stop in range(1, 12) if not workers else (2, 5, 6):
        run = fit.start(replace(options, max_steps=stop), tmp_path, [])
        fit.resume(run, checkpoints.newest(run.checkpoints), replace(options, workers=workers), [])
        assert differences(final(whole), final(run)) == [], stop
        assert log(run) == log(whole), stop
        assert not run.record["warnings"]


def test_resumed_thrice_and_from_an_older_checkpoint(options: TrainOptions, tmp_path: Path) -> None:
    """What was done beyond the checkpoint is done again, and counts once."""
    whole = fit.start(options, tmp_path, [])
    run = fit.start(replace(options, max_steps=4), tmp_path, [])
    for steps in (7, 9, 12):
        older = checkpoints.every(run.checkpoints)[0]
        run = fit.resume(Run.read(run.folder), older, replace(options, max_steps=steps), [])
    assert [segment["start_step"] for segment in run.record["segments"]] == [0, 3, 6, 8]
    assert [segment["outcome"] for segment in run.record["segments"]] == ["finished"] * 4
    assert differences(final(whole), final(run)) == []
    assert log(run) == log(whole)
    times = [row["wall_s"] for row in joined_log(run)]
    assert times == sorted(times)


def test_an_extended_run_keeps_its_rhythm(options: TrainOptions, tmp_path: Path) -> None:
    """Validations follow the options of its start, and its record those of its last segment."""
    run = fit.start(replace(options, val_every=None, checkpoint_every=None, max_steps=4), tmp_path, [])
    again = TrainOptions.of_record(Run.read(run.folder).record["options"], run.id).changed_by({"max_steps": 9})
    fit.resume(run, checkpoints.newest(run.checkpoints), again, [])
    assert validated(run) == [4, 8, 9]
    assert Run.read(run.folder).record["options"]["max_steps"] == 9
    with pytest.raises(RunError, match="has done its 9 steps"):
        fit.resume(run, checkpoints.newest(run.checkpoints), again, [])


def test_a_validation_that_was_not_due_changes_nothing(options: TrainOptions, tmp_path: Path) -> None:
    """The figures at the end are those of the end; the learning rate is that of a run which goes on."""
    run = fit.start(replace(options, max_steps=4, val_every=3), tmp_path, [])
    assert validated(run) == [3, 4]
    last = joined_log(run)[-1]
    assert run.record["metrics"]["val_loss"] == pytest.approx(last["val_loss"], rel=1e-5)
    plateau = checkpoints.read(checkpoints.newest(run.checkpoints))["view_pair_training"]["plateau"]
    assert plateau["last_epoch"] == 1


def test_a_process_that_lightning_did_not_start(
    options: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(RunError, match=r"\$LOCAL_RANK is set: start one process"):
        fit.start(options, tmp_path, [])
    assert not list(tmp_path.iterdir())


def test_runs_repeat_and_seeds_differ(options: TrainOptions, tmp_path: Path) -> None:
    a, b, c = (fit.start(replace(options, seed=seed), tmp_path, []) for seed in (0, 0, 1))
    assert differences(final(a), final(b)) == []
    assert log(a) != log(c)


def test_float16_inputs_and_frames(options: TrainOptions, tmp_path: Path) -> None:
    run = fit.start(replace(options, mode="frame", float16_inputs=True, workers=1), tmp_path, [])
    assert run.record["metrics"]["val_rmsd_A"] > 0
    assert run.state() == "finished"


def resume(run: Run, path: Path, options: TrainOptions) -> Run:
    return fit.resume(run, path, replace(options, max_steps=20), [])


def atoms_moved(path: Any) -> Atoms:
    """The atoms of a structure, as many in the same places of one another, a little further on."""
    atoms = read_atoms(path)
    return Atoms(atoms.coords_A + np.float32(0.25), atoms.elements, atoms.occupancies)


def test_checkpoints_of_others_are_refused(options: TrainOptions, tmp_path: Path) -> None:
    run, other = (fit.start(replace(options, seed=seed), tmp_path / "runs", []) for seed in (0, 1))
    path = checkpoints.newest(run.checkpoints)
    with pytest.raises(CheckpointError, match=f"belongs to another run: {run.id}, not {other.id}"):
        resume(other, path, options)
    with pytest.raises(CheckpointError, match="another architecture: tiny_models:tiny, not tiny_models:caching"):
        resume(run, path, replace(options, arch="tiny_models:caching"))
    structures = {name: embedded_structure(name) for name in ("1gbt", "4zhl", "3jqh")}
    prepare_store(structures, tmp_path / "copy", read_atoms)
    same = fit.identity(run, options, fit.data_module(replace(options, data=str(tmp_path / "copy"))))
    checkpoints.check_identity(path, checkpoints.read(path)["bench_core"], same)
    prepare_store(structures, tmp_path / "moved", atoms_moved)
    with pytest.raises(CheckpointError, match="another data: "):
        resume(run, path, replace(options, data=str(tmp_path / "moved")))
    with pytest.raises(CheckpointError, match="another model_options"):
        resume(run, path, replace(options, model_options={"width": 5}))
    with pytest.raises(RunError, match="has done its 12 steps: give a larger --max-steps"):
        fit.resume(run, path, options, [])
    assert run.state() == "finished"
    assert len(run.record["segments"]) == 1


def test_damaged_and_foreign_files_are_refused(options: TrainOptions, tmp_path: Path) -> None:
    run = fit.start(options, tmp_path, [])
    older, path = checkpoints.every(run.checkpoints)
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(CheckpointError, match=f"cut short or no checkpoint .*; try {older}$"):
        resume(run, path, options)
    broken = bytearray(good)
    broken[len(good) // 2] ^= 1
    path.write_bytes(bytes(broken))
    with pytest.raises(CheckpointError, match="cannot be read"):
        resume(run, path, options)
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="cut short or no checkpoint"):
        resume(run, path, options)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(CheckpointError, match="is no checkpoint of `python -m bench_core train`"):
        resume(run, path, options)
    torch.save(Path("/"), path)
    with pytest.raises(CheckpointError, match="not one of ours"):
        resume(run, path, options)
    with pytest.raises(CheckpointError, match="there is no such checkpoint"):
        resume(run, tmp_path / "nowhere.ckpt", options)


@pytest.mark.parametrize("tenth", range(10))
def test_a_checkpoint_cut_anywhere_is_refused(written: Path, tmp_path: Path, tenth: int) -> None:
    good = written.read_bytes()
    path = tmp_path / "cut.ckpt"
    path.write_bytes(good[: len(good) * tenth // 10])
    with pytest.raises(CheckpointError, match="cut short or no checkpoint"):
        checkpoints.read(path)


def test_weights_of_an_architecture_that_has_changed_are_refused(written: Path) -> None:
    checkpoint = checkpoints.read(written)
    checkpoints.check_weights(written, checkpoint, ViewPairTraining(tiny("dense", "direction")))
    with pytest.raises(CheckpointError, match=r"does not fit the architecture as it is now: size mismatch for model\."):
        checkpoints.check_weights(written, checkpoint, ViewPairTraining(tiny("dense", "direction", width=5)))


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(written: Path, tmp_path: Path) -> None:
    """Within a whole archive with right checksums: only the pickle is exchanged."""
    bomb, path = tmp_path / "went_off", tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(written) as good, zipfile.ZipFile(path, "w") as archive:
        for name in good.namelist():
            is_pickle = name.endswith("/data.pkl")
            archive.writestr(name, pickle.dumps(Bomb(bomb), 2) if is_pickle else good.read(name))
    with pytest.raises(CheckpointError, match="not one of ours"):
        checkpoints.read(path)
    assert not bomb.exists()


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_what_evaluation_caches_is_in_no_checkpoint(options: TrainOptions, tmp_path: Path) -> None:
    """A megabyte that the model holds when it is built and while it evaluates, as escnn's convolutions do."""
    run = fit.start(replace(options, arch="tiny_models:caching", model_options={}), tmp_path, [])
    for path in checkpoints.every(run.checkpoints):
        assert path.stat().st_size < 60_000
        assert not [name for name in checkpoints.read(path)["state_dict"] if "filter" in name]
    assert len(checkpoints.every(run.checkpoints)) == checkpoints.KEEP
    assert not [path for path in run.checkpoints.iterdir() if path.suffix != ".ckpt"]


def test_a_loss_that_is_no_number_ends_the_run(options: TrainOptions, tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match=r"the loss of step 3 is nan: try a smaller --lr"):
        fit.start(replace(options, arch="tiny_models:explosive", model_options={}), tmp_path, [])
    (folder,) = tmp_path.iterdir()
    run = Run.read(folder)
    assert (run.state(), run.record["step"]) == ("failed", 2)
    assert "the loss of step 3 is nan" in str(run.reason())


def test_a_jump_after_a_resume_is_flagged(options: TrainOptions, tmp_path: Path) -> None:
    """Here somebody has changed the weights of the checkpoint."""
    run = fit.start(options, tmp_path, [])
    path = checkpoints.newest(run.checkpoints)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"]["model.head.weight"] *= -100.0
    torch.save(checkpoint, path)
    resume(run, path, options)
    (warning,) = Run.read(run.folder).record["warnings"]
    assert warning.startswith("the train_loss jumped at the resume: ")
    assert " after step 13, " in warning


@pytest.mark.parametrize(
    ("before", "after", "jumped"),
    [
        ([1.0, 1.1, 0.9, 1.0, 1.05], 1.15, False),
        ([1.0, 1.1, 0.9, 1.0, 1.05], 3.0, True),
        ([1.0, 1.1, 0.9, 1.0, 1.05], 0.1, True),
        ([1.0] * 20, 1.1, False),
        ([1.0] * 20, 1.3, True),
        ([1.0, 5.0, 1.0, 5.0, 1.0, 5.0], 9.0, False),
        ([1.0] * 4, 100.0, False),
    ],
)
def test_the_rule_of_jumps(before: list[float], after: float, jumped: bool) -> None:
    assert is_jump(before, after) is jumped


def test_options_that_would_make_it_another_run(options: TrainOptions) -> None:
    assert options.changed_by({"workers": 3, "max_steps": 99, "lr": 0.5}).workers == 3
    with pytest.raises(RunError, match=r"--batch-size 8 does not fit the run, which has 4"):
        options.changed_by({"batch_size": 8})
    with pytest.raises(RunError, match=r"--model-option \{'width': 5\} does not fit the run"):
        options.changed_by({"model_options": {"width": 5}})
    in_epochs = options.changed_by({"max_epochs": 7})
    assert (in_epochs.max_steps, in_epochs.max_epochs) == (None, 7)
    assert in_epochs.changed_by({"workers": 1}).max_epochs == 7
    with pytest.raises(RunError, match=r"r1 was registered by another version .*unexpected keyword argument 'depth'"):
        TrainOptions.of_record({"arch": "a", "depth": 3}, "r1")
