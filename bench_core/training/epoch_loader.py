"""What Lightning iterates: the batches of an epoch from the step that comes next, with dead workers named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import Dataset

from bench_core.loaders import iterate, make_loader
from bench_core.training.order import BatchOrder


class EpochLoader:
    """Batches in the order of a `BatchOrder`, starting where `steps_done` says that training stands.

    Lightning takes any iterable. A DataLoader of its own would leave a dead or hung worker to torch's message, and
    would begin a broken-off epoch from its start.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        order: BatchOrder,
        workers: int = 0,
        start_method: str = "fork",
        *,
        steps_done: Callable[[], int] = lambda: 0,
        timeout_s: float = 300.0,
        pin_memory: bool = False,
    ) -> None:
        self.dataset, self.order = dataset, order
        self._how = (workers, start_method)
        self._steps_done = steps_done
        self._timeout_s = timeout_s
        self._pin_memory = pin_memory
        self._batches: Any = None

    def __len__(self) -> int:
        return self.order.steps_per_epoch

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches that are left of the epoch; looks where training stands when the first one is asked for."""
        epoch, first = divmod(self._steps_done(), len(self))
        self.close()
        loader = make_loader(
            self.dataset,
            1,
            *self._how,
            timeout_s=self._timeout_s,
            batch_sampler=list(self.order.batches(epoch, first)),
            pin_memory=self._pin_memory,
            # Its own, because a loader draws from the global generator whenever it is iterated.
            generator=torch.Generator(),
        )
        self._batches = iterate(loader)
        yield from self._batches

    def close(self) -> None:
        """End the workers of an epoch that was broken off."""
        if self._batches is not None:
            self._batches.close()

    def state_dict(self) -> dict[str, Any]:
        """Nothing: where to go on follows from the number of steps done. Lightning warns of loaders without this."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
