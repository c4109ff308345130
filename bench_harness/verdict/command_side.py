"""A side that is a command: each way of measuring it runs it once more, in a fresh process."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench_harness.errors import CouldNotMeasureError, UsageError
from bench_harness.memory.sampler import TreeSampler
from bench_harness.verdict import counters
from bench_harness.verdict.metrics import CLOCKS, COUNTERS, UNITS
from bench_harness.verdict.one_run import Ran, run_once
from bench_harness.verdict.own_numbers import VARIABLE, read_own_numbers
from bench_harness.verdict.sides import Key, Taken

PSS_EVERY_S = 0.01
_OF_A_SHELL = {"|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1"}


def parse_command(text: str, *, shell: bool = False) -> list[str]:
    """Return the arguments of a command.

    Raises:
        UsageError: it is empty, or needs a shell that was not asked for.
    """
    if shell:
        return ["/bin/sh", "-c", text]
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no command: {error}") from error
    if not words:
        raise UsageError("an empty command; give one in quotes: --a 'python old.py' --b 'python new.py'")
    signs = [word for word in words if word in _OF_A_SHELL]
    if signs or "=" in words[0]:
        raise UsageError(f"'{signs[0] if signs else words[0]}' in {text!r} needs a shell; add --shell")
    return words


# How to run a command so that it is counted, and how to read the count.
_COUNTING: dict[str, tuple[Callable[[Sequence[str], Path], list[str]], Callable[[Path], int]]] = {
    "instructions": (counters.under_callgrind, counters.read_instructions),
    "calls": (counters.counting_calls, counters.read_calls),
    "allocations": (counters.under_memray, counters.read_allocations),
}


@dataclass
class CommandSide:
    """A command, and what of it is compared.

    Args:
        label: what it is called in messages.
        command: its arguments; the first is a program on $PATH.
        metrics: of UNITS.
        benchmark: name of its numbers; the same on both sides.
        environment: of the command, the whole of it.
        warnings: what was odd about runs that gave numbers; each is there once.
        several_at_once: whether it may run several times at once.
    """

    label: str
    command: Sequence[str]
    metrics: Collection[str] = CLOCKS
    benchmark: str = "command"
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    warnings: list[str] = field(default_factory=list)
    several_at_once: bool = True

    def check(self) -> None:
        """Raise before anything is measured if a counter cannot be had of this command.

        Raises:
            UsageError: it runs no Python, and Python's calls or allocations are asked for.
            MissingPackageError: valgrind is not installed.
        """
        for metric in COUNTERS:
            if metric in self.metrics:
                _COUNTING[metric][0](self.command, Path())

    def measure(self, wanted: Collection[Key] | None, seed: int, timeout_s: float | None) -> Taken:
        """Run the command once per way of measuring that a wanted metric needs.

        What fails only while it is counted has a failure of its own, "NAME METRIC", and the other metrics stand.
        """
        taken = Taken()
        metrics = set(self.metrics) if wanted is None else {key.metric for key in wanted}
        if wanted is None and not metrics & set(CLOCKS):
            self._warm_up(taken, timeout_s)
        for take, served in self._ways():
            # The first way takes what the command tells of itself, whatever that is called.
            needed = metrics & set(served) or (take == self._clocked and metrics - set(UNITS))
            if needed and self.benchmark not in taken.failures:
                self._take(take, served, taken, timeout_s)
        return taken

    def _warm_up(self, taken: Taken, timeout_s: float | None) -> None:
        """Run it as it is: what Python compiles when it is first run would be counted in the first round alone."""
        problem = run_once(self.command, self.environment, timeout_s).problem(timeout_s)
        if problem:
            taken.failures[self.benchmark] = problem

    def _take(
        self,
        take: Callable[[Taken, Path, float | None], None],
        served: Sequence[str],
        taken: Taken,
        timeout_s: float | None,
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="bench-compare-") as folder:
            try:
                take(taken, Path(folder), timeout_s)
            except CouldNotMeasureError as error:
                of = self.benchmark if take == self._clocked else f"{self.benchmark} {served[0]}"
                taken.failures[of] = str(error)

    def _ways(self) -> Iterable[tuple[Callable[[Taken, Path, float | None], None], Sequence[str]]]:
        yield self._clocked, CLOCKS
        yield self._watched, ("peak_pss_bytes",)
        for metric in COUNTERS:
            yield self._counting(metric), (metric,)

    def _clocked(self, taken: Taken, folder: Path, timeout_s: float | None) -> None:
        report = {VARIABLE: str(folder / "report")}
        ran = run_once(self.command, {**self.environment, **report}, timeout_s)
        self._check(ran, timeout_s)
        own = read_own_numbers(folder / "report", self.benchmark)
        values = {self._key("cpu_s"): ran.cpu_s, self._key("wall_s"): ran.wall_s} | own.values
        taken.values |= {key: value for key, value in values.items() if self._is_asked_for(key)}
        self._add_time(taken, ran, own.body_s)

    def _is_asked_for(self, key: Key) -> bool:
        return key.metric in self.metrics or key.metric not in UNITS

    def _watched(self, taken: Taken, folder: Path, timeout_s: float | None) -> None:
        sampler = TreeSampler(PSS_EVERY_S)
        above: list[int] = []

        def watching(pid: int) -> contextlib.AbstractContextManager[None]:
            above.append(pid)
            return sampler.watching(pid)

        ran = run_once(self.command, self.environment, timeout_s, watching)
        self._check(ran, timeout_s)
        sampler.leave_out(above[0])
        held = max((sample.pss_bytes for sample in sampler.samples), default=0)
        if not held:
            raise CouldNotMeasureError("it ended before its memory could be looked at: run it for 50 ms or longer")
        taken.values[self._key("peak_pss_bytes")] = held
        self._add_time(taken, ran, None)

    def _counting(self, metric: str) -> Callable[[Taken, Path, float | None], None]:
        prepare, read = _COUNTING[metric]

        def count(taken: Taken, folder: Path, timeout_s: float | None) -> None:
            # Sets and dicts in another order are other work, and so are names of files that differ from run to run.
            fixed = {name: value for name, value in self.environment.items() if name != VARIABLE}
            ran = run_once(prepare(self.command, folder), {**fixed, "PYTHONHASHSEED": "0"}, timeout_s)
            self._check(ran, timeout_s)
            taken.values[self._key(metric)] = read(folder)
            self._add_time(taken, ran, None)

        return count

    def _check(self, ran: Ran, timeout_s: float | None) -> None:
        problem = ran.problem(timeout_s)
        if problem:
            raise CouldNotMeasureError(problem)
        warning = f"{self.label} left processes running, which were ended after 2 s; their CPU time is counted"
        if ran.killed and warning not in self.warnings:
            self.warnings.append(warning)

    def _key(self, metric: str) -> Key:
        return Key(self.benchmark, (), metric, UNITS[metric], "lower")

    def _add_time(self, taken: Taken, ran: Ran, body_s: float | None) -> None:
        body_s = ran.wall_s if body_s is None else min(body_s, ran.wall_s)
        taken.body_s += body_s
        taken.startup_s += ran.wall_s - body_s
