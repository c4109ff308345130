"""The rates of the self-test in docs/compare.md are those of the verdicts under profiles/, and those are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench_harness.__main__ import main
from bench_harness.record import Record
from bench_harness.verdict.self_test.rates import is_found, rates
from bench_harness.verdict.self_test.trials import FILE_NAME, read

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "profiles" / "self-test").glob("*/record.json"))


def test_there_are_some() -> None:
    assert FOLDERS


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
