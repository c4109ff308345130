"""The user's `[tool.bench_harness]` in pyproject.toml; unknown keys are errors that name the nearest known one."""

import dataclasses
import importlib
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_harness.errors import ConfigError

Params = Mapping[str, Any] | list[Any] | None


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
class Config:
    """`[tool.bench_harness]`: `profiles` is the folder of all runs, relative to the pyproject.toml."""

    profiles: Path = Path("profiles")
    summary: SummaryConfig = field(default_factory=SummaryConfig)
    profile: ProfileConfig = field(default_factory=ProfileConfig)


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
    tool = _read_toml(path).get("tool", {})
    table = tool.get("bench_harness", {}) if isinstance(tool, dict) else {}
    where = f"{path}: [tool.bench_harness]"
    _check_keys(table, _names(Config), where)
    profiles = table.get("profiles", "profiles")
    if not isinstance(profiles, str):
        raise ConfigError(f"{where} profiles = {profiles!r}, expected a folder name in quotes")
    summary = _summary(table.get("summary", {}), f"{path}: [tool.bench_harness.summary]")
    profile = _profile(table.get("profile", {}), f"{path}: [tool.bench_harness.profile]", path.parent)
    return Config(profiles=path.parent / profiles, summary=summary, profile=profile)


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
