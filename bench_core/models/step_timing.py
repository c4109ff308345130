"""Seconds of a training step: measured where the time given suffices, else scaled by the work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

FIRST_FLOPS_PER_S = 1e11
"""Assumed before anything was measured: of one slow core."""

SMALL_BATCHES = (2, 6)
"""The batch norm of a network that ends in one voxel takes no single image."""

MEMORY_SHARE = 0.7
MOST_ROUNDS = 5


@dataclass(frozen=True)
class Candidate:
    """A network to be timed.

    Args:
        name: of the network; those of one name are timed in turns, step by step.
        backend: what it is built of.
        build: makes it.
        input_shape: of one example, without the batch.
        fixed_flops: of a training step, whatever the batch: for making filters, or what takes as long.
        flops: of a training step for each example.
        peak_bytes: of a step with so many examples.
    """

    name: str
    backend: str
    build: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    fixed_flops: float
    flops: float
    peak_bytes: Callable[[int], float]


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step with a whole minibatch.

    how: `measured` with that minibatch; `extrapolated` from smaller ones of the same network; `scaled` by the work from
    other networks of the same backend.
    """

    seconds: float
    how: Literal["measured", "extrapolated", "scaled"]


def time_steps(
    candidates: Sequence[Candidate], batch: int, seconds: float, say: Callable[[str], None] = lambda text: None
) -> dict[tuple[str, str], StepTime]:
    """Return {(name, backend): step time} of forward, backward and Adam, within about so many seconds.

    Those with the least work come first, of each backend the one with the least before all others. What is known of
    the speed so far decides whether a network is built, and whether it is given whole minibatches; a step that has
    begun is finished, so that the time may be passed by one. A candidate is missing where nothing of its backend was
    measured.
    """
    session = _Session(batch, time.perf_counter() + seconds, say)
    names = _by_name(candidates)
    for number, same_name in enumerate(names):
        session.measure(same_name, len(names) - number)
    return {
        (candidate.name, candidate.backend): known
        for candidate in candidates
        if (known := session.result(candidate)) is not None
    }


class _Session:
    """What has been measured, and what is left of the time."""

    def __init__(self, batch: int, deadline: float, say: Callable[[str], None]) -> None:
        self._batch = batch
        self._small = sorted({min(small, batch) for small in SMALL_BATCHES})
        self._deadline = deadline
        self._say = say
        self._taken: dict[Candidate, dict[int, float]] = {}  # {batch: seconds of the fastest step}

    def result(self, candidate: Candidate) -> StepTime | None:
        """What is known of a step with a whole minibatch."""
        taken = self._taken.get(candidate)
        if taken is None and all(known.backend != candidate.backend for known in self._taken):
            return None
        how: Literal["extrapolated", "scaled"] = "extrapolated" if taken else "scaled"
        return StepTime(self._expected_s(candidate, self._batch), "measured" if self._batch in (taken or ()) else how)

    def measure(self, candidates: list[Candidate], names_left: int) -> None:
        """Take small steps of each as far as time and memory allow, then whole ones in turns.

        The first whole ones may take half of the time that is left, more of them no more than their share.
        """
        steps = {}
        for candidate in candidates:
            first_s = sum(self._expected_s(candidate, batch) for batch in (self._small[0], *self._small))
            if first_s < self._left_s and self._fits(candidate, self._small[-1]):
                self._say(f"timing {candidate.name}, {candidate.backend}")
                steps[candidate] = step = _Step(candidate)
                step(self._small[0])  # takes new memory, and makes what is made once
                self._taken[candidate] = {batch: step(batch) for batch in self._small}
        whole = [candidate for candidate in steps if self._fits(candidate, self._batch)]
        for turn in range(MOST_ROUNDS):
            share_s = self._left_s / 2 / (names_left if turn else 1)
            if sum(self._expected_s(candidate, self._batch) for candidate in whole) > share_s:
                return
            for candidate in whole:
                seconds, taken = steps[candidate](self._batch), self._taken[candidate]
                taken[self._batch] = min(seconds, taken.get(self._batch, seconds))

    @property
    def _left_s(self) -> float:
        return self._deadline - time.perf_counter()

    def _fits(self, candidate: Candidate, batch: int) -> bool:
        return candidate.peak_bytes(batch) < MEMORY_SHARE * available_bytes()

    def _expected_s(self, candidate: Candidate, batch: int) -> float:
        """Seconds of a step: as measured, on the line through two batches, or by the work."""
        taken = self._taken.get(candidate, {})
        if batch in taken:
            return taken[batch]
        if _rises(taken):
            fixed_s, example_s = _line(taken)
            return fixed_s + example_s * batch
        by_work = self._by_work_s(candidate, batch)
        return by_work * taken[max(taken)] / self._by_work_s(candidate, max(taken)) if taken else by_work

    def _by_work_s(self, candidate: Candidate, batch: int) -> float:
        """By the speed of the same backend, else by a guess."""
        known = {other: taken for other, taken in self._taken.items() if _rises(taken)}
        same = {other: taken for other, taken in known.items() if other.backend == candidate.backend}
        if not same:
            return (candidate.fixed_flops + batch * candidate.flops) / FIRST_FLOPS_PER_S
        lines = [_line(taken) for taken in same.values()]
        per_fixed = sum(fixed_s for fixed_s, _ in lines) / max(1.0, sum(other.fixed_flops for other in same))
        per_example = sum(example_s for _, example_s in lines) / sum(other.flops for other in same)
        return candidate.fixed_flops * per_fixed + batch * candidate.flops * per_example


def _rises(taken: dict[int, float]) -> bool:
    """Whether a larger batch took longer, as it does unless others disturb."""
    return len(taken) > 1 and taken[max(taken)] > taken[min(taken)]


def _line(taken: dict[int, float]) -> tuple[float, float]:
    """Seconds at no example, and for each one, of the line through the smallest and the largest batch."""
    least, most = min(taken), max(taken)
    example_s = (taken[most] - taken[least]) / (most - least)
    return max(0.0, taken[least] - least * example_s), example_s


class _Step:
    """A network in training; called with a batch size it takes a step of random images and returns its seconds."""

    def __init__(self, candidate: Candidate) -> None:
        self._network = candidate.build().train()
        self._input_shape = candidate.input_shape
        self._optimizer = torch.optim.Adam(self._network.parameters())

    def __call__(self, batch: int) -> float:
        images = torch.rand(batch, *self._input_shape)
        start = time.perf_counter()
        self._optimizer.zero_grad()
        self._network(images).square().sum().backward()
        self._optimizer.step()
        return time.perf_counter() - start


def available_bytes() -> int:
    """Memory that may be taken without swapping; without /proc/meminfo what is free."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _by_name(candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    """The candidates of each name together, the least work first; but the first ones have all backends among them."""
    names: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        names.setdefault(candidate.name, []).append(candidate)
    by_work = sorted(names.values(), key=lambda same: min(one.fixed_flops + one.flops for one in same))
    first = {candidate.backend: same for same in reversed(by_work) for candidate in same}
    return sorted(by_work, key=lambda same: same not in first.values())
