"""docs/make/verdict_rule.py: the rule holds its errors, on few comparisons per line."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "make" / "verdict_rule.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def rows(text: str) -> list[list[str]]:
    """The cells of all lines of tables that hold numbers."""
    lines = [
        line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| noise", "| files"))
    ]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_no_false_alarm_and_no_missed_change(script: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert script["main"](["--repetitions", "8", "--tables", "rule"]) == 0
    found = rows(capsys.readouterr().out)
    assert len(found) == len(script["CASES"]) * len(script["NOISES"])
    for noise, sd, true, effect, worse, *_ in found:
        if true == "+0 %":
            assert worse == "0.0 %", (noise, sd, effect)
        if true in ("+5 %", "+8 %", "+10 %"):
            assert float(worse.split()[0]) > 90, (noise, sd, effect)


def test_other_tables(script: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert script["main"](["--repetitions", "3", "--tables", "choice", "looks", "files"]) == 0
    assert len(rows(capsys.readouterr().out)) == 4 * len(script["NOISES"]) + len(script["NOISES"]) + 6 * 3


def test_no_repetitions_are_refused(script: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert script["main"](["--repetitions", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err
