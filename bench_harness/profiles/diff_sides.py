"""One side of a comparison of captures: a run of `bench profile`, or the bare statistics of any cProfile."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench_harness.errors import RecordError, UsageError
from bench_harness.profiles.comprehensions import Row, enclosing_names, fold
from bench_harness.profiles.statistics import Cost, load_profile
from bench_harness.profiles.waiting import account_of_profile
from bench_harness.record import FILE_NAME, Record

ALL = "all"
WAITING = "waiting"


@dataclass(frozen=True)
class Side:
    """A capture to compare.

    Args:
        source: where it lies, as the user may know it.
        record: None for a bare .prof: then only functions and their times are known.
        rows: work; waiting: (process, kind) to seconds of the whole run and of the steady state.
        captured: process to the seconds that shares are of, of the whole run and of the steady state; those of the rows
            where a process is absent.
        left_out: functions that weighed too little to be in the record.
    """

    source: str
    record: Record | None
    rows: list[Row]
    waiting: dict[tuple[str, str], tuple[float, float | None]] = field(default_factory=dict)
    captured: dict[str, tuple[float, float]] = field(default_factory=dict)
    left_out: int = 0

    @property
    def results(self) -> dict[str, Any]:
        """The record's results, empty without a record."""
        return {} if self.record is None else self.record.results

    @property
    def engine(self) -> str | None:
        """What captured it, as far as known."""
        engine = self.results.get("engine")
        return engine if isinstance(engine, str) else None

    def count(self, name: str) -> int | None:
        """Return a count of the record (steady_steps, steady_batches, batches), None if unknown."""
        counts = self.results.get("counts")
        value = counts.get(name) if isinstance(counts, dict) else None
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def python(self) -> tuple[int, int] | None:
        """Major and minor version of Python; None if unknown."""
        python = {} if self.record is None else self.record.environment.get("python", {})
        parts = str(python.get("version", "") if isinstance(python, dict) else "").split(".")
        return (int(parts[0]), int(parts[1])) if len(parts) > 1 and all(part.isdigit() for part in parts[:2]) else None

    def captured_s(self, process: str, is_steady: bool) -> float:
        """Return the seconds that shares are of, 0 where the record does not say."""
        return self.captured.get(process, (0.0, 0.0))[is_steady]

    def folded(self) -> tuple["Side", int]:
        """Return the side with comprehensions in the functions around them, and how many could not be folded."""
        rows, alone = fold(self.rows)
        return replace(self, rows=rows), alone

    def collapsed(self) -> "Side":
        """Return the side as a bare .prof would show it: one process, one kind of waiting, no phases."""
        rows = [Row(ALL, row.file, row.line, row.name, row.whole, None, row.within) for row in self.rows]
        seconds = sum(whole for whole, _ in self.waiting.values())
        waiting = {(ALL, WAITING): (seconds, None)} if self.waiting else {}
        captured = {ALL: (sum(whole for whole, _ in self.captured.values()), 0.0)} if self.captured else {}
        return replace(self, rows=rows, waiting=dict(waiting), captured=captured)


def read_side(path: Path) -> Side:
    """Read a run folder, its record.json, or a .prof.

    Raises:
        RecordError: it is missing, damaged or none of these.
        UsageError: the record is of another command, or holds no functions.
    """
    if path.is_dir() or path.suffix == ".json":
        return _of_record(path)
    if not path.exists():
        raise RecordError(f"{path}: no such run; give a run folder, its {FILE_NAME} or a .prof file")
    return _of_profile(path)


def _of_profile(path: Path) -> Side:
    try:
        profile = load_profile(path)
    except RecordError as error:
        raise RecordError(
            f"{path}: no statistics that pstats reads; give a run folder, its {FILE_NAME} or a .prof file"
        ) from error
    within = enclosing_names(profile)
    account = account_of_profile(profile, "main")
    rows = [Row(ALL, *function, cost, within=within.get(function)) for function, cost in account.functions.items()]
    waiting: dict[tuple[str, str], tuple[float, float | None]] = {}
    if account.waiting:
        waiting[ALL, WAITING] = (account.waiting_s, None)
    return Side(_shown(path), None, rows, waiting)


def _of_record(path: Path) -> Side:
    record = Record.read(path)
    if record.command != "profile":
        raise UsageError(f"{path}: is a record of 'bench {record.command}', expected one of 'bench profile'")
    try:
        rows = [_row(item) for item in record.results["functions"]]
        waiting = {(str(item["process"]), str(item["kind"])): _waited(item) for item in record.results["waiting"]}
        captured = {name: _captured(item) for name, item in record.results.get("captured", {}).items()}
        left_out = int(record.results.get("functions_left_out", {}).get("rows", 0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise RecordError(f"{path}: field 'results' holds no functions as bench profile writes them ({what})") from error
    if not rows:
        raise UsageError(f"{path}: holds no functions; profile with an engine that captures them, such as cprofile")
    return Side(_shown(path), record, rows, waiting, captured, left_out)


def _row(item: Mapping[str, Any]) -> Row:
    whole = _cost(item, "")
    known = item.get("steady_tottime_s") is not None
    within = item.get("within")
    return Row(
        process=str(item["process"]),
        file=str(item["file"]),
        line=int(item["line"] or 0),
        name=str(item["name"]),
        whole=whole,
        steady=_cost(item, "steady_") if known else None,
        within=None if within is None else str(within),
    )


def _cost(item: Mapping[str, Any], prefix: str) -> Cost:
    calls = item[f"{prefix}calls"]
    own_s = float(item[f"{prefix}tottime_s"])
    total_s = item[f"{prefix}cumtime_s"]
    return Cost(None if calls is None else int(calls), own_s, own_s if total_s is None else float(total_s))


def _waited(item: Mapping[str, Any]) -> tuple[float, float | None]:
    steady = item.get("steady_seconds")
    return float(item["seconds"]), None if steady is None else float(steady)


def _captured(item: Mapping[str, Any]) -> tuple[float, float]:
    return float(item["seconds"]), float(item["steady_seconds"])


def _shown(path: Path) -> str:
    return Path(os.path.relpath(path)).as_posix()
