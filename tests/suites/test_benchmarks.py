"""The asv suites: every one is found, runs here, and is skipped at a commit that lacks its subject."""

from __future__ import annotations

import importlib
import inspect
import itertools
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.timeout(250)

PREFIXES = ("time_", "track_", "peakmem_", "mem_", "timeraw_")


@pytest.fixture(scope="module")
def suites() -> Iterator[dict[str, Any]]:
    """All modules of benchmarks/, imported as asv does: found in the repository, which is not on the path else."""
    root = str(Path(__file__).parents[2])
    sys.path.insert(0, root)
    try:
        package = importlib.import_module("benchmarks")
        yield {
            info.name: importlib.import_module(f"benchmarks.{info.name}")
            for info in pkgutil.iter_modules(package.__path__)
        }
    finally:
        sys.path.remove(root)


def benchmark_classes(suites: dict[str, Any]) -> list[type]:
    return [
        cls
        for module in suites.values()
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__ and any(name.startswith(PREFIXES) for name in dir(cls))
    ]


def test_every_benchmark_carries_the_version_of_the_instruments(suites: dict[str, Any]) -> None:
    import bench_harness

    classes = benchmark_classes(suites)
    assert len(classes) >= 9
    for cls in classes:
        assert cls.version.endswith(f".{bench_harness.__version__}"), cls


def test_no_helper_is_taken_for_a_benchmark(suites: dict[str, Any]) -> None:
    """asv runs every function of that name, at module level too."""
    for module in suites.values():
        stray = [name for name, _ in inspect.getmembers(module, inspect.isfunction) if name.startswith(PREFIXES)]
        assert not stray, (module.__name__, stray)


def test_missing_subjects_skip(suites: dict[str, Any]) -> None:
    from asv_runner.benchmarks.mark import SkipNotImplemented

    for missing in (("bench_core.no_such_module", "x"), ("bench_core.voxels", "no_such_function")):
        with pytest.raises(SkipNotImplemented, match="this commit has no"):
            suites["base"].subject(*missing)


def run_once(cls: type, method: str, parameters: tuple[Any, ...], cache: dict[type, Any]) -> Any:
    instance = cls()
    if hasattr(instance, "setup_cache"):
        if cls not in cache:
            cache[cls] = instance.setup_cache()
        parameters = (cache[cls], *parameters)
    instance.setup(*parameters)
    return getattr(instance, method)(*parameters)


@pytest.mark.slow
def test_every_benchmark_runs(suites: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every combination of parameters but the slowest ones; `track_` must return one finite number.

    asv drops a benchmark that fails from its tables without a word, and a non-scalar breaks `asv publish`.
    """
    monkeypatch.chdir(tmp_path)
    from asv_runner.benchmarks.mark import SkipNotImplemented

    cache: dict[type, Any] = {}
    for cls in benchmark_classes(suites):
        combinations = itertools.product(*getattr(cls, "params", ()))
        for parameters in combinations:
            if {"naive", "filtered"} & set(parameters) and parameters[0] != "21^3 x 0.75 A":
                continue
            for method in (name for name in dir(cls) if name.startswith(PREFIXES)):
                # Instruction sets that this processor lacks are skipped, and nothing else.
                may_skip = cls.__name__ == "Variant" and not {"baseline", "float64"} <= set(parameters)
                try:
                    value = run_once(cls, method, parameters, cache)
                except SkipNotImplemented:
                    if may_skip:
                        continue
                    raise
                if method.startswith("track_"):
                    assert isinstance(value, float), (cls, method)
                    assert np.isfinite(value)


def test_asv_finds_them(repository: Path) -> None:
    """`asv check` imports the suite in a process of its own and validates every benchmark's signature."""
    command = [sys.executable, "-m", "asv", "check", "--environment", f"existing:{sys.executable}"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
