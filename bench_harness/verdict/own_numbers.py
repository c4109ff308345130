"""Numbers that a command tells of itself, through a file whose name is in $BENCH_COMPARE_REPORT.

Each line that it appends is one JSON object, of one of two forms:

    {"body_s": 0.031}
        wall seconds of what is measured; the rest of the run counts as start-up.
    {"metric": "cpu_s", "value": 0.0305, "unit": "s", "better": "lower", "benchmark": "sort", "params": {"n": 1000}}
        a value of its own. Unit, better ("lower"), benchmark and params may be left out. cpu_s or wall_s without a
        benchmark stand in for those of the whole process: start-up is then no part of what is compared.

Runs that count instructions, calls or allocations, or look at memory, do not get the variable: they would count the
telling. The same metric told again is added to the first: a body may be timed in pieces.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_harness.errors import CouldNotMeasureError
from bench_harness.verdict.sides import Key

VARIABLE = "BENCH_COMPARE_REPORT"
_UNITS = {"_s": "s", "_bytes": "bytes"}
_FIELDS = {"metric", "value", "unit", "better", "benchmark", "params", "body_s"}


@dataclass
class OwnNumbers:
    """What one run told; `body_s` is None where it did not tell."""

    values: dict[Key, float] = field(default_factory=dict)
    body_s: float | None = None


def read_own_numbers(path: Path, benchmark: str) -> OwnNumbers:
    """Read what a run appended to its file; nothing if there is none.

    Args:
        benchmark: name for values that come without one.

    Raises:
        CouldNotMeasureError: a line that is not as above, by its number.
    """
    told = OwnNumbers()
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        _take_in_line(told, number, line, benchmark)
    return told


def _take_in_line(told: OwnNumbers, number: int, line: str, benchmark: str) -> None:
    try:
        _take_in(told, json.loads(line), benchmark)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        shown = line if len(line) <= 60 else line[:57] + "..."
        raise CouldNotMeasureError(f"line {number} of ${VARIABLE}, {shown!r}: {error}") from None


def _take_in(told: OwnNumbers, item: dict[str, Any], benchmark: str) -> None:
    unknown = sorted(set(item) - _FIELDS)
    if unknown:
        raise ValueError(f"no field '{unknown[0]}'; known: {', '.join(sorted(_FIELDS))}")
    if "body_s" in item:
        told.body_s = (told.body_s or 0.0) + _finite(item["body_s"], "body_s")
    if "metric" in item:
        key = _key(item, benchmark)
        told.values[key] = told.values.get(key, 0.0) + _finite(item["value"], "value")
    elif "body_s" not in item:
        raise ValueError("neither metric nor body_s")


def _key(item: dict[str, Any], benchmark: str) -> Key:
    metric, better = str(item["metric"]), item.get("better", "lower")
    if better not in ("lower", "higher"):
        raise ValueError(f"better is {better!r}, expected 'lower' or 'higher'")
    unit = item.get("unit") or next((unit for ending, unit in _UNITS.items() if metric.endswith(ending)), "")
    params = tuple((str(name), str(value)) for name, value in item.get("params", {}).items())
    return Key(str(item.get("benchmark", benchmark)), params, metric, str(unit), better)


def _finite(value: Any, name: str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}, expected a finite number")
    return number
