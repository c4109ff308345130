"""Find and read what pytest-benchmark writes: files of --benchmark-json, and the storage of --benchmark-autosave."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_harness.errors import UsageError

STORAGE = ".benchmarks"
STATISTICS = ("median", "min", "mean")
_CORRELATED = (1 + 0.7) / (1 - 0.7)
_CONDITIONS = {  # words, and where the file has it
    "machine": ("node",),
    "processor": ("cpu", "brand_raw"),
    "Python": ("python_version",),
    "interpreter": ("python_implementation",),
    "system": ("system",),
}


@dataclass(frozen=True)
class Benchmark:
    """One benchmark of one file: a statistic of its rounds, its own relative error, and how it was measured."""

    name: str
    params: tuple[tuple[str, str], ...]
    value_s: float
    own_sd: float
    timer: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One file: one process of pytest.

    Args:
        moment: when it was written, as the file says it (ISO 8601).
        conditions: by what they are, in words.
        benchmarks: by full name.
    """

    name: str
    moment: str
    commit: str | None
    conditions: Mapping[str, Any]
    benchmarks: Mapping[str, Benchmark]


def read_runs(base: str, head: str, folder: Path, statistic: str = STATISTICS[0]) -> tuple[list[Run], list[Run]]:
    """Read the files of both sides; each side is a list, separated by commas, of

    - files,
    - folders: every .json file below them,
    - patterns, in quotes: 'base-*.json',
    - numbers or names of the storage, as `pytest-benchmark compare` takes them: 0001, Linux-CPython-3.11-64bit/0001.

    Raises:
        UsageError: nothing is found, a file is no result of pytest-benchmark, or it stands on both sides.
    """
    paths = [find(base, folder), find(head, folder)]
    both = {path.resolve() for path in paths[0]} & {path.resolve() for path in paths[1]}
    if both:
        raise UsageError(f"--pytest: {sorted(both)[0]} stands on both sides")
    a, b = ([read_run(path, statistic) for path in side] for side in paths)
    return a, b


def find(text: str, folder: Path) -> list[Path]:
    """Return the files of one side, each once."""
    found: list[Path] = []
    for part in (part.strip() for part in text.split(",")):
        found += _find_part(part, folder) if part else []
    if not found:
        raise UsageError(f"--pytest {text!r}: expected files, folders or patterns, separated by commas")
    return list(dict.fromkeys(found))


def _find_part(part: str, folder: Path) -> list[Path]:
    path = folder / part
    if path.is_file():
        return [path]
    if path.is_dir():
        return _some(sorted(path.rglob("*.json")), f"--pytest {part}: no .json file in this folder")
    if set("*?[") & set(part):
        pattern = Path(part)
        root, rest = (Path(pattern.anchor), part[len(pattern.anchor) :]) if pattern.is_absolute() else (folder, part)
        return _some(sorted(root.glob(rest)), f"--pytest {part}: no file matches")
    return _stored(part, folder / STORAGE)


def _stored(part: str, storage: Path) -> list[Path]:
    platform, _, name = part.rpartition("/")
    pattern = f"{platform or '*'}/*{name}*.json" if name else ""
    found = [path for path in sorted(storage.glob(pattern)) if _is_named(path.stem, name)] if pattern else []
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(storage)) for path in found[:4])
        raise UsageError(f"--pytest {part}: it could be any of {names} in {storage}; give more of the name")
    return _some(found, f"--pytest {part}: no such file or folder, and no such run in {storage}")


def _is_named(stem: str, name: str) -> bool:
    number, _, rest = stem.partition("_")
    return name in (stem, number, rest) or (name.isdigit() and number.isdigit() and int(name) == int(number))


def _some(found: list[Path], otherwise: str) -> list[Path]:
    if not found:
        raise UsageError(otherwise)
    return found


def read_run(path: Path, statistic: str = STATISTICS[0]) -> Run:
    """Read one file, and of the rounds of each benchmark their median, minimum or mean.

    Raises:
        UsageError: it cannot be read or is no result of pytest-benchmark; names file and field.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"--pytest {path}: cannot be read as JSON: {error}") from error
    try:
        benchmarks = [_benchmark(each, statistic) for each in document["benchmarks"]]
        machine = document["machine_info"]
        return Run(
            name=path.name,
            moment=str(document["datetime"]),
            commit=_commit(document.get("commit_info") or {}),
            conditions={words: _inside(machine, keys) for words, keys in _CONDITIONS.items()},
            benchmarks=dict(benchmarks),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"--pytest {path}: not a result of pytest-benchmark ({said}); see --benchmark-json") from error


def _benchmark(document: Mapping[str, Any], statistic: str) -> tuple[str, Benchmark]:
    full, stats, options = str(document["fullname"]), document["stats"], dict(document["options"])
    value_s = float(stats[statistic])
    if not 0 < value_s < math.inf:
        raise ValueError(f"the {statistic} of {full} is {value_s:g}, not a time; try another --statistic")
    params = document.get("params") or {}
    name = full.partition("[")[0] if params else full
    labels = tuple((str(key), str(value)) for key, value in params.items())
    own_sd = 0.0 if statistic == "min" else _own_error(float(stats["iqr"]), int(stats["rounds"])) / value_s
    return full, Benchmark(name, labels, value_s, own_sd, str(options.get("timer")), options)


def _own_error(iqr_s: float, rounds: int) -> float:
    """Return the standard error of the middle of a process's rounds: 1.2533 sd / sqrt(rounds), sd from the quartiles.

    Rounds that follow each other were correlated by 0.7 on busy machines, so they count as 1 in 5.7 of them; and what
    disturbs a process lasts, so that thousands of short rounds count as no more than 10.
    """
    return 1.2533 * iqr_s / 1.349 / math.sqrt(min(max(rounds / _CORRELATED, 1.0), 10.0))


def _commit(info: Mapping[str, Any]) -> str | None:
    commit = info.get("id")
    return str(commit) if commit and commit != "unversioned" else None


def _inside(document: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document
