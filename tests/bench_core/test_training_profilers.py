"""`--profiler` of python -m bench_core train: reports in the segment's folder, epochs apart, also of a failed run."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench_core.__main__ import main
from bench_core.training.runs import Run, registered

pytestmark = [pytest.mark.timeout(200), pytest.mark.usefixtures("one_thread")]
REPOSITORY = Path(__file__).resolve().parents[2]
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
    ("name", "told"),
    # The report of torch's has twenty rows, those of the longest: what holds all others is one of them at any speed.
    [("simple", "training_step"), ("advanced", "training_step"), ("pytorch", "[pl][profile]run_training_epoch")],
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


@pytest.mark.skipif(not importlib.util.find_spec("bench_harness"), reason="bench_harness is not installed")
def test_the_profiler_of_bench_harness_sees_the_workers(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its pyproject.toml registers it, whatever is installed here."""
    offer_what_bench_harness_registers(tmp_path / "site", monkeypatch)
    assert train("--profiler", "workers") == 0
    (folder,) = profiles(only_run(tmp_path), 0)
    assert folder.name == "fit-workers"
    rows = json.loads((folder / "actions.json").read_text())["rows"]
    batches = [(row["epoch"], row["calls"]) for row in rows if row["action"] == "run_training_batch"]
    assert batches == [(0, 2), (1, 2)]
    record = json.loads((folder / "record.json").read_text())
    assert record["completed"]
    assert record["workers"]["missing"] == []
    # Two epochs of training and two validations, with two workers each.
    assert record["workers"]["expected"] == record["workers"]["delivered"] == 8
    functions = record["results"]["functions"]
    calls = {row["process"]: row["calls"] for row in functions if row["name"].endswith("__getitem__") and row["own"]}
    assert calls["workers"] == 2 * 8 + 2 * 4
    assert (folder / record["artifacts"]["merged"]).exists()


@pytest.mark.skipif(not importlib.util.find_spec("bench_harness"), reason="bench_harness is not installed")
def test_a_failed_run_is_no_complete_capture(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer_what_bench_harness_registers(tmp_path / "site", monkeypatch)
    assert train("--arch", "tiny_models:explosive", "--profiler", "workers") == 3
    (folder,) = profiles(only_run(tmp_path), 0)
    record = json.loads((folder / "record.json").read_text())
    assert not record["completed"]
    assert "the loss of step 3 is nan" in record["results"]["processes"][0]["exception"]
    assert record["workers"]["missing"] == []
    assert "run_training_batch" in (folder / "actions.txt").read_text()


def offer_what_bench_harness_registers(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a distribution of the entry point that pyproject.toml holds."""
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project = tomllib.loads((REPOSITORY / "bench_harness" / "pyproject.toml").read_text())["project"]
    lines = [f"{name} = {found}" for name, found in project["entry-points"]["bench_core.profilers"].items()]
    package = site / "offers-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: offers\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("\n".join(["[bench_core.profilers]", *lines, ""]))
    monkeypatch.syspath_prepend(str(site))
