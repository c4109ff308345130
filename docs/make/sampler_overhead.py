"""Measure what the looks of `bench memory` cost the program that is looked at, apart from its hooks.

    python docs/make/sampler_overhead.py [--seconds 300] [--window 2] [--held 500] [--workers 2] [--allowance 3]
                                         [--interval 1] [--json FILE]

One program runs twice all the while, both copies on one core and without hooks: the data set of examples/timed_loop.py,
forked workers, and some memory that it holds. From a process of our own, on the other cores, the sampler of `bench
memory` looks at one of them for a window, then at the other; of each such pair of windows it is random which comes
first. Compared is the CPU time per batch, as the scheduler counts it, of the copy that is looked at and the one beside
it, so that what the machine does in a window is done to both, and over both windows, so that what sets the copies
apart cancels out. Batches per second are compared likewise: looks may make a program wait. In windows of 2 s the
sampler looks as often as at the beginning of a run; --window 10 --allowance 0 has it look as in a long one. Exit codes:
0 printed, 2 bad input, 3 could not measure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bench_harness.memory.process_memory import tree_of
from bench_harness.memory.sampler import ALLOWANCE_S, TreeSampler
from bench_harness.statistics.intervals import Ratio, paired_ratio

LOOP = Path(__file__).resolve().parents[2] / "examples" / "timed_loop.py"
CONFIDENCE = 0.95
START_S = 60.0


class CouldNotMeasure(Exception):
    """One line for the user."""


class Window(NamedTuple):
    """What the program did in one window: CPU seconds of its processes, batches, and seconds by the clock."""

    cpu_s: float
    batches: int
    wall_s: float

    def cpu_s_per_batch(self) -> float:
        """Return CPU seconds per batch."""
        return self.cpu_s / self.batches

    def batches_per_s(self) -> float:
        """Return batches per second by the clock."""
        return self.batches / self.wall_s


def loop(counter: Path, workers: int, held_mb: int) -> None:
    """Run the program: count its batches, one byte each, into a file, until it is ended."""
    balls = runpy.run_path(str(LOOP), run_name="loop")["Balls"]
    import torch

    torch.set_num_threads(1)
    held = [f"{number:060d}" for number in range(held_mb * 1000 * 1000 // 128)]
    loader = torch.utils.data.DataLoader(balls(10**9), batch_size=8, num_workers=workers)
    with counter.open("ab", buffering=0) as file:
        for _ in loader:
            file.write(b".")
    print(len(held))


def cpu_s(pids: Sequence[int]) -> float:
    """Return the CPU seconds of all threads of some processes so far."""
    used_ns = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):  # a thread that has ended
                used_ns += int(path.read_text().split()[0])
    return used_ns / 1e9


class Copy(NamedTuple):
    """One of the two programs: its processes, and the file in which it counts its batches."""

    pids: Sequence[int]
    counter: Path

    def so_far(self) -> tuple[float, int]:
        """Return its CPU seconds and batches so far."""
        return cpu_s(self.pids), self.counter.stat().st_size


def window(copies: Sequence[Copy], looked_at: int, seconds: float, sampler: TreeSampler) -> list[Window]:
    """Look at one of the copies for some seconds, and return what each of them did."""
    begin_s, begin = time.monotonic(), [copy.so_far() for copy in copies]
    with sampler.watching(copies[looked_at].pids[0]):
        time.sleep(seconds)
    wall_s, end = time.monotonic() - begin_s, [copy.so_far() for copy in copies]
    return [Window(b[0] - a[0], b[1] - a[1], wall_s) for a, b in zip(begin, end, strict=True)]


def measure(options: argparse.Namespace) -> tuple[list[list[tuple[Window, Window]]], list[TreeSampler]]:
    """Return pairs of windows, each of what went on without looks and with them, and the samplers."""
    chance = random.Random(options.seed)
    core = _leave_a_core(chance)
    pairs: list[list[tuple[Window, Window]]] = []
    samplers: list[TreeSampler] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        copies = [_start(running, Path(folder) / f"batches{number}", core, options) for number in (0, 1)]
        for _ in range(max(2, round(options.seconds / options.window / 2))):
            pairs.append([])
            for looked_at in chance.sample((0, 1), 2):
                samplers.append(TreeSampler(options.interval, options.allowance))
                taken = window(copies, looked_at, options.window, samplers[-1])
                if not all(each.batches and each.cpu_s for each in taken):
                    raise CouldNotMeasure("a program ended, or made no batch in a window: give a longer --window")
                pairs[-1].append((taken[1 - looked_at], taken[looked_at]))
    return pairs, samplers


def _leave_a_core(chance: random.Random) -> int:
    """Choose a core for the programs, and leave it to them."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise CouldNotMeasure("there is one core alone, and the programs need one without the sampler")
    core = chance.choice(cores)
    os.sched_setaffinity(0, set(cores) - {core})
    return core


def _start(running: contextlib.ExitStack, counter: Path, core: int, options: argparse.Namespace) -> Copy:
    command = [sys.executable, __file__, "--loop", str(counter)]
    command += ["--workers", str(options.workers), "--held", str(options.held)]
    process = running.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    running.callback(_end, process)
    os.sched_setaffinity(process.pid, {core})  # before it has begun to import anything
    _wait_for_batches(process, counter)
    return Copy(tree_of(process.pid), counter)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()


def _wait_for_batches(process: subprocess.Popen[str], counter: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while not counter.exists() or counter.stat().st_size < 16:
        if process.poll() is not None or time.monotonic() > deadline_s:
            process.kill()
            said = (process.communicate()[1].strip().splitlines() or ["nothing"])[-1]
            raise CouldNotMeasure(f"the program made no batches: {said}")
        time.sleep(0.1)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, checked."""
    parser = argparse.ArgumentParser(description="Measure what the looks of bench memory cost who is looked at.")
    parser.add_argument("--seconds", type=float, default=300.0, help="to measure for, in all")
    parser.add_argument("--window", type=float, default=2.0, help="seconds of one window")
    parser.add_argument("--held", type=int, default=500, help="MB of strings that the program holds")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--interval", type=float, default=1.0, help="as of bench memory")
    parser.add_argument("--allowance", type=float, default=ALLOWANCE_S, help="as of bench_harness.memory.sampler")
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all windows here")
    parser.add_argument("--loop", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for name in ("seconds", "window", "interval", "workers"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name} must be above 0, not {getattr(options, name)}")
    return options


def main(arguments: Sequence[str]) -> int:
    """Measure and print; return the exit code."""
    options = parsed(arguments)
    if options.loop:
        # Not SIGINT, which is ignored in whatever a shell runs in the background.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            loop(options.loop, options.workers, options.held)
        return 0
    try:
        pairs, samplers = measure(options)
    except CouldNotMeasure as error:
        print(f"sampler_overhead.py: {error}", file=sys.stderr)
        return 3
    measured_s = sum(looked_at.wall_s for pair in pairs for _, looked_at in pair)
    own_s = sum(sampler.cpu_s for sampler in samplers) / measured_s
    full = sum(len(sampler.samples) for sampler in samplers) / measured_s
    print(f"{len(pairs)} pairs of windows of {options.window:g} s, {options.workers} workers; with looks over without:")
    print(f"CPU of the program per batch  {told(over_pairs(pairs, Window.cpu_s_per_batch))}")
    print(f"batches per second            {told(over_pairs(pairs, Window.batches_per_s))}")
    print(f"the sampler itself took {own_s:.4f} s of CPU per second, with {full:.2f} full looks per second")
    if options.json:
        rows = [
            [{"without": without._asdict(), "looked_at": looked_at._asdict()} for without, looked_at in pair]
            for pair in pairs
        ]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def over_pairs(pairs: Sequence[Sequence[tuple[Window, Window]]], of: Callable[[Window], float]) -> Ratio:
    """Return the ratio with looks over without, over pairs of windows in which each copy was looked at once."""
    sides = [[math.prod(of(windows[side]) for windows in pair) ** (1 / len(pair)) for pair in pairs] for side in (0, 1)]
    return paired_ratio(*sides, CONFIDENCE)


def told(ratio: Ratio) -> str:
    """Return a ratio with its interval."""
    return f"{ratio.ratio:.4f} [{ratio.low:.4f}, {ratio.high:.4f}]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
