"""examples/storages, benchmarks/storages.py and docs/make/worker_memory.py, on few rows and workers."""

from __future__ import annotations

import ast
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="PSS is what Linux alone accounts for"),
]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "storages"
PAGE = ROOT / "docs" / "worker-memory.md"


@pytest.fixture(scope="module")
def kinds() -> Iterator[Any]:
    """The example's storages, imported as its script does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        yield importlib.import_module("kinds")
        del sys.modules["kinds"]


@pytest.fixture(scope="module")
def make() -> Iterator[Any]:
    """docs/make/worker_memory.py, with the modules that it finds by itself."""
    path = list(sys.path)
    sys.path.insert(0, str(ROOT / "docs" / "make"))
    yield importlib.import_module("worker_memory")
    sys.path[:] = path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("storages", "worker_memory")]:
        del sys.modules[name]


def test_the_example_imports_nothing_of_ours() -> None:
    for script in EXAMPLE.glob("*.py"):
        nodes = ast.walk(ast.parse(script.read_text()))
        imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        imported |= {
            node.module or "" for node in ast.walk(ast.parse(script.read_text())) if type(node) is ast.ImportFrom
        }
        assert not {name.partition(".")[0] for name in imported} & {"bench_core", "bench_harness", "benchmarks"}


def test_every_storage_holds_the_same_rows(kinds: Any, make: Any, tmp_path: Path) -> None:
    tags, numbers = kinds.table(500)
    places = [*range(0, 500, 7), 3, 499]
    expected_x = [float(numbers[i, 0]) for i in places]
    expected_tags = [i // kinds.GROUP for i in places]
    read = 0
    for number, (kind, (build, read_rows)) in enumerate(kinds.KINDS.items()):
        if kind == "nothing" or not make.runs.storages.is_installed(kind):
            continue
        found_tags, x = read_rows(build(tags, numbers, tmp_path / str(number)), places)
        assert [int(tag) for tag in found_tags] == expected_tags, kind
        assert [float(value) for value in x] == expected_x, kind
        read += 1
    assert read >= 9  # without pandas and pyarrow


def test_a_list_of_dict_is_copied_and_an_array_is_not(make: Any) -> None:
    """Under fork; training alone reads four rows of five, and so nearly all pages of a worker."""
    storages = make.runs.storages
    rows, workers = 60_000, 2
    told = {kind: storages.run(kind, rows, workers, loaders=1) for kind in ("list of dict", "numpy")}
    per_row = {kind: storages.growth_bytes(each) / workers / rows for kind, each in told.items()}
    assert per_row["list of dict"] - per_row["numpy"] > 150
    for each in told.values():
        assert len(each["training"]["worker_uss_bytes"]) == workers
        assert "validation" not in each
        assert each["training"]["rss_bytes"] > each["training"]["pss_bytes"] > each["before"]["pss_bytes"]
    assert told["numpy"]["training_sum"] == told["list of dict"]["training_sum"]


def test_the_workers_of_validation_come_on_top(make: Any) -> None:
    told = make.runs.storages.run("torch", 5_000, 1)
    assert len(told["validation"]["worker_uss_bytes"]) == 2
    assert told["validation"]["pss_bytes"] > told["training"]["pss_bytes"]


def test_a_run_that_fails_is_one_line(make: Any) -> None:
    with pytest.raises(
        make.FailedRun, match=r"^no such storage, 5 rows, fork: exit code 2: .*invalid choice"
    ) as raised:
        make.runs.storages.run("no such storage", 5, 1)
    assert "\n" not in str(raised.value)


def pss(*values: float) -> dict[str, Any]:
    phases = ("before", "training", "validation")
    return {
        phase: {"pss_bytes": value, "rss_bytes": 2 * value, "worker_uss_bytes": [value / 10] * 8}
        for phase, value in zip(phases, values, strict=False)
    }


def test_what_a_large_size_needs_is_the_line_through_the_smaller_ones(make: Any) -> None:
    results = {"k | small | fork": pss(1e8, 2e8, 3e8), "k | medium | fork": pss(1e8, 3e8, 5e8)}
    # 180,000 rows more took 2e8 bytes more; 1,800,000 more take ten times that.
    assert make.runs.expected_bytes("k", "full", "fork", results, 2) == pytest.approx(25e8)
    assert make.runs.expected_bytes("k", "full", "fork", results, 1) == pytest.approx(13e8)
    assert make.runs.expected_bytes("k", "full", "forkserver", results, 1) == 0


@pytest.mark.parametrize(("free", "asked"), [(40e8, [2]), (20e8, [1]), (10e8, [])])
def test_what_does_not_fit_is_left_out_and_named(
    make: Any, monkeypatch: pytest.MonkeyPatch, free: float, asked: list[int]
) -> None:
    loaders: list[int] = []

    def run(kind: str, rows: int, workers: int, method: str, n: int) -> dict[str, Any]:
        loaders.append(n)
        return pss(1e8, 12e8, 24e8) if n == 2 else pss(1e8, 12e8)

    monkeypatch.setattr(make.runs.storages, "run", run)
    monkeypatch.setattr(make.runs.psutil, "virtual_memory", lambda: type("Memory", (), {"available": free}))
    results = {"numpy | small | fork": pss(1e8, 2e8, 3e8), "numpy | medium | fork": pss(1e8, 3e8, 5e8)}
    kept: list[int] = []
    make.runs.measure([("numpy", "full", "fork")], results, "a tree", lambda: kept.append(1), kept.append)
    assert loaders == asked
    assert len(kept) == 2  # kept, and told
    told = results["numpy | full | fork"]
    assert told["source"] == "a tree"
    assert ("skipped_needs_bytes" in told) == (asked != [2])
    assert ("training" in told) == bool(asked)


def test_the_page_is_made_of_what_is_recorded(make: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.md"
    folder = tmp_path / "page"
    folder.mkdir()
    record = json.loads((PAGE.with_suffix("") / make.RECORD).read_text())
    (folder / make.RECORD).write_text(json.dumps(record))
    make.run(["--page-only", "--out", str(page)])
    text = page.read_text()
    assert text.replace("(page/", "(worker-memory/") == PAGE.read_text()
    assert (folder / "tree-pss.png").read_bytes().startswith(b"\x89PNG")
    assert not re.search(r"\$\w|nan|None", text)
    assert max(len(kind) for kind in make.all_kinds()) < 50
    reasons = importlib.import_module("storages.reasons").REASONS
    assert list(reasons) == make.all_kinds()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "nonsense"], "--only: unknown storage 'nonsense'"),
        (["--sizes", "huge"], "invalid choice: 'huge'"),
        (["--page-only"], "--page-only: nothing was measured yet"),
        (["--out", "no/such/folder/page.md"], "--out: there is no folder"),
    ],
)
def test_bad_input_is_named(
    make: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["worker_memory.py", "--out", str(tmp_path / "page.md"), *arguments])
    assert make.main() == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
