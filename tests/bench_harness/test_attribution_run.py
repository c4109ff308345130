"""Copy-on-write attribution from the fork to the advice: on real workers, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from array import array
from pathlib import Path
from typing import Any

import pytest

from bench_harness.errors import AttributionError
from bench_harness.memory.attribution import before_fork as before_fork_module
from bench_harness.memory.attribution import census, census_file, pagemap, walking
from bench_harness.memory.attribution.advice import advise, general_advice
from bench_harness.memory.attribution.before_fork import CHILD, before_fork
from bench_harness.memory.attribution.census_file import PAGE_BYTES, RECORD, Census
from bench_harness.memory.attribution.copied_pages import ENDING
from bench_harness.memory.attribution.result import BACKGROUND, NOT_COVERED, Attribution, Row, attribute
from bench_harness.memory.headroom import available_bytes

pytestmark = pytest.mark.timeout(120)
needs_pagemap = pytest.mark.skipif(pagemap.self_test() is not None, reason=str(pagemap.self_test()))

TARGET = Path(__file__).with_name("targets") / "copies.py"


def run(folder: Path, kind: str, start: str, **environment: str) -> dict[str, Any]:
    command = [sys.executable, str(TARGET), str(folder), kind, start]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def shares(told: dict[str, Any]) -> dict[tuple[str, str], float]:
    return {(row["owner"], row["type"]): row["share"] for row in told["rows"]}


@needs_pagemap
@pytest.mark.skipif(not walking.has_c_walker(), reason="the census in C was not built")
def test_forked_readers_of_strings_copy_them(tmp_path: Path) -> None:
    told = run(tmp_path, "str", "fork")
    assert shares(told)["dataset.records", "str"] >= 0.9
    assert sum(shares(told).values()) == pytest.approx(1, abs=0.001)
    assert told["headline"].endswith("% str in dataset.records")
    assert told["census"].startswith("census of 5")
    assert told["missing"] == ["main.3"]
    assert told["warnings"] == ["2 of 3 workers told which pages they copied"]
    assert "categorical" in told["advice"][0]
    assert any("SQLite" in line for line in told["general"])
    for serial, uss_bytes in told["uss_bytes"].items():
        worker = told["workers"][serial]
        assert worker["copied_bytes"] + worker["new_bytes"] == pytest.approx(uss_bytes, rel=0.02)


@needs_pagemap
def test_workers_of_a_loader_copy_rows(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    told = run(tmp_path, "dict", "loader")
    assert shares(told)["dataset.records", "str"] + shares(told)["dataset.records", "dict"] > 0.7
    assert len(told["workers"]) == 2


@needs_pagemap
def test_readers_of_an_array_copy_nothing_of_it(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    told = run(tmp_path, "numpy", "fork")
    assert not [owner for owner, _ in shares(told) if owner.startswith("dataset")]
    assert told["copied_bytes"] < 10e6  # the array alone has 13.5 MB


@needs_pagemap
def test_columns_of_pandas_are_named(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    found = shares(run(tmp_path, "pandas", "fork"))
    assert max((share, row) for row, share in found.items() if row[0].startswith("dataset"))[1] == (
        'dataset.records["tag"]',
        "str",
    )


class Holds:
    def __init__(self) -> None:
        self.records = [f"a record {index}" for index in range(5000)]


@needs_pagemap
def test_the_census_in_python_says_that_it_is_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census, "make_walker", lambda payloads: (walking.PythonWalker(payloads, whole=100), "Python"))
    monkeypatch.setattr(census, "modules", dict)  # a test run has too many for a walk in Python
    before_fork(tmp_path, {"dataset": Holds()})
    told = census_file.read(tmp_path)
    assert told.walker == "Python"
    assert told.one_in >= 50
    write_worker(tmp_path, "main.1", range(0))
    assert attribute(tmp_path).census.startswith(f"sampled census, 1 in {told.one_in} objects")


@needs_pagemap
def test_too_little_memory_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(AttributionError, match=r"^the census may need [\d,.]+ MB of memory, over 1\.0 MB allowed$"):
        before_fork(tmp_path, {}, limit_bytes=10**6)
    assert not list(tmp_path.iterdir())


@needs_pagemap
def test_too_little_memory_on_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before_fork_module, "available_bytes", lambda: 5_000_000)
    with pytest.raises(AttributionError, match=r"and 5\.0 MB are left: try a smaller data set"):
        before_fork(tmp_path, {})


@needs_pagemap
@pytest.mark.parametrize(
    ("dies", "told"),
    [
        (lambda *_: os.kill(os.getpid(), signal.SIGKILL), "its process was killed"),
        (lambda *_: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda *_: sys.exit("leaves"), "SystemExit: leaves"),
    ],
)
def test_a_census_that_dies_does_not_take_the_target_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: Any, told: str
) -> None:
    monkeypatch.setattr(before_fork_module, "take_census", dies)
    with pytest.raises(AttributionError, match=f"^the census before the fork failed: {told}$"):
        before_fork(tmp_path, {})


@needs_pagemap
def test_a_census_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before_fork_module, "take_census", lambda *_: signal.pause())
    monkeypatch.setattr(before_fork_module, "_DEADLINE_S", 0.2)
    with pytest.raises(AttributionError, match="took over 0 s"):
        before_fork(tmp_path, {})
    with pytest.raises(ChildProcessError):
        os.waitpid(int((tmp_path / CHILD).read_text()), os.WNOHANG)


@needs_pagemap
def test_a_target_that_ignores_its_children(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        before_fork(tmp_path, {"dataset": Holds()})
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert census_file.is_written(tmp_path)


@needs_pagemap
def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(AttributionError, match="No such file or directory"):
        before_fork(tmp_path / "gone", {})


# ---- joining, on pages made up


def write_worker(folder: Path, serial: str, pages: range, own: int = 0) -> None:
    runs = [number for page in pages for number in (page, 1)]
    (folder / f"{serial}{ENDING}").write_bytes(array("Q", [PAGE_BYTES, own or len(pages), 0, *runs]).tobytes())


def write_census(folder: Path, *records: tuple[int, ...], one_in: int = 1) -> None:
    """Labels: 0 str and 1 dict of dataset.records, 2 of module torch."""
    owners = [("dataset.records", False), ("module torch", True)]
    labels = [(0, "str"), (0, "dict"), (1, "str")]
    census_file.write(
        folder, Census(owners, labels, "C", one_in, 3, 0, 0.1), b"".join(RECORD.pack(*record) for record in records)
    )


def copied(result: Attribution) -> dict[tuple[str, str], int]:
    return {(row.owner, row.type): row.copied_bytes for row in result.rows}


def test_a_page_is_split_by_bytes(tmp_path: Path) -> None:
    # pages 1, 2: small objects, which have the page to themselves; 3: one large one beside other memory; 4: nobody's
    write_census(tmp_path, (1, 1, 0, 3000, 9, 1), (1, 1, 2, 1000, 3, 1), (2, 1, 1, 100, 1, 1), (3, 1, 1, 96, 0, 0))
    write_worker(tmp_path, "main.1", range(1, 5))
    found = copied(attribute(tmp_path))
    assert found == {
        ("dataset.records", "str"): 3072,
        (BACKGROUND, "various"): 1024,
        ("dataset.records", "dict"): 4096 + 96,
        (NOT_COVERED, "various"): 4000 + 4096,
    }


def test_rows_are_means_over_workers_and_only_copied_pages_count(tmp_path: Path) -> None:
    write_census(tmp_path, (0, 10, 0, PAGE_BYTES, 1, 0), (20, 1, 1, 64, 1, 1))
    write_worker(tmp_path, "main.1", range(2, 6), own=9)
    write_worker(tmp_path, "main.2", range(20, 21))
    result = attribute(tmp_path, ["main.1", "main.2"])
    assert copied(result) == {("dataset.records", "str"): 8192, ("dataset.records", "dict"): 2048}
    assert result.copied_bytes == 10_240
    assert [(worker.copied_bytes, worker.new_bytes) for worker in result.workers] == [(16_384, 20_480), (4096, 0)]
    assert result.headline() == "0.0 MB copied per worker, 80 % str in dataset.records"
    assert (result.missing, result.warnings) == ([], [])


def test_a_page_that_two_blocks_claim_counts_once(tmp_path: Path) -> None:
    write_census(tmp_path, (0, 4, 0, PAGE_BYTES, 1, 0), (2, 4, 1, PAGE_BYTES, 1, 0), (3, 1, 2, 50, 1, 0))
    write_worker(tmp_path, "main.1", range(6))
    assert copied(attribute(tmp_path)) == {("dataset.records", "str"): 4 * 4096, ("dataset.records", "dict"): 2 * 4096}


def test_a_sample_is_an_estimate_of_no_more_than_there_is(tmp_path: Path) -> None:
    write_census(tmp_path, (1, 1, 0, 6000, 100, 1), (2, 1, 1, 2000, 30, 1), (9, 1, 1, 2000, 30, 1), one_in=20)
    write_worker(tmp_path, "main.1", range(1, 3))
    assert copied(attribute(tmp_path)) == {
        ("dataset.records", "str"): 6000,
        ("dataset.records", "dict"): 2000,
        (NOT_COVERED, "various"): 192,
    }


def test_nothing_was_copied(tmp_path: Path) -> None:
    write_census(tmp_path, (1, 1, 0, 3000, 9, 1))
    write_worker(tmp_path, "main.1", range(0))
    result = attribute(tmp_path)
    assert result.headline() == "nothing inherited was copied by the workers"
    assert (result.rows, advise(result), list(general_advice(result))) == ([], [], [])


def test_without_a_census_or_workers(tmp_path: Path) -> None:
    with pytest.raises(AttributionError, match="no census of the parent's objects can be read"):
        attribute(tmp_path)
    write_census(tmp_path)
    with pytest.raises(AttributionError, match="none of 2 workers told which pages it copied"):
        attribute(tmp_path, ["main.1", "main.2"])


def test_results_fit_into_a_record(tmp_path: Path) -> None:
    write_census(tmp_path, (1, 1, 0, 3000, 9, 1))
    write_worker(tmp_path, "main.1", range(1, 2))
    document = json.loads(json.dumps(attribute(tmp_path).to_json()))
    assert document["attribution"] == [{"owner": "dataset.records", "type": "str", "copied_bytes": 4096, "share": 1.0}]


@pytest.mark.parametrize(
    ("owner", "kind", "copied_bytes", "wanted"),
    [
        ("dataset.records", "str", 10**8, "categorical"),
        ('dataset.df["tag"]', "str", 10**8, "pyarrow"),
        ("dataset.records", "dict", 10**8, "columns, not rows"),
        ("dataset.x", "float", 10**8, "one NumPy array"),
        ("dataset.frames", "numpy.ndarray", 10**8, "memmap"),
        ("dataset.frames", "pandas.DataFrame", 10**8, "one frame for all rows"),
        ("dataset.rows", "__main__.Row", 10**8, "arrays, one per field"),
        (BACKGROUND, "various", 5 * 10**7, "gc.freeze"),
        (BACKGROUND, "various", 10**7, None),
        (NOT_COVERED, "various", 5 * 10**7, "libraries in C"),
        (NOT_COVERED, "various", 10**6, None),
        ("dataset.records", "str", 10**5, None),
    ],
)
def test_advice_fits_the_row(owner: str, kind: str, copied_bytes: int, wanted: str | None) -> None:
    result = Attribution([Row(owner, kind, copied_bytes, 0.9)], [], copied_bytes, [], [], "census")
    lines = [advice.line() for advice in advise(result)]
    assert len(lines) == (wanted is not None)
    assert all(str(wanted) in line and "90 %" in line for line in lines)


def test_the_tightest_control_group_counts(tmp_path: Path) -> None:
    proc = tmp_path / "cgroup"
    proc.write_text("4:memory:/job\n1:cpu:/\n", encoding="utf-8")
    folder = tmp_path / "memory" / "job"
    folder.mkdir(parents=True)
    for name, text in {
        "memory.limit_in_bytes": "1000000",
        "memory.usage_in_bytes": "900000",
        "memory.stat": "cache 7\ninactive_file 5\ntotal_inactive_file 50000\n",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    assert available_bytes(proc, tmp_path) == 150_000
    (folder / "memory.limit_in_bytes").write_text("100", encoding="utf-8")
    assert available_bytes(proc, tmp_path) == 0
    assert available_bytes(tmp_path / "none", tmp_path) > 10**6
