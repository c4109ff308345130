"""The named captures of profiles/captures/: what pstats and `bench diff` say of them, and how they are cut to size."""

from __future__ import annotations

import importlib
import json
import pstats
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench_harness.profiles import statistics
from bench_harness.profiles.own_code import OwnCode
from bench_harness.profiles.statistics import Entry, Function
from bench_harness.record import Record

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "profiles" / "captures"
NAMES = ("initial_naive", "early_filter", "closed_form")
FILES = {"merged.prof", "merged.txt", "merged.lib.txt", "record.json"}
ABSOLUTE = re.compile(r"(?:^|[^\w.:/])(?:~?/[\w.+~-]+)+|\b[A-Za-z]:\\")
NAIVE = ("bench_core/reference/voxels.py", "_find_voxels_possibly_contacting")
READER = ("bench_core/reference/mmcif.py", "read_mmcif")
CLOSED = ("~", "{built-in method bench_core._voxelizer.voxelizer_fill_views}")


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """docs/make/captures.py."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "make"))
    yield importlib.import_module("captures")
    del sys.modules["captures"]


def record_of(name: str) -> Record:
    return Record.read(FOLDER / name)


def workers_of(name: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The functions of the workers, by file and name."""
    rows = record_of(name).results["functions"]
    return {(row["file"], row["name"]): row for row in rows if row["process"] == "workers"}


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], dict[tuple[str, str], dict[str, Any]]]:
    """What `bench diff` says of the workers' functions, by file and name."""

    def run(a: str, b: str) -> dict[tuple[str, str], dict[str, Any]]:
        out = str(tmp_path_factory.mktemp("diff"))
        command = [sys.executable, "-m", "bench_harness", "diff", "--force", "--json", "--out", out]
        done = subprocess.run(
            [*command, str(FOLDER / a), str(FOLDER / b)], capture_output=True, text=True, timeout=60, cwd=out
        )
        assert done.returncode == 0, done.stderr
        results = json.loads(done.stdout)["results"]
        return {(row["file"], row["name"]): row for row in results["functions"] if row["process"] == "workers"}

    return run


def test_the_script_makes_these_captures(make: Any) -> None:
    assert make.NAMES == NAMES
    assert {path.name for path in FOLDER.iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_capture_is_whole_and_small(name: str) -> None:
    files = list((FOLDER / name).rglob("*"))
    assert {path.name for path in files} == FILES
    assert sum(path.stat().st_size for path in files) <= 300_000
    record = record_of(name)
    assert record.completed
    assert record.workers == {"expected": 2, "delivered": 2, "missing": []}
    assert record.results["engine"] == "cprofile"
    assert record.results["counts"]["steady_steps"] == 15
    assert not record.environment["git"]["dirty"]
    (cut,) = record.warnings
    assert cut.startswith("cut to be committed: ")
    assert record.results["functions_left_out"]["rows"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_pstats_opens_a_capture(name: str) -> None:
    stats: Any = pstats.Stats(str(FOLDER / name / "merged.prof"))
    functions = stats.stats
    assert ("~", 0, "[rest]") in functions
    callers = {caller for *_, edges in functions.values() for caller in edges}
    assert callers <= functions.keys()
    assert stats.total_tt == pytest.approx(sum(entry[2] for entry in functions.values()))
    # Work and waiting of all processes, as far as the record tells.
    assert stats.total_tt > 0.9 * sum(each["seconds"] for each in record_of(name).results["captured"].values())


@pytest.mark.parametrize("name", NAMES)
def test_a_capture_holds_no_paths_of_the_machine(name: str) -> None:
    profile = statistics.load_profile(FOLDER / name / "merged.prof")
    found = [function for function in profile if function[0].startswith("/") or ABSOLUTE.search(function[2])]
    for file in ("merged.txt", "merged.lib.txt", "record.json"):
        found += ABSOLUTE.findall((FOLDER / name / file).read_text())
    assert not found


@pytest.mark.parametrize("name", NAMES)
def test_a_capture_is_in_git_and_on_the_page(name: str) -> None:
    listed = subprocess.run(
        ["git", "ls-files", f"profiles/captures/{name}"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    if listed.returncode:
        pytest.skip("no checkout")
    assert {Path(line).name for line in listed.stdout.splitlines()} == FILES
    commit = record_of(name).environment["git"]["commit"]
    page = (ROOT / "profiles" / "README.md").read_text()
    assert re.search(rf"\[{name}\]\(captures/{name}/\).*\| {commit[:12]} \| cprofile \|", page)


def test_at_first_the_workers_search_the_grid_for_every_atom() -> None:
    """On all atoms of the structures, which is where the time goes, beside reading them again for every example."""
    workers, captured = workers_of("initial_naive"), record_of("initial_naive").results["captured"]["workers"]
    search, read = workers[NAIVE], workers[READER]
    assert search["steady_cumtime_s"] > 0.33 * captured["steady_seconds"]
    assert search["own"]
    assert search["steady_calls"] > 10_000 * 15
    assert read["steady_calls"] + 2 == read["calls"] == 16  # one per example, of which two are the first batches


def test_filtering_early_leaves_few_atoms_to_search_for(changes: Any) -> None:
    rows = changes("initial_naive", "early_filter")
    search, read = rows[NAIVE], rows[READER]
    assert search["change"] is None
    assert search["b_calls"] < search["a_calls"] / 50
    assert search["b_tottime_s"] < search["a_tottime_s"] / 10
    assert read["b_calls"] < read["a_calls"]
    assert max(rows.values(), key=lambda row: abs(row["delta_s"]))["delta_s"] < 0


def test_the_closed_form_does_without_search_and_reader(changes: Any) -> None:
    rows = changes("early_filter", "closed_form")
    for place in (NAIVE, READER):
        assert rows[place]["change"] in ("gone", "gone?")
        assert rows[place]["b_calls"] == 0
    assert rows[CLOSED]["change"] in ("new", "new?")
    assert workers_of("closed_form")[CLOSED]["calls"] == 16  # both views of an example in one call
    assert not [file for file, _ in workers_of("closed_form") if file.startswith("bench_core/reference/")]


def entry(calls: int, own_s: float, callers: dict[Function, int] | None = None) -> Entry:
    edges = {caller: (count, count, 0.25, 0.25) for caller, count in (callers or {}).items()}
    return Entry((calls, calls, own_s, own_s + 1), edges)


def test_cutting_keeps_all_calls_and_all_time(make: Any, tmp_path: Path) -> None:
    work, rare, rarer = ("a.py", 1, "work"), ("b.py", 2, "rare"), ("b.py", 3, "rarer")
    whole = {
        work: entry(3, 2.0, {rare: 1, rarer: 2}),
        rare: entry(1, 0.5, {work: 1}),
        rarer: entry(2, 0.25, {rare: 1, work: 1}),
    }
    small = make.cut(whole, frozenset({work}))
    assert small.keys() == {work, make.REST}
    assert small[work].times == whole[work].times
    assert small[work].callers == {make.REST: (3, 3, 0.5, 0.5)}
    assert small[make.REST] == Entry((3, 3, 0.75, 0.75), {work: (2, 2, 0.5, 0.5), make.REST: (1, 1, 0.25, 0.25)})
    path = tmp_path / "small.prof"
    path.write_bytes(statistics.profile_bytes(small))
    stats: Any = pstats.Stats(str(path))
    assert (stats.total_calls, stats.total_tt) == (6, 2.75)


def test_paths_become_those_of_the_texts(make: Any) -> None:
    here, there = (f"{ROOT}/bench_core/grid.py", 1, "f"), ("/x/lib/python3.11/site-packages/torch/a.py", 1, "g")
    moved = make.relocated({here: entry(1, 1.0, {there: 1}), there: entry(1, 1.0)}, OwnCode(folder=ROOT))
    assert [function[0] for function in moved] == ["bench_core/grid.py", "site-packages/torch/a.py"]
    assert next(iter(moved[("bench_core/grid.py", 1, "f")].callers))[0] == "site-packages/torch/a.py"


def test_a_record_counts_the_rows_that_go(make: Any) -> None:
    rows = [
        {"steady_calls": calls, "share": share, "own": own, "tottime_s": 1.0}
        for calls, share, own in ((5, 0.0, True), (0, 0.5, False), (5, 0.001, False), (0, 0.001, True), (5, 0.0, False))
    ]
    kept, left_out = make.shortened(rows)
    assert kept == rows[:3]
    assert left_out == {"rows": 2, "tottime_s": 2.0}


def test_an_unknown_name_is_refused(make: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        make.main(["final"])
    assert leaving.value.code == 2
    assert "unknown: final; there are initial_naive, early_filter, closed_form" in capsys.readouterr().err
