"""docs/make/verdict_peers.py: what it plants, what it counts, and one tool for real."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "make" / "verdict_peers.py"


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("verdict_peers", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["verdict_peers"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_each_slowdown_is_a_commit_that_does_so_much_more(peers: ModuleType, tmp_path: Path) -> None:
    toy = peers.make_toy(tmp_path, [0.0, 0.05], 0.02)
    assert len(set(toy.commits.values())) == 3
    units = {}
    for planted, commit in toy.commits.items():
        show = ["git", "show", f"{commit}:toy.py"]
        text = subprocess.run(show, cwd=tmp_path / "repository", capture_output=True, text=True, check=True).stdout
        assert text == (toy.copy(planted) / "toy.py").read_text()
        names: dict[str, Any] = {}
        exec(text, names)
        units[planted] = names["UNITS"]
        assert names["work"](10) == names["work"](units=10) > 0
    assert units == {None: 1000, 0.0: 1000, 0.05: 1050}


@pytest.mark.slow
def test_pytest_benchmark_finds_ten_times_the_work(peers: ModuleType, tmp_path: Path) -> None:
    """Far more than noise: what is tried is how it is called and read."""
    pytest.importorskip("pytest_benchmark")
    toy = peers.make_toy(tmp_path, [9.0], 0.02)
    assert peers.pytest_benchmark(toy, 9.0) == {"pytest-benchmark mean:2%": True, "pytest-benchmark mean:5%": True}


def test_the_table_counts_alarms_with_their_bounds(peers: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    def verdict(rule: str, planted: float, alarm: bool) -> dict[str, Any]:
        return {"rule": rule, "planted": planted, "alarm": alarm, "wall_s": 2.0}

    found = [verdict("x", 0.05, alarm) for alarm in (True, True, False)]
    peers.print_table([*found, *(verdict("x", 0.0, False) for _ in range(3))])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| rule | false alarms at 0 % | found at 5 % | seconds (median) |"
    assert lines[2] == "| x | 0 of 3 [0, 71] % | 2 of 3 [9, 99] % | 2.0 |"


def test_bad_input_is_one_line(peers: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        peers.main(["--trials", "0"])
    assert left.value.code == 2
    assert "--trials takes 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize("text", [None, "{", "[]", '{"verdicts": [{"rule": "x"}]}'])
def test_a_file_that_holds_no_verdicts_is_bad_input(
    peers: ModuleType, tmp_path: Path, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "verdicts.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit) as left:
        peers.main(["--show", str(path)])
    assert left.value.code == 2
    assert "verdicts.json: not what --json writes" in capsys.readouterr().err
