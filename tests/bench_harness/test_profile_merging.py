"""Merging a run: what real workers left, who is missing, the files, and the size of a capture."""

import io
import pstats
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench_harness.profiles import artifacts
from bench_harness.profiles.merged import Merged
from bench_harness.profiles.merging import merge
from bench_harness.profiles.phases import PHASES
from bench_harness.record import Record
from bench_harness.segments import FOLDER

SCRIPT = Path(__file__).parent / "profile_scripts" / "capture_by_hand.py"


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that main, two workers (the second without a last dump) and a lost watcher left."""
    run = tmp_path_factory.mktemp("captured") / "run"
    subprocess.run([sys.executable, str(SCRIPT), str(run)], timeout=120, check=True)
    return run


@pytest.fixture
def run(captured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(captured, tmp_path / "run"))


@pytest.fixture
def merged(run: Path) -> Merged:
    head = ["command: train.py --fast"]
    return merge(
        run, log_functions=["profile_scripts/capture_by_hand.py:log"], text_head=head, working_folder=SCRIPT.parent
    )


def rows_named(merged: Merged, name: str) -> dict[str, dict[str, Any]]:
    return {row["process"]: row for row in merged.functions() if row["name"] == name}


def test_who_delivered_and_who_is_missing(merged: Merged) -> None:
    assert (merged.workers["expected"], merged.workers["delivered"]) == (3, 1)
    worker, watcher = merged.workers["missing"]
    assert (worker["loader"], worker["worker"], worker["epoch"], worker["partial"]) == ("numbers", 1, 0, True)
    assert worker["reason"] == "ended without a last dump"
    assert (watcher["name"], watcher["pid"], watcher["partial"]) == ("Watcher", 1, False)
    assert watcher["reason"] == "started, and left no state"
    assert [line for line in merged.warnings if "partial" in line] == [
        "numbers-worker-1-epoch-0 is partial: captured up to its last dump; functions still open then are not counted"
    ]


def test_calls_are_summed_by_role_and_phase(merged: Merged) -> None:
    items = [row for row in merged.functions() if row["name"] == "__getitem__" and row["own"]]
    # Of each worker 12 items, by the base class and by the one that dumps; after 2 of them a worker is steady.
    assert [(row["calls"], row["steady_calls"]) for row in items] == [(24, 20), (24, 20)]
    assert {(row["process"], row["file"]) for row in items} == {("workers", "capture_by_hand.py")}
    steps = rows_named(merged, "step")
    assert list(steps) == ["main"]
    assert (steps["main"]["calls"], steps["main"]["steady_calls"], steps["main"]["own"]) == (12, 11, True)
    assert rows_named(merged, "set_up")["main"]["steady_calls"] == 0


def test_phases_add_up_to_what_was_captured(merged: Merged) -> None:
    for process in merged.processes:
        if process.profile is None:
            continue
        whole = process.whole
        total_s = sum(entry.times[2] for entry in process.profile.values())
        assert whole.captured_s + sum(whole.left_out_s.values()) == pytest.approx(total_s)
        assert sum(process.phases[phase].captured_s for phase in PHASES) == pytest.approx(whole.captured_s)
        state = process.segment.state
        assert state is not None
        assert sum(process.seconds.values()) == pytest.approx(state.wall_s)


def test_shares_sum_to_one_with_waiting(merged: Merged) -> None:
    for role in ("main", "workers"):
        rows = [row for row in [*merged.functions(), *merged.waiting()] if row["process"] == role]
        assert sum(row["share"] for row in rows) == pytest.approx(1.0)
        own_s = sum(row.get("tottime_s", row.get("seconds")) for row in rows)
        assert own_s == pytest.approx(merged.captured()[role]["seconds"])


def test_waiting_is_told_from_work(merged: Merged) -> None:
    waiting = {(row["process"], row["kind"]): row for row in merged.waiting()}
    assert waiting["main", "for loader"]["calls"] > 0
    assert waiting["workers", "for main"]["calls"] > 0
    names = {row["name"] for row in merged.functions()}
    assert not any("'acquire' of" in name or "'poll' of" in name for name in names)
    assert "{built-in method time.sleep}" in names


def test_a_function_takes_no_longer_than_its_phase(merged: Merged) -> None:
    for process in merged.processes:
        for phase, account in process.phases.items():
            assert all(cost.total_s <= max(process.seconds[phase], cost.own_s) for cost in account.functions.values())


def test_log_events_are_counted(merged: Merged) -> None:
    assert merged.log_events == 12


def test_files_of_the_run(run: Path, merged: Merged) -> None:
    assert merged.artifacts == {"merged": "merged.prof", "text": "merged.txt", "lib_text": "merged.lib.txt"}
    labels = ["main", "numbers-worker-0-epoch-0", "numbers-worker-1-epoch-0"]
    kinds = {"prof": ".prof", "text": ".txt", "lib_text": ".lib.txt"}
    for label in labels:
        assert merged.files[label] == {kind: f"processes/{label}{ending}" for kind, ending in kinds.items()}
    assert merged.files["Watcher-3"] == {}
    total = pstats.Stats(str(run / "processes/main.prof"), stream=io.StringIO())
    for label in labels[1:]:
        total.add(str(run / f"processes/{label}.prof"))
    whole = pstats.Stats(str(run / "merged.prof"), stream=io.StringIO())
    assert whole.total_calls == total.total_calls  # type: ignore[attr-defined]
    assert whole.total_tt == pytest.approx(total.total_tt)  # type: ignore[attr-defined]


def test_texts(run: Path, merged: Merged) -> None:
    text = (run / "merged.txt").read_text().splitlines()
    assert text[0].startswith("1 of 3 workers delivered; missing: numbers worker 1 epoch 0 pid ")
    assert "Watcher pid 1 (started, and left no state; nothing left)" in text[0]
    assert text[1].startswith("numbers-worker-1-epoch-0: partial, up to its last dump; calls still open")
    assert text[2] == "command: train.py --fast"
    assert any(line.startswith("main waited ") and "for the loader (" in line for line in text)
    for title in ("Steady state: ", "Set-up: imports and cache fills", "The first batch: "):
        assert any(line.startswith(title) for line in text)
    assert any(
        line.endswith("site-packages/torch/utils/data/dataloader.py:720(__next__)") or "(__next__)" in line
        for line in text
    )
    own = (run / "merged.lib.txt").read_text()
    assert "filtered: only the own library" in own
    assert "rows of other code left out" in own
    assert "capture_by_hand.py:" in own
    assert "dataloader.py" not in own
    partial = (run / "processes/numbers-worker-1-epoch-0.txt").read_text()
    assert partial.startswith("numbers-worker-1-epoch-0: partial, ")


def test_texts_say_what_they_add_up(run: Path, merged: Merged) -> None:
    count = sum(process.has_data for process in merged.processes)
    assert f"\nTables add up {count} processes, " in (run / "merged.txt").read_text()
    assert "add up" not in (run / "processes" / "main.txt").read_text()


def test_results_fit_a_record(run: Path, merged: Merged) -> None:
    results = merged.results()
    record = Record("profile", [], "2026-01-31T12:00:00Z", 1.0, True, workers=merged.workers, results=results)
    record.artifacts = merged.artifacts
    record.write(run)
    read = Record.read(run).results
    assert read["engine"] == "cprofile"
    assert [row["process"] for row in read["phases"]] == [row["label"] for row in read["processes"][:3]]
    assert [row["final"] for row in read["processes"]] == [True, True, False, False]
    steady = {role: seconds["steady_seconds"] for role, seconds in read["captured"].items()}
    assert all(
        row["own"] or row["share"] >= 1e-4 or row["steady_tottime_s"] >= 1e-4 * steady[row["process"]]
        for row in read["functions"]
    )
    assert read["functions_left_out"]["rows"] == len(merged.functions()) - len(read["functions"])
    assert len(merged.results(max_rows=5)["functions"]) == 5
    told = [row for row in results["functions"] if row["own"] or row["steady_calls"]]
    assert merged.results(max_rows=len(told))["functions"] == told


def test_merging_again_changes_nothing(run: Path, merged: Merged) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*.prof")}
    again = merge(run, log_functions=["profile_scripts/capture_by_hand.py:log"], working_folder=SCRIPT.parent)
    assert again.results() == merged.results()
    assert {path: path.read_bytes() for path in run.rglob("*.prof")} == before


def test_roots_choose_the_own_library(run: Path) -> None:
    merged = merge(run, roots=[SCRIPT.parent / "elsewhere"])
    assert not any(row["own"] for row in merged.functions())
    assert merged.warnings[-1] == (f"own library: there is no {SCRIPT.parent / 'elsewhere'}: nothing of it is shown")
    assert f"only the own library ({SCRIPT.parent / 'elsewhere'})" in (run / "merged.lib.txt").read_text()


def test_a_damaged_file_costs_its_process_only(run: Path) -> None:
    path = run / FOLDER / "main.1.prof"
    for name in ("main.1.prof", "main.1.first.prof", "main.1.setup.prof"):
        whole = (run / FOLDER / name).read_bytes()
        (run / FOLDER / name).write_bytes(whole[: len(whole) // 2])
    merged = merge(run)
    assert merged.workers["missing"][0]["reason"] == "what it left is damaged"
    assert merged.workers["missing"][0]["partial"] is False
    assert any(str(path) in line and "damaged statistics" in line for line in merged.warnings)
    assert rows_named(merged, "step")["main"]["calls"] == 12


def test_the_last_boundary_stands_in_for_a_damaged_dump(run: Path) -> None:
    (run / FOLDER / "main.1.prof").write_bytes(b"")
    merged = merge(run)
    missing = merged.workers["missing"][0]
    assert (missing["worker"], missing["reason"], missing["partial"]) == (0, "its last dump is damaged", True)
    assert merged.account("workers", "first").captured_s > 0


def size_of(run: Path) -> int:
    return sum(path.stat().st_size for path in run.rglob("*") if path.is_file())


@pytest.fixture
def sizes(run: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How large a run is in all, and without raw dumps; the budget is as large as the latter."""
    merge(run, keep_all=True)
    whole = size_of(run)
    raw = sum(path.stat().st_size for path in (run / FOLDER).glob("*.prof"))
    shutil.rmtree(run / "processes")
    monkeypatch.setattr(artifacts, "RECORD_BYTES", 0)
    monkeypatch.setattr(artifacts, "BUDGET_BYTES", whole - raw)
    return whole, whole - raw


def test_files_of_processes_stay_within_the_budget(
    run: Path, sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "BUDGET_BYTES", sizes[1] - 30_000)
    merged = merge(run)
    assert merged.left_out
    assert all(line.startswith("processes/") for line in merged.left_out)
    assert f"files of single processes left out: {len(merged.left_out)} (" in merged.warnings[-1]
    assert set(merged.artifacts) == {"merged", "text", "lib_text"}
    written = [path for files in merged.files.values() for path in files.values()]
    assert sorted(f"processes/{path.name}" for path in (run / "processes").iterdir()) == sorted(written)


def test_everything_is_kept_on_request(run: Path, sizes: tuple[int, int]) -> None:
    merged = merge(run, keep_all=True)
    assert merged.left_out == []
    assert size_of(run) == sizes[0]
