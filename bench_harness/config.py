"""The user's `[tool.bench_harness]` in pyproject.toml; unknown keys are errors that name the nearest known one."""

import dataclasses
import importlib
import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from bench_harness.errors import ConfigError

Params = Mapping[str, Any] | list[Any] | None
BETTER = ("lower", "higher")


@dataclass(frozen=True)
class Shown:
    """A benchmark to show: under which label, and which of its parameter combinations (None: all)."""

    label: str
    benchmark: str
    params: Params = None


@dataclass(frozen=True)
class SummaryConfig:
    """`[tool.bench_harness.summary]`: what `bench summary` shows; `landmarks` maps a label to a commit."""

    headlines: tuple[Shown, ...] = ()
    history: tuple[Shown, ...] = ()
    landmarks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProfileConfig:
    """`[tool.bench_harness.profile]`: what is the own library, and what logs.

    Args:
        roots: files and folders of the own library, relative to the pyproject.toml; none: all that is not installed.
        log_functions: functions whose calls are log events besides the known ones, as module/file.py:function.
    """

    roots: tuple[Path, ...] = ()
    log_functions: tuple[str, ...] = ()


@dataclass(frozen=True)
class BenchmarkRule:
    """One of `[[tool.bench_harness.rules]]`: what counts as worse for the benchmarks that it fits.

    Args:
        benchmark: a regular expression, searched in the benchmark's name, alone and as "name(parameter, ...)".
        metric: a pattern of the shell for the metric's name: *_bytes.
        effect: the smallest relative change that matters, 0.05 for "5%"; None: what the command takes by default.
        better: "lower" or "higher"; None: what the benchmark itself says, else lower.
        gate: whether a regression fails the run; False: it is reported only.
        number: its place in the array, from 1; 0 is the rule of benchmarks that no rule fits.
    """

    benchmark: str = ""
    metric: str = "*"
    effect: float | None = None
    better: str | None = None
    gate: bool = True
    number: int = 0

    def fits(self, benchmark: str, metric: str, params: Iterable[str] = ()) -> bool:
        """Tell whether the rule is about this metric of this benchmark."""
        names = (benchmark, f"{benchmark}({', '.join(params)})")
        return fnmatchcase(metric, self.metric) and any(re.search(self.benchmark, name) for name in names)


@dataclass(frozen=True)
class Config:
    """`[tool.bench_harness]`: `profiles` is the folder of all runs, relative to the pyproject.toml."""

    profiles: Path = Path("profiles")
    summary: SummaryConfig = field(default_factory=SummaryConfig)
    profile: ProfileConfig = field(default_factory=ProfileConfig)
    rules: tuple[BenchmarkRule, ...] = ()

    def rule_for(self, benchmark: str, metric: str, params: Iterable[str] = ()) -> BenchmarkRule:
        """Return the first rule that fits, or the default one (number 0), whose effect is None."""
        params = tuple(params)
        return next((rule for rule in self.rules if rule.fits(benchmark, metric, params)), BenchmarkRule())


def find_pyproject(start: Path) -> Path | None:
    """Return the pyproject.toml in `start` or the nearest folder above it."""
    folders = [start.resolve(), *start.resolve().parents]
    return next((path for folder in folders if (path := folder / "pyproject.toml").is_file()), None)


def load_config(start: Path = Path()) -> Config:
    """Read the configuration that holds in folder `start`; no pyproject.toml or no table means the defaults.

    Raises:
        ConfigError: one line that names the file and the key.
    """
    path = find_pyproject(start)
    if path is None:
        return Config()
    found = find_tool_table(path)
    table = {} if found is None else found
    where = f"{path}: [tool.bench_harness]"
    _check_keys(table, _names(Config), where)
    profiles = table.get("profiles", "profiles")
    if not isinstance(profiles, str):
        raise ConfigError(f"{where} profiles = {profiles!r}, expected a folder name in quotes")
    summary = _summary(table.get("summary", {}), f"{path}: [tool.bench_harness.summary]")
    profile = _profile(table.get("profile", {}), f"{path}: [tool.bench_harness.profile]", path.parent)
    rules = _rules(table.get("rules", []), f"{path}: [[tool.bench_harness.rules]]")
    return Config(profiles=path.parent / profiles, summary=summary, profile=profile, rules=rules)


def find_tool_table(pyproject: Path) -> Any:
    """Return what [tool.bench_harness] of a pyproject.toml holds, None where there is none.

    Raises:
        ConfigError: it cannot be read, or is not valid TOML.
    """
    tool = _read_toml(pyproject).get("tool", {})
    return tool.get("bench_harness") if isinstance(tool, dict) else None


def _summary(table: Any, where: str) -> SummaryConfig:
    _check_keys(table, _names(SummaryConfig), where)
    landmarks = table.get("landmarks", {})
    if not isinstance(landmarks, dict):
        raise ConfigError(f'{where} landmarks = {landmarks!r}, expected a table of label = "commit"')
    for label, commit in landmarks.items():
        if not isinstance(commit, str) or not re.fullmatch(r"[0-9a-f]{4,40}", commit):
            raise ConfigError(f"{where} landmarks.{label} = {commit!r}, expected 4 to 40 hex digits of a commit")
    return SummaryConfig(_shown(table, "headlines", where), _shown(table, "history", where), landmarks)


def _profile(table: Any, where: str, folder: Path) -> ProfileConfig:
    _check_keys(table, _names(ProfileConfig), where)
    roots = tuple(folder / root for root in _strings(table, "roots", where, "folders or files"))
    log_functions = _strings(table, "log_functions", where, "module/file.py:function")
    for each in log_functions:
        if not re.fullmatch(r"[^:]+\.py:\w+", each):
            raise ConfigError(f"{where} log_functions: {each!r}, expected module/file.py:function")
    return ProfileConfig(roots, log_functions)


def _rules(items: Any, where: str) -> tuple[BenchmarkRule, ...]:
    if not isinstance(items, list):
        raise ConfigError(f"{where} is {items!r}, expected an array of tables, each under [[tool.bench_harness.rules]]")
    return tuple(_rule(item, number, f"{where} {number}:") for number, item in enumerate(items, start=1))


def _rule(table: Any, number: int, where: str) -> BenchmarkRule:
    _check_keys(table, [name for name in _names(BenchmarkRule) if name != "number"], where)
    for key in ("benchmark", "metric"):
        if not isinstance(table.get(key, ""), str):
            raise ConfigError(f"{where} {key} = {table[key]!r}, expected a string in quotes")
    try:
        re.compile(table.get("benchmark", ""))
        effect = parse_effect(table["effect"]) if "effect" in table else None
    except re.error as error:
        raise ConfigError(f"{where} benchmark = {table['benchmark']!r}, not a regular expression: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{where} effect = {error}") from error
    better = table.get("better")
    if better not in (None, "lower", "higher"):
        raise ConfigError(f"{where} better = {better!r}, expected 'lower' or 'higher'; {nearest(str(better), BETTER)}")
    if not isinstance(table.get("gate", True), bool):
        raise ConfigError(f"{where} gate = {table['gate']!r}, expected true or false")
    return BenchmarkRule(**{**table, "effect": effect, "number": number})


def parse_effect(given: Any) -> float:
    """Return a relative change as a number: "5%" and 0.05 are both 0.05.

    Raises:
        ValueError: what was given, and what is expected.
    """
    text = str(given).strip()
    percent = text.endswith("%")
    try:
        value = float(text.removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    # 5 without a sign may have been meant as a percentage or as a factor.
    if isinstance(given, bool) or not 0 < value <= (10 if percent else 0.999999):
        raise ValueError(f"{given!r}, expected a percentage such as '5%', or a fraction such as 0.05")
    return value


def _strings(table: Mapping[str, Any], key: str, where: str, what: str) -> tuple[str, ...]:
    items = table.get(key, [])
    if not isinstance(items, list) or not all(isinstance(item, str) and item for item in items):
        raise ConfigError(f"{where} {key} = {items!r}, expected a list of {what}, each in quotes")
    return tuple(items)


def _shown(table: Mapping[str, Any], key: str, where: str) -> tuple[Shown, ...]:
    items = table.get(key, [])
    if not isinstance(items, list):
        raise ConfigError(f"{where} {key} = {items!r}, expected a list of {{label = ..., benchmark = ...}}")
    return tuple(_one_shown(item, f"{where} {key}[{index}]") for index, item in enumerate(items))


def _one_shown(item: Any, where: str) -> Shown:
    _check_keys(item, _names(Shown), where)
    for key in ("label", "benchmark"):
        if not isinstance(item.get(key), str):
            raise ConfigError(f"{where} {key} = {item.get(key)!r}, expected a string in quotes")
    params = item.get("params")
    if not isinstance(params, (dict, list, type(None))):
        raise ConfigError(f"{where} params = {params!r}, expected {{name = value}} or a list in the benchmark's order")
    return Shown(item["label"], item["benchmark"], params)


def _names(cls: type) -> list[str]:
    return [item.name for item in dataclasses.fields(cls)]


def _check_keys(table: Any, known: Iterable[str], where: str) -> None:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is {table!r}, expected a table with keys {', '.join(known)}")
    for key in table:
        if key not in known:
            raise ConfigError(f"{where} has no key '{key}'; {nearest(key, known)}")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return 'did you mean X?' or, where nothing is near, the list of what exists."""
    import difflib

    known = list(known)
    matches = difflib.get_close_matches(word, known, n=1)
    return f"did you mean '{matches[0]}'?" if matches else f"known: {', '.join(known) or 'none'}"


def _read_toml(path: Path) -> dict[str, Any]:
    # By name, because tomllib exists from Python 3.11 on and tomli is installed only below it.
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        document: dict[str, Any] = toml.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    return document
