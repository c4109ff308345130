"""A side whose environment is the interpreter that runs the tests: quick, and the processes are real ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from asv import util

from bench_harness.verdict.asv_process import list_suite
from bench_harness.verdict.asv_side import AsvSide, Caches
from bench_harness.verdict.asv_suite import listing
from bench_harness.verdict.sides import Key, Taken


class Here:
    """What asv calls an environment, as far as a side needs it."""

    env_vars: dict[str, str] = {}  # noqa: RUF012

    def run(self, arguments: list[str], **options: Any) -> Any:
        return util.check_output([sys.executable, *arguments], **options)


def start(arguments: list[str], cwd: str) -> subprocess.Popen[bytes]:
    started: subprocess.Popen[bytes] = Here().run(arguments, cwd=cwd, redirect_stderr=True, return_popen=True)
    return started


def write_suite(folder: Path, **modules: str) -> Path:
    """Write the modules of a suite, return its folder."""
    suite = folder / "suite"
    suite.mkdir(exist_ok=True)
    (suite / "__init__.py").touch()
    for name, text in modules.items():
        (suite / f"{name}.py").write_text(text)
    return suite


def side_of(
    suite: Path,
    bench: str | None = None,
    plans: dict[str, list[int]] | None = None,
    timeout_s: float = 60.0,
    metrics: Sequence[str] = (),
) -> AsvSide:
    """Return a side with all benchmarks of the suite."""
    conf = SimpleNamespace(benchmark_dir=str(suite), default_benchmark_timeout=timeout_s)
    own = listing(list_suite(start, str(suite)), conf, bench, metrics)
    return AsvSide("here", start, str(suite), Caches(Here(), str(suite)), {} if plans is None else plans, own)


def by_title(taken: Taken) -> dict[str, dict[str, float]]:
    """Return the values as {title: {metric: value}}."""
    found: dict[str, dict[str, float]] = {}
    for key, value in taken.values.items():
        found.setdefault(key.title, {})[key.metric] = value
    return found


def keys_of(side: AsvSide, title: str) -> tuple[Key, ...]:
    return side.own.benchmarks[title].keys
