"""Measure what the looks of `bench memory` cost the program that is looked at, apart from its hooks.

    python docs/make/sampler_overhead.py [--seconds 300] [--window 2] [--held 500] [--workers 2] [--allowance 3]
                                         [--interval 1] [--json FILE]

One program runs all the while, without hooks: the data set of examples/timed_loop.py, forked workers, and some memory
that it holds. From a process of our own the sampler of `bench memory` looks at it in every other window; of each pair
of neighbours it is random which comes first. Compared is the CPU time per batch of its processes, as the scheduler
counts it, and the batches per second, which the sampler's own use of a core may lower. In windows of 2 s the sampler
looks as often as at the beginning of a run; --window 10 --allowance 0 has it look as in a long one. Exit codes: 0
printed, 2 bad input, 3 could not measure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
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


def window(pids: Sequence[int], counter: Path, seconds: float, sampler: TreeSampler | None) -> Window:
    """Wait for some seconds, looking at the program or not, and return what it did."""
    begin = time.monotonic(), cpu_s(pids), counter.stat().st_size
    if sampler is None:
        time.sleep(seconds)
    else:
        with sampler.watching(pids[0]):
            time.sleep(seconds)
    end = time.monotonic(), cpu_s(pids), counter.stat().st_size
    return Window(end[1] - begin[1], end[2] - begin[2], end[0] - begin[0])


def measure(options: argparse.Namespace) -> tuple[list[tuple[Window, Window]], list[TreeSampler]]:
    """Return the pairs of windows, without and with looks, and the samplers of the latter."""
    pairs, samplers, order = [], [], random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        counter = Path(folder) / "batches"
        command = [sys.executable, __file__, "--loop", str(counter)]
        command += ["--workers", str(options.workers), "--held", str(options.held)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                _wait_for_batches(process, counter)
                pids = tree_of(process.pid)
                for _ in range(max(2, round(options.seconds / options.window / 2))):
                    samplers.append(TreeSampler(options.interval, options.allowance))
                    kinds = [None, samplers[-1]]
                    order.shuffle(kinds)
                    taken = {kind is not None: window(pids, counter, options.window, kind) for kind in kinds}
                    if process.poll() is not None or not all(each.batches for each in taken.values()):
                        raise CouldNotMeasure("the program ended, or made no batch in a window: give a longer --window")
                    pairs.append((taken[False], taken[True]))
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=30)
    return pairs, samplers


def _wait_for_batches(process: subprocess.Popen[str], counter: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while not counter.exists() or counter.stat().st_size < 50:
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
        with contextlib.suppress(KeyboardInterrupt):
            loop(options.loop, options.workers, options.held)
        return 0
    try:
        pairs, samplers = measure(options)
    except CouldNotMeasure as error:
        print(f"sampler_overhead.py: {error}", file=sys.stderr)
        return 3
    without, looked_at = zip(*pairs, strict=True)
    cpu = paired_ratio(
        [each.cpu_s / each.batches for each in without],
        [each.cpu_s / each.batches for each in looked_at],
        CONFIDENCE,
    )
    rate = paired_ratio(
        [each.batches / each.wall_s for each in without],
        [each.batches / each.wall_s for each in looked_at],
        CONFIDENCE,
    )
    own_s = sum(sampler.cpu_s for sampler in samplers) / sum(each.wall_s for each in looked_at)
    full = sum(len(sampler.samples) for sampler in samplers) / sum(each.wall_s for each in looked_at)
    print(f"{len(pairs)} pairs of windows of {options.window:g} s, {options.workers} workers; with looks over without:")
    print(f"CPU of the program per batch  {told(cpu)}")
    print(f"batches per second            {told(rate)}")
    print(f"the sampler itself took {own_s:.4f} s of CPU per second, with {full:.2f} full looks per second")
    if options.json:
        rows = [{"without": one._asdict(), "looked_at": other._asdict()} for one, other in pairs]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def told(ratio: Ratio) -> str:
    """Return a ratio with its interval."""
    return f"{ratio.ratio:.4f} [{ratio.low:.4f}, {ratio.high:.4f}]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
