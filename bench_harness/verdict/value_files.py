"""`bench compare --values FILE`: numbers that are not times, such as an accuracy or a loss over seeds.

A CSV with a header, or a JSON list of objects, one value each:

side       a or base, b or head
benchmark  what was measured
metric     accuracy, loss, ...
value      the number; empty or nan where there is none, as of a run that diverged
seed       (or `round`) what the value of the other side belongs to; without it the sides are not paired
unit       optional
better     "lower" or "higher"; may be left out for times and bytes, and where the configuration has a rule that says it
others     parameters of the benchmark, for example `at` with "60 s" or "1000 steps"
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_harness.errors import NothingMeasuredError, UsageError
from bench_harness.verdict.changes import is_number
from bench_harness.verdict.fixed import Measured, Source
from bench_harness.verdict.sides import Key

_SIDES = {"a": "a", "base": "a", "b": "b", "head": "b"}
_NEEDED = ("side", "benchmark", "metric", "value")
_TOGETHER = ("seed", "round")
_KNOWN = {*_NEEDED, *_TOGETHER, "unit", "better"}
_LOWER_IS_BETTER = {"s", "ms", "us", "ns", "seconds", "bytes", "B", "KiB", "MiB", "GiB", "kB", "MB", "GB"}


@dataclass(frozen=True)
class _Row:
    """One value and where it stands: FILE:LINE, or the place in a JSON list."""

    where: str
    side: str
    key: Key
    seed: str | None
    value: float | None


Rows = list[tuple[str, dict[str, str]]]


def read_values(path: Path, better_of: Callable[[Key], str | None]) -> Source:
    """Read a file of values.

    Args:
        better_of: what the configuration says of a number whose file does not say whether lower or higher is better.

    Raises:
        UsageError: it cannot be read, or a row is wrong; names file and line, and what was expected.
        NothingMeasuredError: no number has values on both sides.
    """
    rows = [_row(where, cells, better_of) for where, cells in _cells(path)]
    if not rows:
        raise NothingMeasuredError(f"{path}: no values below the header")
    _refuse_twice(rows)
    source = Source(base={"commit": None, "label": f"{path}, a"}, head={"commit": None, "label": f"{path}, b"})
    source.certificate = {"source": "values", "files": [str(path)], "values": len(rows)}
    for key in dict.fromkeys(row.key for row in rows):
        _add(source, key, [row for row in rows if row.key == key])
    if not source.measured and not source.failures:
        raise NothingMeasuredError(f"{path}: {'; '.join(source.warnings)}")
    return source


def _cells(path: Path) -> Rows:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"--values {path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--values {path}: cannot be read: {error}") from error
    rows = list(_of_json(path, text) if path.suffix.lower() == ".json" else _of_csv(path, text))
    for where, cells in rows[:1]:
        missing = [name for name in _NEEDED if name not in cells]
        if missing:
            raise UsageError(f"{where}: no {', '.join(missing)}; it takes {', '.join(_NEEDED)}, and seed to pair by")
    return rows


def _of_csv(path: Path, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if len(set(header)) < len(header):
            raise UsageError(f"{path}:1: a column stands there twice: {', '.join(header)}")
        for name in _NEEDED:
            if name not in header:
                raise UsageError(f"{path}:1: no column {name}; it takes {', '.join(_NEEDED)}, and seed to pair by")
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise UsageError(f"{where}: {len(cells)} cells where the header has {len(header)}")
            yield where, dict(zip(header, (cell.strip() for cell in cells), strict=True))
    except csv.Error as error:
        raise UsageError(f"{path}:{reader.line_num}: not CSV: {error}") from error


def _of_json(path: Path, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON: {error}") from error
    rows = document.get("values") if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise UsageError(f'{path}: expected a list of objects, or {{"values": [...]}}')
    for index, row in enumerate(rows):
        where = f"{path}: values[{index}]"
        if not isinstance(row, dict) or any(isinstance(cell, (list, dict)) for cell in row.values()):
            raise UsageError(f"{where}: expected an object with {', '.join(_NEEDED)}")
        yield where, {name: "" if cell is None else str(cell) for name, cell in row.items()}


def _row(where: str, cells: Mapping[str, str], better_of: Callable[[Key], str | None]) -> _Row:
    side = _SIDES.get(cells.get("side", "").lower())
    if side is None:
        raise UsageError(f"{where}: side {cells.get('side', '')!r}: expected a or base, b or head")
    for name in ("benchmark", "metric"):
        if not cells.get(name):
            raise UsageError(f"{where}: {name} is empty: expected its name")
    params = tuple((name, cell) for name, cell in cells.items() if name not in _KNOWN and cell)
    key = Key(cells["benchmark"], params, cells["metric"], cells.get("unit", ""), cells.get("better", ""))
    key = Key(key.benchmark, key.params, key.metric, key.unit, _better(where, key, better_of))
    seeds = [cells[name] for name in _TOGETHER if cells.get(name)]
    return _Row(where, side, key, " ".join(seeds) or None, _number(where, cells.get("value", "")))


def _better(where: str, key: Key, better_of: Callable[[Key], str | None]) -> str:
    better = key.better or better_of(key) or ("lower" if key.unit in _LOWER_IS_BETTER else "")
    if better not in ("lower", "higher"):
        said = f"better {better!r}" if better else f"nothing says which {key.metric} is better"
        raise UsageError(f"{where}: {said}: expected a column better (lower or higher), or a rule in pyproject.toml")
    return better


def _number(where: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"{where}: value {text!r}: expected a number, or nothing where there is none") from None
    return value if is_number(value) else None


def _refuse_twice(rows: list[_Row]) -> None:
    seen: dict[Any, _Row] = {}
    for row in rows:
        if row.seed is None:
            continue
        first = seen.setdefault((row.side, row.key, row.seed), row)
        if first is not row:
            same = f"seed {row.seed} of side {row.side} of {row.key.title} {row.key.metric}"
            raise UsageError(f"{row.where}: {same} stands at {first.where} already")


def _add(source: Source, key: Key, rows: list[_Row]) -> None:
    """Pair what belongs together, and say what has no other side or no number."""
    a, b = ([row for row in rows if row.side == side] for side in ("a", "b"))
    name = f"{key.title} {key.metric}"
    if not a or not b:
        source.warnings.append(f"{name}: {'head' if a else 'base'} has no value")
        return
    failures = _failures(a, b)
    if failures:
        source.failures[key] = failures
        return
    seeds = [[row.seed for row in side] for side in (a, b)]
    paired = None not in seeds[0] and set(seeds[0]) == set(seeds[1])
    if not paired and None not in (*seeds[0], *seeds[1]):
        source.warnings.append(f"{name}: base and head have different seeds, so they are not paired")
    values = _paired_values(a, b) if paired else (_numbers(a), _numbers(b))
    left_out = len(a) + len(b) - len(values[0]) - len(values[1])
    if left_out:
        source.warnings.append(f"{name}: {left_out} values left out, for want of a number there or of the same seed")
    each = "values" if None in seeds[0] else "seeds"
    source.measured.append(Measured(key, *values, paired=paired, each=each))


def _failures(a: list[_Row], b: list[_Row]) -> dict[str, str]:
    """Return the sides that cannot be judged: one without any number, and a head that lost more of them than base."""
    lost = [[row for row in side if row.value is None] for side in (a, b)]
    bad = {"a": len(lost[0]) == len(a), "b": len(lost[1]) == len(b) or len(lost[1]) > len(lost[0])}
    words = {}
    for side, rows, without in zip("ab", (a, b), lost, strict=True):
        if bad[side]:
            places = ", ".join(f"seed {row.seed}" if row.seed else row.where for row in without[:5])
            words[side] = f"{len(without)} of {len(rows)} values are no numbers ({places})"
    return words


def _paired_values(a: list[_Row], b: list[_Row]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    of_head = {row.seed: row.value for row in b}
    both = [(row.value, of_head[row.seed]) for row in a]
    kept = [(x, y) for x, y in both if x is not None and y is not None]
    return tuple(x for x, _ in kept), tuple(y for _, y in kept)


def _numbers(rows: list[_Row]) -> tuple[float, ...]:
    return tuple(row.value for row in rows if row.value is not None)
