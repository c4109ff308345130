"""Both sides at once, on one core of the processor: what the machine does to one of them it does to the other.

Cores are not what they seem: where the other hardware thread of a core works for somebody else, another guest of the
same host for instance, the same code takes one and a half times to twice the CPU time, for some tens of milliseconds or
for minutes. Two processes that run one after the other meet different such moments. Two that share one core take turns
of a few milliseconds, and meet the same ones. On a shared host with two virtual cores that reduced the spread (standard
deviation) of the logarithm of the ratio of a round from 24 % to 5.5 % for a kernel in C and from 33 % to 4.6 % for pure
Python (80 pairs each), of which rounds see the square.

Where a round takes long, for its processes import much before they do what is compared, several rounds at once on as
many cores are more rounds per minute. What one core does to another, it does to both sides of a round.

That holds for CPU time. Wall time would be that of the turns, and memory would count what the two share.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from bench_harness.memory.process_memory import tree_of
from bench_harness.verdict.sides import Key, Side, Taken

METRICS = ("cpu_s",)


def available() -> bool:
    """Whether processes can be kept on one core here."""
    return hasattr(os, "sched_setaffinity")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def is_for(key: Key) -> bool:
    """Whether a number is measured so."""
    return key.metric in METRICS


@dataclass(frozen=True)
class Draw:
    """What is left to chance in a round: the names of the sides, in the order in which they begin, and their seed."""

    order: str
    seed: int


def measure(
    sides: Mapping[str, Side],
    draws: Sequence[Draw],
    wanted: Collection[Key],
    timeout_s: float | None,
    chance: random.Random,
) -> list[dict[str, Taken]]:
    """Measure both sides at once, on a core that is drawn from those of this process.

    Args:
        sides: by name.
        draws: of a round each; no more than there are cores. Several are measured at once, each on a core of its own.
        wanted, timeout_s: as `Side.measure` has them.
        chance: draws the cores.

    Returns:
        For each draw what each side gave, of the numbers that are measured so.
    """
    chosen = chance.sample(sorted(os.sched_getaffinity(0)), len(draws))
    with ThreadPoolExecutor(len(draws) * len(sides), thread_name_prefix="bench-side") as pool:
        running = [
            {name: pool.submit(_on_core, core, sides[name], wanted, draw.seed, timeout_s) for name in draw.order}
            for core, draw in zip(chosen, draws, strict=True)
        ]
        try:
            return [{name: _of_these(each.result()) for name, each in one.items()} for one in running]
        except BaseException:
            _end([each for one in running for each in one.values()])
            raise


def _on_core(core: int, side: Side, wanted: Collection[Key], seed: int, timeout_s: float | None) -> Taken:
    # Of this thread alone, and of what it starts.
    os.sched_setaffinity(0, {core})
    return side.measure(wanted, seed, timeout_s)


def _of_these(taken: Taken) -> Taken:
    taken.values = {key: value for key, value in taken.values.items() if is_for(key)}
    return taken


def _end(running: Collection[Future[Taken]]) -> None:
    """End what the sides run, until their threads have seen it: an interrupt reaches the main thread alone."""
    while any(not each.done() for each in running):
        for pid in tree_of(os.getpid())[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for each in running:
            with contextlib.suppress(BaseException):
                each.result(timeout=0.1)


def seconds(taken: Collection[Taken]) -> tuple[float, float]:
    """Return the wall seconds of bodies and of what is around them, in which both sides were at it."""
    return max(each.body_s for each in taken), max(each.startup_s for each in taken)
