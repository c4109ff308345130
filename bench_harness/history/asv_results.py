"""Read an asv results folder: the value of a benchmark at a commit, whatever went missing on the way.

asv's own words: null is a benchmark that failed, NaN one that was skipped (NotImplementedError in setup).
"""

import ast
import datetime
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_harness.config import Params
from bench_harness.errors import ConfigError, HarnessError, UsageError
from bench_harness.optional import require


@dataclass(frozen=True)
class Measurement:
    """One value of one benchmark; `value` is None with the reason in `why`."""

    benchmark: str
    params: dict[str, str]
    value: float | None
    unit: str | None
    why: str | None = None


@dataclass(frozen=True)
class Commit:
    """All results files of one commit on one machine (asv writes one per environment)."""

    commit: str
    machine: str
    date: str
    files: tuple[Any, ...]


@dataclass
class AsvResults:
    """The results folder of one asv.conf.json, read once."""

    commits: list[Commit] = field(default_factory=list)
    benchmarks: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    folder: Path = Path()

    @classmethod
    def load(cls, config: Path) -> "AsvResults":
        """Read the results that `config` (asv.conf.json) points to.

        Raises:
            ConfigError: the file is missing or not an asv configuration.
            MissingPackageError: asv is not installed.
        """
        folder = results_folder(config)
        found = cls(folder=folder)
        found.benchmarks = _read_benchmarks(folder, found.warnings)
        found.commits = _read_commits(folder, found.warnings)
        return found

    def machines(self) -> list[str]:
        """Return the machines that have results, the one with the newest commit first."""
        newest = sorted(self.commits, key=lambda commit: commit.date, reverse=True)
        return list(dict.fromkeys(commit.machine for commit in newest))

    def latest(self, machine: str) -> Commit | None:
        """Return the newest commit, by commit date, with results on `machine`."""
        here = [commit for commit in self.commits if commit.machine == machine]
        return max(here, key=lambda commit: commit.date, default=None)

    def at(self, prefix: str, prefer: str | None = None) -> Commit | None:
        """Return the results of the commit that begins with `prefix`, on machine `prefer` if it has them.

        Raises:
            UsageError: two commits begin so.
        """
        matches = [commit for commit in self.commits if commit.commit.startswith(prefix)]
        hashes = sorted({commit.commit for commit in matches})
        if len(hashes) > 1:
            shown = ", ".join(name[:12] for name in hashes)
            raise UsageError(f"commit '{prefix}' could be any of {shown}; give more digits")
        return min(matches, key=lambda commit: (commit.machine != prefer, commit.machine), default=None)

    def values(self, commit: Commit, benchmark: str, params: Params = None) -> list[Measurement]:
        """Return one Measurement per matching parameter combination, at least one (without a value) in all."""
        holding = [file for file in commit.files if benchmark in file.get_all_result_keys()]
        # The environment measured last counts; one in which it failed counts only if it failed in all.
        for file in sorted(holding, key=lambda file: file.started_at.get(benchmark) or 0, reverse=True):
            found = list(self._values_of_file(file, benchmark, params))
            if any(item.value is not None for item in found):
                return found
        if holding:
            return found or [Measurement(benchmark, {}, None, self._unit(benchmark), f"no combination {params!r}")]
        return [Measurement(benchmark, {}, None, self._unit(benchmark), "not measured")]

    def names(self, commit: Commit) -> list[str]:
        """Return the benchmarks that have results at `commit`."""
        return sorted({name for file in commit.files for name in file.get_all_result_keys()})

    def _unit(self, benchmark: str) -> str | None:
        unit = self.benchmarks.get(benchmark, {}).get("unit")
        return unit if isinstance(unit, str) else None

    def _values_of_file(self, file: Any, benchmark: str, params: Params) -> Iterator[Measurement]:
        axes = file.get_result_params(benchmark) or []
        names = param_names(self.benchmarks.get(benchmark, {}), len(axes))
        results = file.get_result_value(benchmark, axes)
        for combination, value in zip(itertools.product(*axes), results, strict=False):
            labels = dict(zip(names, map(param_label, combination), strict=True))
            if matches(labels, params):
                one, why = number(value)
                yield Measurement(benchmark, labels, one, self._unit(benchmark), why)


def results_folder(config: Path) -> Path:
    """Return the results folder that an asv configuration names."""
    if not config.is_file():
        raise ConfigError(f"{config}: no such file; give the asv configuration with --asv-config")
    try:
        loaded = require("asv.config", "asv").Config.load(str(config))
    except HarnessError:
        raise
    except Exception as error:  # asv raises UserError, ValueError, TypeError ... depending on what is wrong
        raise ConfigError(f"{config}: not an asv configuration: {_one_line(error)}") from error
    return config.parent / str(loaded.results_dir)


def matches(labels: dict[str, str], params: Params) -> bool:
    """Tell whether a combination is the one asked for: by name, or by position; None means any."""
    if params is None:
        return True
    if isinstance(params, list):
        return [str(value) for value in params] == list(labels.values())
    return all(labels.get(name) == str(value) for name, value in params.items())


def param_label(text: str) -> str:
    """Return a parameter as a user writes it; asv stores its repr, with quotes."""
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError, RecursionError):
        return text


def param_names(benchmark: dict[str, Any], count: int) -> list[str]:
    """Return the names of a benchmark's parameters; param1, param2, ... where a result has another number of them."""
    # benchmarks.json describes the suite as it is now, an old result may have had other parameters.
    names = benchmark.get("param_names")
    if isinstance(names, list) and len(names) == count:
        return [str(name) for name in names]
    return [f"param{index + 1}" for index in range(count)]


def number(value: Any) -> tuple[float | None, str | None]:
    """Return (value, None), or (None, why) for what asv stores where there is no value."""
    if value is None:
        return None, "failed"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None, f"not a number ({type(value).__name__})"
    if math.isnan(value):
        return None, "skipped"
    return (value, None) if math.isfinite(value) else (None, "infinite")


def _read_benchmarks(folder: Path, warnings: list[str]) -> dict[str, dict[str, Any]]:
    path = folder / "benchmarks.json"
    try:
        document = require("asv.util", "asv").load_json(str(path))
        return {name: item for name, item in document.items() if isinstance(item, dict)}
    except FileNotFoundError:
        problem = "is missing"
    except Exception as error:
        problem = f"cannot be read ({_one_line(error)})"
    if folder.is_dir():
        warnings.append(f"asv's benchmarks.json {problem}: units and parameter names are unknown; run asv check")
    return {}


def _read_commits(folder: Path, warnings: list[str]) -> list[Commit]:
    module = require("asv.results", "asv")
    groups: dict[tuple[str, str], list[Any]] = {}
    for root, name, machine in module.iter_results_paths(str(folder)):
        result = _read_result(module, Path(root) / name, machine, warnings)
        if result is not None:
            groups.setdefault((result.commit_hash, machine), []).append(result)
    return [
        Commit(commit, machine, _iso_date(max(file.date for file in files)), tuple(files))
        for (commit, machine), files in sorted(groups.items())
    ]


def _read_result(module: Any, path: Path, machine: str, warnings: list[str]) -> Any:
    try:
        return module.Results.load(str(path), machine_name=machine)
    except Exception as error:  # a truncated file raises whatever its first missing piece raises
        reason = _one_line(error).replace(str(path.resolve()), path.name)
        warnings.append(f"asv result {machine}/{path.name} left out: {reason}")
        return None


def _iso_date(milliseconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
