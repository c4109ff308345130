"""bench compare --pytest: files of pytest-benchmark as replicates, and what one process can tell."""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

from bench_harness.__main__ import main
from bench_harness.errors import NothingMeasuredError, UsageError
from bench_harness.record import Record
from bench_harness.verdict.fixed import Measured
from bench_harness.verdict.pytest_files import judge, read_pytest, spread
from bench_harness.verdict.pytest_storage import find, read_run
from bench_harness.verdict.rule import Rule, Verdict
from bench_harness.verdict.sides import Key

KEY = Key("t.py::test_x", (), "wall_s", "s", "lower")
SUITE = """
import pytest

@pytest.mark.parametrize("n", [10, 3000])
def test_sum(benchmark, n):
    benchmark(sum, range(n))
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what pytest-benchmark itself wrote: real.json, and run 1 of the storage."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_suite.py").write_text(SUITE)
    options = [
        "--benchmark-json=real.json",
        "--benchmark-autosave",
        "--benchmark-max-time=0.01",
        "-p",
        "no:cacheprovider",
    ]
    command = [sys.executable, "-m", "pytest", "-q", "test_suite.py", *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120, env=outside_pytest())
    return folder


def outside_pytest() -> dict[str, str]:
    """The environment without what tells pytest-benchmark that it runs beside others, where it measures nothing."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


class Files:
    """Copies of a real file with other medians."""

    def __init__(self, folder: Path, real: Path) -> None:
        self.folder, self._document = folder, json.loads(real.read_text())

    def write(self, name: str, factor: float = 1.0, minute: int = 0, **machine: Any) -> str:
        document = copy.deepcopy(self._document)
        document["datetime"] = f"2026-01-31T12:{minute:02}:00+00:00"
        document["machine_info"] |= machine
        for benchmark in document["benchmarks"]:
            benchmark["stats"] |= {"median": 1e-5 * factor, "iqr": 1e-9, "rounds": 400}
        (self.folder / name).write_text(json.dumps(document))
        return name


@pytest.fixture
def files(tmp_path: Path, written: Path) -> Files:
    return Files(tmp_path, written / "real.json")


def medians(n: int, ratio: float, seed: int, sd: float = 0.01) -> tuple[tuple[float, ...], tuple[float, ...]]:
    a, b = numpy.random.default_rng(seed).lognormal(0, sd, (2, n))
    return tuple(a), tuple(b * ratio)


def test_a_real_file_is_read(written: Path) -> None:
    run = read_run(written / "real.json")
    assert sorted(run.benchmarks) == ["test_suite.py::test_sum[10]", "test_suite.py::test_sum[3000]"]
    one = run.benchmarks["test_suite.py::test_sum[10]"]
    assert (one.name, one.params, one.timer) == ("test_suite.py::test_sum", (("n", "10"),), "perf_counter")
    assert 0 < one.value_s < run.benchmarks["test_suite.py::test_sum[3000]"].value_s
    assert run.conditions["Python"] == ".".join(map(str, sys.version_info[:3]))


def test_the_storage_is_found_by_number(written: Path) -> None:
    (stored,) = (written / ".benchmarks").rglob("*.json")
    for name in ("1", "0001", stored.stem, f"{stored.parent.name}/0001"):
        assert find(name, written) == [stored]
    second = stored.parent / "0002_other.json"
    second.write_bytes(stored.read_bytes())
    assert find("0001,0002", written) == [stored, second]
    second.unlink()
    with pytest.raises(UsageError, match="no such file or folder, and no such run"):
        find("3", written)


def test_folders_and_patterns(files: Files) -> None:
    for name in ("a-1.json", "a-2.json", "b-1.json"):
        files.write(name)
    assert [path.name for path in find("a-*.json", files.folder)] == ["a-1.json", "a-2.json"]
    assert [path.name for path in find(".", files.folder)] == ["a-1.json", "a-2.json", "b-1.json"]
    assert find(str(files.folder / "a-*.json"), Path("/")) == find("a-*.json", files.folder)
    for text, said in (("c-*.json", "no file matches"), (",", "expected files")):
        with pytest.raises(UsageError, match=said):
            find(text, files.folder)
    with pytest.raises(UsageError, match="stands on both sides"):
        read_pytest("a-1.json,a-2.json", "a-*.json", files.folder)


def test_one_file_a_side_tells_large_changes_only() -> None:
    verdicts = {
        ratio: judge(Measured(KEY, (1.0,), (ratio,), False, "files"), Rule()).verdict for ratio in (1.0, 1.05, 1.2)
    }
    assert verdicts == {1.0: Verdict.UNDECIDED, 1.05: Verdict.UNDECIDED, 1.2: Verdict.REGRESSION}
    undecided = judge(Measured(KEY, (1.0,), (1.05,), False, "files"), Rule())
    assert "files a side would decide; 1 and 1 files" in undecided.words
    # Whoever knows the machine to be quiet may say so; rounds that scatter widely say the opposite.
    assert judge(Measured(KEY, (1.0,), (1.05,), False, "files"), Rule(), process_sd=0.005).verdict is Verdict.REGRESSION
    assert judge(Measured(KEY, (1.0,), (1.2,), False, "files", own_sd=0.1), Rule()).verdict is Verdict.UNDECIDED


def test_more_files_tell_small_changes() -> None:
    worse = judge(Measured(KEY, *medians(10, 1.05, seed=1), False, "files"), Rule())
    assert worse.verdict is Verdict.REGRESSION
    fine = judge(Measured(KEY, *medians(10, 1.0, seed=2), False, "files"), Rule())
    assert fine.verdict is Verdict.FINE


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_equal_code_raises_few_alarms(n: int) -> None:
    # Within 3 deviations of 1 %, for an alarm in either direction may come in 1 of 100 cases.
    alarms = 0
    for seed in range(400):
        measured = Measured(KEY, *medians(n, 1.0, seed, sd=0.02), False, "files")
        alarms += judge(measured, Rule()).verdict.alarm
    assert alarms <= 10


def test_files_written_in_turns_are_paired(files: Files) -> None:
    levels = (1.0, 1.3, 0.8, 1.1)  # the machine's, which a round shares
    for index, level in enumerate(levels):
        files.write(f"a-{index}.json", level, minute=2 * index)
        files.write(f"b-{index}.json", level * 1.06 * (1 + 0.001 * index), minute=2 * index + 1)
    source = read_pytest("a-*.json", "b-*.json", files.folder)
    assert source.certificate["took_turns"]
    assert not source.warnings
    assert all(measured.paired for measured in source.measured)
    judgement = judge(source.measured[0], Rule(), process_sd=0.005)
    assert judgement.verdict is Verdict.REGRESSION
    assert judgement.ratio == pytest.approx(1.06, abs=0.01)
    found = spread(source.measured)
    assert found is not None
    assert found > 0.1


def test_files_not_written_in_turns_are_not_paired(files: Files) -> None:
    for index in range(2):
        files.write(f"a-{index}.json", minute=index)
        files.write(f"b-{index}.json", minute=10 + index)
    source = read_pytest("a-*.json", "b-*.json", files.folder)
    assert not source.measured[0].paired
    assert any("not written in turns" in warning for warning in source.warnings)


def test_another_machine_or_python_is_warned_of(files: Files) -> None:
    files.write("a.json")
    files.write("b.json", node="elsewhere", python_version="3.99.0")
    warnings = read_pytest("a.json", "b.json", files.folder).warnings
    assert any(warning.startswith("the files differ in machine: ") and "elsewhere" in warning for warning in warnings)
    assert any(warning.startswith("the files differ in Python: ") for warning in warnings)


def test_other_options_and_lost_benchmarks_are_warned_of(files: Files) -> None:
    files.write("a.json")
    document = json.loads((files.folder / files.write("b.json")).read_text())
    document["benchmarks"][0]["options"]["disable_gc"] = True
    del document["benchmarks"][1]
    (files.folder / "b.json").write_text(json.dumps(document))
    source = read_pytest("a.json", "b.json", files.folder)
    assert len(source.measured) == 1
    assert any("different options: disable_gc" in warning for warning in source.warnings)
    assert any("only base has it" in warning for warning in source.warnings)
    document["benchmarks"] = []
    (files.folder / "b.json").write_text(json.dumps(document))
    with pytest.raises(NothingMeasuredError, match="no benchmark in common"):
        read_pytest("a.json", "b.json", files.folder)


def test_another_statistic_of_the_rounds(files: Files) -> None:
    for name, low in (("a.json", 2e-6), ("b.json", 3e-6)):
        document = json.loads((files.folder / files.write(name)).read_text())
        for benchmark in document["benchmarks"]:
            benchmark["stats"]["min"] = low
        (files.folder / name).write_text(json.dumps(document))
    measured = read_pytest("a.json", "b.json", files.folder, "min").measured[0]
    assert (measured.a, measured.b, measured.own_sd) == ((2e-6,), (3e-6,), 0.0)
    assert judge(measured, Rule()).verdict is Verdict.REGRESSION
    assert judge(read_pytest("a.json", "b.json", files.folder).measured[0], Rule()).ratio == 1


def test_a_disturbed_process_shows_in_its_own_rounds(files: Files) -> None:
    document = json.loads((files.folder / files.write("a.json")).read_text())
    for benchmark in document["benchmarks"]:
        benchmark["stats"] |= {"iqr": 5e-6, "rounds": 10_000}
    (files.folder / "a.json").write_text(json.dumps(document))
    files.write("b.json", 1.2)
    measured = read_pytest("a.json", "b.json", files.folder).measured[0]
    assert measured.own_sd > 0.1
    assert judge(measured, Rule()).verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda document: document.pop("machine_info"), "no 'machine_info'"),
        (lambda document: document["benchmarks"][0]["stats"].pop("median"), "no 'median'"),
        (lambda document: document["benchmarks"][0]["stats"].update(median=0), "not a time; try another --statistic"),
        (lambda document: document.update(benchmarks=3), "not a result of pytest-benchmark"),
    ],
)
def test_a_damaged_file_is_named(files: Files, change: Any, said: str) -> None:
    path = files.folder / files.write("a.json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=said) as raised:
        read_run(path)
    assert "a.json" in str(raised.value)
    path.write_text("{")
    with pytest.raises(UsageError, match="cannot be read as JSON"):
        read_run(path)


def test_from_the_command_to_the_record(
    files: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(files.folder)
    files.write("a.json")
    files.write("b.json", 1.3)
    assert main(["compare", "--pytest", "a.json", "b.json", "--out", "run"]) == 1
    printed = capsys.readouterr().out
    assert "REGRESSION" in printed
    assert "Noise certificate: 1 file of base and 1 of head" in printed
    record = Record.read("run")
    (first, second) = record.results["benchmarks"]
    assert {first["params"]["n"], second["params"]["n"]} == {"10", "3000"}
    assert (first["metric"], first["unit"], first["rounds"], first["verdict"]) == ("wall_s", "s", 1, "regression")
    assert math.isclose(first["ratio"], 1.3, rel_tol=1e-9)
    assert record.results["certificate"]["process_sd_beforehand"] == 0.02
    assert main(["compare", "--pytest", "a.json", "b.json", "--out", "run", "--process-sd", "20%"]) == 4
    files.write("c.json")
    assert main(["compare", "--pytest", "a.json", "c.json", "--out", "run", "--effect", "10%"]) == 0
    capsys.readouterr()
    assert main(["compare", "--pytest", "a.json", "b.json", "--metric", "cpu_s"]) == 2
    assert "--metric does not go with --pytest" in capsys.readouterr().err
    assert main(["compare", "--process-sd", "1%"]) == 2
    assert "go with --pytest" in capsys.readouterr().err
    assert main(["compare", "--pytest", "a.json", "b.json", "--process-sd", "much"]) == 2
    assert main(["compare", "--values", "v.csv", "--statistic", "min"]) == 2
    assert "--statistic does not go with --values" in capsys.readouterr().err
    assert main(["compare", "--pytest", "a.json", "b.json", "--process-sd", "much"]) == 2
    assert "--process-sd" in capsys.readouterr().err
