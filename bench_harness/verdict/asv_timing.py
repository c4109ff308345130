"""Time the calls of one benchmark as asv does, on two clocks: setup between the calls, garbage collection off in them.

asv_body.py imports this by path, in environments without bench_harness: only the standard library, from Python 3.8 on.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import io
import itertools
import math
import os
import subprocess
import sys
import textwrap
import time
from typing import Any

if __name__ == "asv_timing":
    from asv_clocks import Clocks  # type: ignore[import-not-found]
else:
    from bench_harness.verdict.asv_clocks import Clocks

BODY_S = 0.04  # of one benchmark in one process, warming up included: many short processes tell more than one long one
SAMPLE_S = 0.004
CALIBRATION_S = 0.02
WITH_SETUP_S = 0.2  # what setups between the calls may make of BODY_S
MOST_SAMPLES = 1000


def skipped(benchmark: Any) -> str | None:
    """Run `setup`, and return why the benchmark is skipped with these parameters; None: it is not."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):  # asv_runner only prints the reason
            skip = benchmark.do_setup()
    finally:
        sys.stdout.write(said.getvalue())
    if not skip:
        return None
    reasons = [line for line in said.getvalue().splitlines() if line.startswith("asv: skipped: ")]
    return reasons[-1][len("asv: skipped: ") :].strip() if reasons else "in skip_params"


def sampler_of(benchmark: Any, raw: bool) -> Sampler:
    """Return what takes samples of a time_ or, with `raw`, of a timeraw_ benchmark."""
    build = getattr(benchmark, "_build_params", None)
    parameters = build() if build else benchmark._current_params
    function = functools.partial(benchmark.func, *parameters) if parameters else benchmark.func
    return RawSampler(benchmark, function) if raw else Sampler(benchmark, function)


class Sampler:
    """Takes samples of one benchmark; `body_s` is the wall time of all its calls so far."""

    def __init__(self, benchmark: Any, function: Any) -> None:
        self.benchmark, self.function = benchmark, function
        self.body_s = 0.0
        # asv: where there is a setup, every timed call finds a state that was just set up.
        self.setup_each_call = bool(getattr(benchmark, "_setups", ()))

    def sample(self, calls: int) -> Clocks:
        """Take one sample of so many calls."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            clocks = self._timed(calls)
        finally:
            if collecting:
                gc.enable()
        self.body_s += clocks.wall_s
        return clocks

    def _timed(self, calls: int) -> Clocks:
        clocks, function = Clocks(), self.function
        if self.setup_each_call:
            for _ in range(calls):
                self.benchmark.redo_setup()
                clocks.start()
                function()
                clocks.stop()
            return clocks
        self.benchmark.redo_setup()  # a teardown alone runs between samples, as in asv
        clocks.start()
        for _ in itertools.repeat(None, calls):
            function()
        clocks.stop()
        return clocks

    def plan(self) -> list[int]:
        """Find out how many calls and samples fill BODY_S: [samples to warm up, samples, calls in each]."""
        self.sample(1)  # what the first call finds cold or imports is not what the others cost
        calls = self.benchmark.number or (1 if self.setup_each_call else self._calls())
        costs_s: list[tuple[float, float]] = []
        began = time.perf_counter()
        while not costs_s or time.perf_counter() - began < CALIBRATION_S:
            sample_began = time.perf_counter()
            body_s = _undisturbed_s(self.sample(calls))
            costs_s.append((body_s, time.perf_counter() - sample_began))
        one_s, with_setup_s = (min(each) for each in zip(*costs_s))  # noqa: B905  (Python 3.8)
        samples = int(min(BODY_S / one_s, WITH_SETUP_S / with_setup_s, MOST_SAMPLES))
        warming = max(1, samples // 5)
        return [warming, max(1, samples - warming), calls]

    def _calls(self) -> int:
        """Return how many calls take SAMPLE_S."""
        calls = 1
        while True:
            one_s = _undisturbed_s(self.sample(calls))
            if one_s >= SAMPLE_S:
                return calls
            calls = min(10 * calls, math.ceil(calls * SAMPLE_S / one_s) + 1)

    def values(self, warming: int, samples: int, calls: int) -> dict[str, float]:
        """Return the seconds of one call on each clock.

        CPU time: the mean. Both sides take turns on one core, whose speed is one thing now and another in a moment:
        what they share is the mixture, and a median would show one of the two. Wall time: the median, which one
        interrupted sample does not move.
        """
        for _ in range(warming):
            self.sample(calls)
        taken = [self.sample(calls) for _ in range(samples)]
        return {
            "cpu_s": math.fsum(clocks.cpu_s for clocks in taken) / (calls * len(taken)),
            "wall_s": median([clocks.wall_s / calls for clocks in taken]),
        }


class RawSampler(Sampler):
    """Takes samples of source text that a timeraw_ benchmark returns, each in an interpreter of its own."""

    # It imports no more than asv's own: the text is often an import that is timed.
    TEXT = """
import sys, time, timeit
marks = []
def both():
    if marks:
        marks.append(time.process_time())
        marks.append(time.perf_counter())
    else:
        marks.append(time.perf_counter())
        marks.append(time.process_time())
    return 0.0
timeit.timeit({statement!r}, {setup!r}, both, {calls})
sys.stdout.write("\\n%r %r" % (marks[2] - marks[1], marks[3] - marks[0]))
"""

    def _timed(self, calls: int) -> Clocks:
        source = self.function()
        statement, setup = source if isinstance(source, tuple) else (source, "")
        text = self.TEXT.format(statement=textwrap.dedent(statement), setup=textwrap.dedent(setup), calls=calls)
        done = subprocess.run(
            [sys.executable, "-c", "import sys; exec(sys.stdin.read())"],
            input=text,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, **(getattr(self.benchmark, "_timeraw_env", None) or {})},
        )
        if done.returncode:
            raise RuntimeError(f"the interpreter that ran its text exited with {done.returncode}")
        clocks = Clocks()
        clocks.cpu_s, clocks.wall_s = map(float, done.stdout.splitlines()[-1].split())
        return clocks

    def plan(self) -> list[int]:
        """As above; an interpreter of its own needs no warming up, and few of them must do."""
        calls = self.benchmark.number or 1
        one_s = _undisturbed_s(self.sample(calls))
        return [0, max(1, min(5, int(BODY_S / one_s))), calls]


def _undisturbed_s(clocks: Clocks) -> float:
    """Return what a sample takes on a machine of its own: work of others while calibrating must not cost samples."""
    computes = clocks.cpu_s > clocks.wall_s / 3  # else it waits for something, and wall seconds are what it takes
    taken_s: float = min(clocks.cpu_s, clocks.wall_s) if computes else clocks.wall_s
    return max(taken_s, 1e-9)


def median(values: list[float]) -> float:
    """Return the median."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2
