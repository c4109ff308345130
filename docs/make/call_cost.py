"""Measure what the engines cprofile and monitoring add to the CPU time of code that calls a lot; Python 3.12 or newer.

    python docs/make/call_cost.py [--rounds 15]

In one process and one thread; each round runs each kind of code without an engine and under both, in random order.
Printed are the medians of the rounds' ratios to the plain run, and the range of the middle half. Needs no package: run
it from a checkout by any Python. Exit codes: 0 printed, 2 bad input.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bench_harness.capture.engines import make_engine

ENGINES = ("cprofile", "monitoring")
WORDS = ["carbon", "nitrogen", "oxygen"]


def library_calls() -> None:
    """Call the standard library, which calls Python and C functions."""
    draw = random.Random(0)
    for _ in range(30_000):
        draw.choice(WORDS).upper()


def tiny(number: int) -> int:
    """Do next to nothing."""
    return number + 1


def tiny_functions() -> None:
    """Call an own function that does next to nothing."""
    for number in range(300_000):
        tiny(number)


def longer(number: int) -> int:
    """Take some tens of microseconds, too long to be folded into its caller."""
    for _ in range(1_000):
        number = number * 3 % 1_000_003
    return number


def longer_functions() -> None:
    """Call such a function."""
    for number in range(800):
        longer(number)


KINDS: dict[str, Callable[[], None]] = {
    "calls of the standard library": library_calls,
    "own functions of 50 ns": tiny_functions,
    "own functions of 50 us": longer_functions,
}


def cpu_s(work: Callable[[], None], engine: str | None) -> float:
    """Return what the work takes of the CPU, under an engine or none."""
    running = None if engine is None else make_engine(engine, 0.004)
    if running is not None:
        running.start()
    begin_s = time.process_time()
    work()
    took_s = time.process_time() - begin_s
    if running is not None:
        running.stop()
    return took_s


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what cprofile and monitoring add per call.")
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    if sys.version_info < (3, 12) or rounds < 4:
        print("needs Python 3.12 or newer, and --rounds of at least 4", file=sys.stderr)
        return 2
    print(f"Python {sys.version.split()[0]}, {rounds} rounds; CPU time of that without an engine")
    ratios: dict[tuple[str, str], list[float]] = {(kind, engine): [] for kind in KINDS for engine in ENGINES}
    for _ in range(rounds):
        for kind, work in KINDS.items():
            order: list[str | None] = [None, *ENGINES]
            random.shuffle(order)
            took = {engine: cpu_s(work, engine) for engine in order}
            for engine in ENGINES:
                ratios[kind, engine].append(took[engine] / took[None])
    for (kind, engine), values in ratios.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{kind:32}{engine:12}{middle:6.2f}  [{low:.2f}, {high:.2f}]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
