"""How much longer does a program take under `bench profile`, by engine?

examples/timed_loop.py, whose data set is slow in Python, with two forked workers: the wall seconds of its loop and the
CPU seconds of its process and workers in it, as the script itself takes them, over those of a plain run. Imports and
merging are in neither. A round holds a plain run and one of each engine, in random order; ratios are taken within a
round. py-spy works in a process of its own, whose CPU time is in the whole command's alone.

Two short rounds tell a defect, no percents. The figures, with intervals: docs/make/profiling_overhead.py, or

    BENCH_CORE_LONG=1 python -m asv run --bench Overhead --attribute rounds=1 --show-stderr ...
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from asv_runner.benchmarks.mark import SkipNotImplemented

from .base import Suite

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "timed_loop.py"
ENGINES = ["none", "py-spy", "pyinstrument", "cprofile"]
PLAIN = "plain"
RUN_TIMEOUT_S = 300
CLOCKS = ("cpu", "wall", "whole_cpu", "whole_wall")


class Amount(NamedTuple):
    """How much to measure."""

    rounds: int
    batches: int


SHORT = Amount(rounds=2, batches=200)
LONG = Amount(rounds=15, batches=500)


class Times(NamedTuple):
    """Seconds of a run: of its loop, and of the whole command with its imports and what the engine does afterwards."""

    cpu: float
    wall: float
    whole_cpu: float
    whole_wall: float


class Ratio(NamedTuple):
    """A ratio over the rounds: the median, the geometric mean, and the 95 % interval of the latter (Student's t)."""

    median: float
    mean: float
    low: float
    high: float


Contenders = Mapping[str, Sequence[str]]
Rounds = list[dict[str, Times]]


class FailedRun(Exception):
    """A run ended badly, or told no times."""


class Overhead(Suite):
    """Ratios to the plain run, of the medians over rounds; 1 is no overhead."""

    params = (ENGINES,)
    param_names = ("engine",)

    def setup_cache(self) -> dict[str, dict[str, float]]:
        return measured(LONG if os.environ.get("BENCH_CORE_LONG") else SHORT)

    setup_cache.timeout = 1800  # type: ignore[attr-defined]

    def setup(self, ratios: dict[str, dict[str, float]], engine: str) -> None:
        if engine not in ratios:
            raise SkipNotImplemented(f"{engine} is not installed, or there is no torch")
        self.ratios = ratios[engine]

    def track_cpu_ratio_of_loop(self, ratios: dict[str, dict[str, float]], engine: str) -> float:
        return self.ratios["cpu"]

    def track_wall_ratio_of_loop(self, ratios: dict[str, dict[str, float]], engine: str) -> float:
        return self.ratios["wall"]


def measured(amount: Amount) -> dict[str, dict[str, float]]:
    """Return the median ratio of each engine that is installed, by clock; nothing without torch."""
    if importlib.util.find_spec("torch") is None:
        return {}
    contenders = {PLAIN: [sys.executable]} | {engine: profiled(engine) for engine in ENGINES if is_installed(engine)}
    rounds = measure(contenders, amount)
    print(table(rounds), file=sys.stderr)
    return {
        name: {clock: ratio(rounds, name, clock).median for clock in CLOCKS} for name in contenders if name != PLAIN
    }


def is_installed(engine: str) -> bool:
    """Whether an engine can be used here."""
    if engine == "py-spy":
        return Path(sys.executable).with_name(engine).exists() or shutil.which(engine) is not None
    return engine != "pyinstrument" or importlib.util.find_spec(engine) is not None


def profiled(engine: str) -> list[str]:
    """Return the command before a script that profiles it, into a folder that `run_once` provides.

    Besides the engines there is "memory": `bench memory` in place of `bench profile`.
    """
    if engine == "memory":
        return [sys.executable, "-m", "bench_harness", "memory", "--out", "run"]
    return [sys.executable, "-m", "bench_harness", "profile", "--engine", engine, "--out", "run"]


def measure(
    contenders: Contenders,
    amount: Amount,
    *,
    seed: int = 0,
    scripts: Mapping[str, Path] | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Rounds:
    """Run every contender once per round, in random order.

    Args:
        contenders: the command before the script, by name.
        amount: rounds, and batches of each run.
        seed: of the order.
        scripts: what a contender runs, if not examples/timed_loop.py.
        progress: told each run.

    Raises:
        FailedRun: names the contender and says what it printed.
    """
    order = random.Random(seed)
    rounds: Rounds = []
    for number in range(amount.rounds):
        taken: dict[str, Times] = {}
        for name in order.sample(list(contenders), len(contenders)):
            script = (scripts or {}).get(name, SCRIPT)
            taken[name] = run_once(name, [*contenders[name], str(script), *_arguments(name, amount)])
            progress(f"round {number + 1} of {amount.rounds}, {name}: {taken[name].cpu:.2f} s of CPU in the loop")
        rounds.append({name: taken[name] for name in contenders})
    return rounds


def _arguments(name: str, amount: Amount) -> list[str]:
    # `traceml run script --args ...` takes the script's own arguments behind a flag.
    return [*(["--args"] if name.startswith("traceml") else []), "--batches", str(amount.batches)]


def run_once(name: str, command: Sequence[str]) -> Times:
    """Run a command in a new empty folder.

    Raises:
        FailedRun: it failed, or its script told no times.
    """
    with tempfile.TemporaryDirectory() as folder:
        begin_s, begin_cpu_s = time.perf_counter(), _children_cpu_s()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
        whole_cpu_s, whole_s = _children_cpu_s() - begin_cpu_s, time.perf_counter() - begin_s
    told = [line for line in done.stdout.splitlines() if line.startswith('{"wall_s"')]
    if done.returncode or len(told) != 1:
        raise FailedRun(f"{name} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
    loop = json.loads(told[0])
    return Times(loop["cpu_s"], loop["wall_s"], whole_cpu_s, whole_s)


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def ratio(rounds: Rounds, name: str, clock: str, base: str = PLAIN) -> Ratio:
    """Return how many times as long a contender took as `base`; without an interval (nan) from a single round."""
    logs = [math.log(getattr(taken[name], clock) / getattr(taken[base], clock)) for taken in rounds]
    mean = statistics.fmean(logs)
    half = math.nan
    if len(logs) > 1:
        half = _t_95(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(statistics.median(logs)), math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def _t_95(degrees: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, degrees))


def table(rounds: Rounds, bases: Mapping[str, str] | None = None) -> str:
    """Return a table of the ratios; `bases`: what a contender is compared with, if not the plain run."""
    lines = [f"{len(rounds)} rounds; ratio to the plain run: median, geometric mean [95 % interval]"]
    lines.append(f"{'':24}{'CPU of the loop':32}{'wall of the loop':32}whole command, CPU and wall")
    for name in (name for name in rounds[0] if name != PLAIN):
        cells = [ratio(rounds, name, clock, (bases or {}).get(name, PLAIN)) for clock in CLOCKS]
        loop = "".join(f"{f'{r.median:.3f}  {r.mean:.3f} [{r.low:.3f}, {r.high:.3f}]':32}" for r in cells[:2])
        lines.append(f"{name:24}{loop}{cells[2].median:.2f}  {cells[3].median:.2f}")
    plain = (statistics.median(taken[PLAIN].cpu for taken in rounds), [taken[PLAIN].wall for taken in rounds])
    spread = max(plain[1]) / min(plain[1])
    lines.append(f"the plain loop took {plain[0]:.2f} s of CPU; its wall seconds differ by up to {spread:.2f}x")
    return "\n".join(lines)
