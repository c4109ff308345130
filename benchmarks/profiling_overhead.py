"""How much longer does a program take under `bench profile`, by engine?

examples/timed_loop.py, whose data set is slow in Python, with two forked workers: the wall seconds of its loop and the
CPU seconds of its process and workers in it, as the script itself takes them, over those of a plain run. Imports and
merging are in neither. py-spy works in a process of its own, whose CPU time is in the whole command's alone.

CPU time is taken of an engine's run and a plain one at once, both on one core, as `bench compare` does it and for the
same reason (docs/compare.md, "Abreast"); wall seconds, and those of whole commands, of runs one after another, a plain
one and one of each engine per round. Both in random order; ratios are taken within a round.

Two short rounds tell a defect, no percents. The figures, with intervals: docs/make/profiling_overhead.py, or

    BENCH_CORE_LONG=1 python -m asv run --bench Overhead --attribute rounds=1 --show-stderr ...
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

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


class Pair(NamedTuple):
    """Times of a run, and of the one that it is compared with."""

    own: Times
    base: Times


class Ratio(NamedTuple):
    """A ratio over the rounds: the median, the geometric mean, and the 95 % interval of the latter (Student's t)."""

    median: float
    mean: float
    low: float
    high: float


Contenders = Mapping[str, Sequence[str]]
Rounds = list[dict[str, Pair]]  # by contender, plain ones excepted


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
    found: dict[str, dict[str, float]] = {name: {} for name in contenders if name != PLAIN}
    for abreast in (False, True) if can_be_abreast() else (False,):
        rounds = measure(contenders, amount, abreast=abreast)
        print(table(rounds, abreast), file=sys.stderr)
        for name, ratios in found.items():
            ratios |= {clock: ratio(rounds, name, clock).median for clock in clocks(abreast)}
    return found


def can_be_abreast() -> bool:
    """Whether processes can be kept on one core here."""
    return hasattr(os, "sched_setaffinity")


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
    bases: Mapping[str, str] | None = None,
    abreast: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> Rounds:
    """Run every contender once per round, in random order.

    Args:
        contenders: the command before the script, by name.
        amount: rounds, and batches of each run.
        seed: of the order.
        scripts: what a contender runs, if not examples/timed_loop.py.
        bases: what a contender is compared with, if not the plain run.
        abreast: run each with its base at once, both on one core. CPU times alone are worth something then.
        progress: told each run.

    Returns:
        Of each round the times of every contender and its base, by contender; bases have none of their own.

    Raises:
        FailedRun: names the contender and says what it printed.
    """
    chance = random.Random(seed)

    def run(name: str) -> Times:
        script = (scripts or {}).get(name, SCRIPT)
        return run_once(name, [*contenders[name], str(script), *_arguments(name, amount)])

    base_of = {name: (bases or {}).get(name, PLAIN) for name in contenders}
    compared = [name for name in contenders if name not in base_of.values()]
    rounds: Rounds = []
    for number in range(amount.rounds):
        alone: dict[str, Times] = {}
        pairs: dict[str, Pair] = {}
        names = compared if abreast else list(contenders)
        for name in chance.sample(names, len(names)):
            if abreast:
                pairs[name] = _at_once(run, name, base_of[name], chance)
            else:
                alone[name] = run(name)
            cpu_s = pairs[name].own.cpu if abreast else alone[name].cpu
            progress(f"round {number + 1} of {amount.rounds}, {name}: {cpu_s:.2f} s of CPU in the loop")
        rounds.append({name: pairs.get(name) or Pair(alone[name], alone[base_of[name]]) for name in compared})
    return rounds


def _at_once(run: Callable[[str], Times], name: str, base: str, chance: random.Random) -> Pair:
    core = chance.choice(sorted(os.sched_getaffinity(0)))

    def pinned(name: str) -> Times:
        os.sched_setaffinity(0, {core})  # of this thread alone, and of what it starts
        return run(name)

    with ThreadPoolExecutor(2) as pool:
        running = {one: pool.submit(pinned, one) for one in chance.sample([name, base], 2)}
        return Pair(running[name].result(), running[base].result())


def _arguments(name: str, amount: Amount) -> list[str]:
    # `traceml run script --args ...` takes the script's own arguments behind a flag.
    return [*(["--args"] if name.startswith("traceml") else []), "--batches", str(amount.batches)]


def run_once(name: str, command: Sequence[str]) -> Times:
    """Run a command in a new empty folder.

    Raises:
        FailedRun: it failed, or its script told no times.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        begin_s = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err)
        deadline = threading.Timer(RUN_TIMEOUT_S, process.kill)
        deadline.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)  # of this child and its children: others may run beside it
        except BaseException:
            process.kill()
            raise
        finally:
            deadline.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        whole_s = time.perf_counter() - begin_s
        printed, complaints = (_text(file) for file in (out, err))
    told = [line for line in printed.splitlines() if line.startswith('{"wall_s"')]
    if process.returncode or len(told) != 1:
        raise FailedRun(f"{name} ended with {process.returncode}: {(complaints or printed).strip()[-500:]}")
    loop = json.loads(told[0])
    return Times(loop["cpu_s"], loop["wall_s"], usage.ru_utime + usage.ru_stime, whole_s)


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def ratio(rounds: Rounds, name: str, clock: str, over: str | None = None) -> Ratio:
    """Return how many times as long a contender took as its base; without an interval (nan) from a single round.

    `over`: another contender, whose own ratio to the base is taken out.
    """
    logs = [_log_ratio(taken[name], clock) - (_log_ratio(taken[over], clock) if over else 0.0) for taken in rounds]
    mean = statistics.fmean(logs)
    half = math.nan
    if len(logs) > 1:
        half = _t_95(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(statistics.median(logs)), math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def _log_ratio(pair: Pair, clock: str) -> float:
    return math.log(getattr(pair.own, clock) / getattr(pair.base, clock))


def clocks(abreast: bool) -> Sequence[str]:
    """Return the clocks whose times are worth something: of runs that shared a core, CPU time of the loop alone."""
    return CLOCKS[:1] if abreast else CLOCKS


def _t_95(degrees: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, degrees))


def table(rounds: Rounds, abreast: bool) -> str:
    """Return a table of the ratios."""
    how = "each beside its base on one core" if abreast else "one run after another"
    lines = [f"{len(rounds)} rounds, {how}; ratio to the plain run: median, geometric mean [95 % interval]"]
    rest = "" if abreast else f"{'wall of the loop':32}whole command, CPU and wall"
    lines.append(f"{'':24}{'CPU of the loop':32}{rest}".rstrip())
    for name in rounds[0]:
        cells = [ratio(rounds, name, clock) for clock in clocks(abreast)]
        loop = "".join(f"{f'{r.median:.3f}  {r.mean:.3f} [{r.low:.3f}, {r.high:.3f}]':32}" for r in cells[:2])
        lines.append(f"{name:24}{loop}{'  '.join(f'{r.median:.2f}' for r in cells[2:])}".rstrip())
    plain = [pair.base for taken in rounds for pair in taken.values()]
    told = f"the plain loop took {statistics.median(each.cpu for each in plain):.2f} s of CPU"
    if not abreast:
        told += f"; its wall seconds differ by up to {max(e.wall for e in plain) / min(e.wall for e in plain):.2f}x"
    return "\n".join([*lines, told])
