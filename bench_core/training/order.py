"""Which examples make up which batch: a pure function of (seed, epoch, step), so that a run can be resumed exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from bench_core.errors import RunError


class BatchOrder:
    """Batches of the indices 0..size-1, shuffled anew in each epoch; what does not fill a batch waits for the next.

    With several ranks each takes every `ranks`-th index of the batch, so that a step sees the same examples however
    many processes share it.
    """

    def __init__(
        self, size: int, batch_size: int, seed: int = 0, *, shuffle: bool = True, rank: int = 0, ranks: int = 1
    ) -> None:
        """Order `size` examples.

        Raises:
            RunError: a shuffled epoch that fills no batch, or a batch that the ranks cannot share evenly.
        """
        if shuffle and size < batch_size:
            raise RunError(f"{size} examples fill no batch of {batch_size}: use a smaller --batch-size")
        if shuffle and batch_size % ranks:
            raise RunError(f"a batch of {batch_size} cannot be shared by {ranks} devices: use a multiple of {ranks}")
        if size < ranks:
            raise RunError(f"{size} held-out examples cannot be shared by {ranks} devices: use a larger --val-size")
        self.size, self.batch_size, self.seed, self.shuffle = size, batch_size, seed, shuffle
        self.rank, self.ranks = rank, ranks

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch, of each rank; the last one is whole where they are shuffled.

        Else it is what is left, or that and the one before where what is left does not give every rank an example.
        """
        whole, left = divmod(self.size, self.batch_size)
        return whole if self.shuffle or (whole and left < self.ranks) else whole + 1

    def batches(self, epoch: int, first: int = 0) -> Iterator[list[int]]:
        """Yield this rank's part of each batch of an epoch, from batch `first` on."""
        order = np.random.default_rng((self.seed, epoch)).permutation(self.size) if self.shuffle else range(self.size)
        for step in range(first, self.steps_per_epoch):
            is_rest = not self.shuffle and step == self.steps_per_epoch - 1
            whole = order[step * self.batch_size : None if is_rest else (step + 1) * self.batch_size]
            yield [int(i) for i in whole[self.rank :: self.ranks]]


def held_out(tags: Sequence[str], share: float, seed: int = 0) -> tuple[list[str], list[str]]:
    """Split structures into those to train on and those held out: (train, held out), both sorted.

    A structure's rank is a hash of (seed, tag), so that a structure that is added moves few others.

    Raises:
        RunError: fewer than two structures, or a share that is not within 0..1.
    """
    if not 0 < share < 1:
        raise RunError(f"--val-share {share:g} is not within 0..1")
    if len(tags) < 2:
        raise RunError(f"{len(tags)} structures with origins: holding some out takes at least two; prepare more")
    ranked = sorted(tags, key=lambda tag: hashlib.sha256(f"{seed}:{tag}".encode()).digest())
    n_held_out = min(max(1, round(share * len(ranked))), len(ranked) - 1)
    return sorted(ranked[n_held_out:]), sorted(ranked[:n_held_out])
