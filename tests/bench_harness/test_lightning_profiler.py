"""WorkersProfiler in real fits of Lightning: its actions against SimpleProfiler's, its folders, and who captures."""

import importlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench_harness.capture import library, lightning_profiler
from bench_harness.record import Record

pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore")]
PACKAGES = [name for name in lightning_profiler.PACKAGES if importlib.util.find_spec(name.partition(".")[0])]
if not PACKAGES:
    pytest.skip("Lightning is not installed", allow_module_level=True)
EPOCHS, BATCHES, VAL_BATCHES = 2, 3, 2


class StandIn:
    """In place of a capture: notes when it begins and ends."""

    def __init__(self, out: Path, engine: str) -> None:
        self.out, self.engine = out, engine
        self.state = "new"
        self.error: BaseException | None = None

    def __enter__(self) -> "StandIn":
        self.state = "under way"
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.state, self.error = "ended", error


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    """The captures that are made; none is under way before."""
    made: list[StandIn] = []

    def stand_in(out: Path, *, engine: str) -> StandIn:
        made.append(StandIn(out, engine))
        return made[-1]

    monkeypatch.setattr(library, "capture", stand_in)
    return made


def demos(package: str) -> Any:
    return importlib.import_module(f"{package}.demos.boring_classes")


def trainer(package: str, profiler: Any, **options: Any) -> Any:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet |= {"enable_model_summary": False, "accelerator": "cpu", "num_sanity_val_steps": 1}
    limits = {"max_epochs": EPOCHS, "limit_train_batches": BATCHES, "limit_val_batches": VAL_BATCHES}
    return importlib.import_module(package).Trainer(profiler=profiler, **quiet | limits | options)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "actions.json").read_text())["rows"]
    return rows


@pytest.mark.parametrize("package", PACKAGES)
def test_epochs_and_stages_are_kept_apart(package: str, tmp_path: Path, captures: list[StandIn]) -> None:
    profiler = lightning_profiler.profiler_class(package)(tmp_path)
    assert isinstance(profiler, importlib.import_module(f"{package}.profilers").Profiler)
    trainer(package, profiler).fit(demos(package).BoringModel())
    folder = tmp_path / "fit-workers"
    assert [(made.out, made.engine, made.state) for made in captures] == [(folder, "cprofile", "ended")]
    calls = {(row["stage"], row["epoch"], row["action"].rpartition(".")[2]): row["calls"] for row in rows_of(folder)}
    for epoch in range(EPOCHS):
        assert calls["train", epoch, "run_training_epoch"] == 1
        assert calls["train", epoch, "run_training_batch"] == BATCHES
        assert calls["validate", epoch, "val_next"] == VAL_BATCHES
        assert calls["train", epoch, "on_train_epoch_end"] > 0
    assert calls["sanity_check", None, "val_next"] == 1
    assert calls["train", None, "on_train_start"] > 0
    assert calls["train", None, "on_train_end"] > 0
    assert {epoch for _, epoch, _ in calls} == {None, *range(EPOCHS)}
    text = (folder / "actions.txt").read_text()
    for title in ("fit: ", "train, all epochs: ", "train, outside epochs: ", "train, epoch 1: ", "validate, epoch 0: "):
        assert f"\n{title}" in f"\n{text}"
    assert "sanity_check: " in text


def test_totals_are_simple_profilers_and_advanced_profilers_truncation_is_not_ours(
    tmp_path: Path, captures: list[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fit, told to three profilers at the same instants."""
    package = PACKAGES[0]
    simple_module = importlib.import_module(f"{package}.profilers.simple")
    profilers = importlib.import_module(f"{package}.profilers")
    now = SimpleNamespace(ns=0)
    monkeypatch.setattr(simple_module, "time", SimpleNamespace(perf_counter=lambda: now.ns / 1e9))
    simple, advanced = profilers.SimpleProfiler(), profilers.AdvancedProfiler()
    ours = lightning_profiler.profiler_class(package)(tmp_path, engine=None)
    ours._times = lightning_profiler.ActionTimes(lambda: int(now.ns))
    perf_counter_ns = lightning_profiler.time.perf_counter_ns
    functions: dict[str, set[str]] = {}

    class All(profilers.Profiler):  # type: ignore[misc, name-defined]
        def setup(self, **how: Any) -> None:
            ours._lightning_module = self._lightning_module
            ours.setup(**how)

        def start(self, action_name: str) -> None:
            now.ns = perf_counter_ns()
            simple.start(action_name)
            ours.start(action_name)
            advanced.start(action_name)

        def stop(self, action_name: str) -> None:
            advanced.stop(action_name)
            now.ns = perf_counter_ns()
            ours.stop(action_name)
            simple.stop(action_name)

        def describe(self) -> None:
            for name, profile in advanced.profiled_actions.items():
                profile.create_stats()
                functions[name] = {function for _, _, function in profile.stats}
            ours.describe()

    trainer(package, All()).fit(demos(package).BoringModel())
    assert captures == []
    rows = rows_of(tmp_path / "fit-workers")
    for action, durations in simple.recorded_durations.items():
        of_action = [row for row in rows if row["action"] == action]
        assert sum(row["calls"] for row in of_action) == len(durations)
        assert sum(row["inclusive_s"] for row in of_action) == pytest.approx(sum(durations), rel=1e-6, abs=1e-6)
        assert all(row["inclusive_s"] >= row["exclusive_s"] >= 0 for row in of_action)
        assert all(row["mean_s"] == pytest.approx(row["inclusive_s"] / row["calls"]) for row in of_action)
    assert {row["action"] for row in rows} == set(simple.recorded_durations)
    for epoch in range(EPOCHS):
        inclusive = {row["action"]: row["inclusive_s"] for row in rows if row["epoch"] == epoch}
        within = inclusive["run_training_batch"] + inclusive["[_TrainingEpochLoop].train_dataloader_next"]
        assert inclusive["run_training_epoch"] >= within > 0
    # What AdvancedProfiler keeps of the outer action ends where the first one within it begins.
    assert "training_step" not in functions["run_training_epoch"]
    assert any("training_step" in names for names in functions.values())


def test_every_call_of_a_trainer_has_a_folder_of_its_own(tmp_path: Path, captures: list[StandIn]) -> None:
    package = PACKAGES[0]
    profiler = lightning_profiler.workers_profiler(tmp_path)
    fitting, model = trainer(package, profiler, max_epochs=1), demos(package).BoringModel()
    fitting.fit(model)
    first = (tmp_path / "fit-workers" / "actions.json").read_bytes()
    fitting.test(model, verbose=False)
    trainer(package, lightning_profiler.workers_profiler(tmp_path)).fit(model)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit-workers", "fit-workers-2", "test-workers"]
    assert (tmp_path / "fit-workers" / "actions.json").read_bytes() == first
    assert {(row["stage"], row["epoch"]) for row in rows_of(tmp_path / "test-workers")} == {("test", None)}
    assert [made.state for made in captures] == 3 * ["ended"]


def test_an_outer_capture_is_the_only_one(tmp_path: Path) -> None:
    """A second cProfile in a process is an error from Python 3.12 on."""
    outer, segment = tmp_path / "run", tmp_path / "segment"
    with library.capture(outer):
        trainer(PACKAGES[0], lightning_profiler.workers_profiler(segment), max_epochs=1).fit(
            demos(PACKAGES[0]).BoringModel()
        )
    assert sorted(path.name for path in (outer / "fit-workers").iterdir()) == ["actions.json", "actions.txt"]
    assert (outer / "record.json").exists()
    assert not segment.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_workers_of_a_fit_are_captured(tmp_path: Path) -> None:
    class Counted(demos(PACKAGES[0]).RandomDataset):  # type: ignore[misc]
        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index)

    how = {"num_workers": 2, "multiprocessing_context": "fork", "persistent_workers": True}
    loader = importlib.import_module("torch.utils.data").DataLoader(Counted(32, BATCHES), **how)
    profiler = lightning_profiler.workers_profiler(tmp_path)
    fitting = trainer(PACKAGES[0], profiler, limit_val_batches=0, log_every_n_steps=1)
    fitting.fit(demos(PACKAGES[0]).BoringModel(), loader)
    record = Record.read(tmp_path / "fit-workers")
    assert record.completed
    assert record.workers == {"expected": 2, "delivered": 2, "missing": []}
    calls = {row["process"]: row["calls"] for row in record.results["functions"] if row["name"] == "__getitem__"}
    assert calls["workers"] == EPOCHS * BATCHES


def test_an_exception_leaves_the_actions_until_then(tmp_path: Path, captures: list[StandIn]) -> None:
    package = PACKAGES[0]
    base = demos(package).BoringModel

    class Failing(base):  # type: ignore[misc, valid-type]
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 1:
                raise ValueError("out of data")
            return super().training_step(batch, batch_idx)

    profiler = lightning_profiler.workers_profiler(tmp_path)
    fitting = trainer(package, profiler, callbacks=[importlib.import_module(package).Callback()])
    with pytest.raises(ValueError, match="out of data"):
        fitting.fit(Failing())
    rows = rows_of(tmp_path / "fit-workers")
    assert {row["calls"] for row in rows if row["action"].endswith(".training_step")} == {2}
    assert [made.state for made in captures] == ["under way"]
    profiler.setup("fit")  # the next call of the trainer
    assert [made.state for made in captures] == ["ended", "under way"]
    assert str(captures[0].error) == "fit was interrupted"
    profiler.describe()


def test_it_begins_anew_where_a_strategy_pickles_it(tmp_path: Path, captures: list[StandIn]) -> None:
    profiler = lightning_profiler.profiler_class(PACKAGES[0])(tmp_path, "seen", engine="py-spy")
    profiler.setup("fit")
    copy = pickle.loads(pickle.dumps(profiler))
    assert type(copy) is type(profiler)
    assert (copy.dirpath, copy.filename, copy.engine, copy.folder) == (tmp_path, "seen", "py-spy", None)
    profiler.describe()


def test_ranks_have_folders_of_their_own(tmp_path: Path, captures: list[StandIn]) -> None:
    for rank in (0, 1):
        profiler = lightning_profiler.workers_profiler(tmp_path)
        profiler.setup("fit", local_rank=rank)
        profiler.describe()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit-workers-rank0", "fit-workers-rank1"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_worker_ends_nothing(tmp_path: Path, captures: list[StandIn]) -> None:
    profiler = lightning_profiler.workers_profiler(tmp_path)
    profiler.setup("fit")
    child = os.fork()
    if not child:
        try:
            profiler.__del__()
        finally:
            os._exit((tmp_path / "fit-workers" / "actions.json").exists())
    assert os.waitpid(child, 0)[1] == 0
    profiler.describe()
    assert (tmp_path / "fit-workers" / "actions.json").exists()


def test_importing_it_imports_no_lightning() -> None:
    program = "import sys, bench_harness.capture.lightning_profiler; sys.exit('lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_the_class_can_be_imported_by_name() -> None:
    from bench_harness.capture.lightning_profiler import WorkersProfiler

    assert WorkersProfiler is lightning_profiler.profiler_class(lightning_profiler.default_package())
    with pytest.raises(AttributeError, match="has no attribute 'Workers'"):
        _ = lightning_profiler.Workers
