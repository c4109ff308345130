"""The rates of the self-test, and of other tools, in docs/compare.md are those of the verdicts under profiles/."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench_harness.__main__ import main
from bench_harness.record import Record
from bench_harness.verdict.self_test.rates import is_found, rates
from bench_harness.verdict.self_test.trials import FILE_NAME, read

ROOT = Path(__file__).parents[2]
PEERS = sorted((ROOT / "profiles" / "verdict-peers").glob("*.json"))
FOLDERS = sorted(path.parent for path in (ROOT / "profiles" / "self-test").glob("*/record.json"))


def test_there_are_some() -> None:
    assert FOLDERS
    assert PEERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_record_tells_the_rates_of_all_verdicts(folder: Path) -> None:
    verdicts = list(read(folder / FILE_NAME))
    results = Record.read(folder).results
    assert results["verdicts"] == len(verdicts)
    assert results["rates"] == json.loads(json.dumps(rates(verdicts)))
    found = sum(is_found(each) for each in verdicts if not each["planted"])
    assert (
        sum(row["found"]["count"] for row in results["rates"] if not row["planted"] and row["workload"] != "all")
        == found
    )


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_docs_show_its_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--self-test", "--verdicts", "0", "--out", str(folder), "--markdown"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    docs = (ROOT / "docs" / "compare.md").read_text()
    assert len(rows) > 2
    assert [row for row in rows if row not in docs] == []


@pytest.mark.parametrize("path", PEERS, ids=lambda path: path.stem)
def test_the_docs_show_the_verdicts_of_other_tools(path: Path) -> None:
    command = [sys.executable, str(ROOT / "docs" / "make" / "verdict_peers.py"), "--show", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    rows = done.stdout.splitlines()
    assert any(row.startswith("| bench compare |") for row in rows)
    docs = (ROOT / "docs" / "compare.md").read_text()
    assert [row for row in rows if row not in docs] == []
