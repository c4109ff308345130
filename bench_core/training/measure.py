"""Short measurements: seconds to make an example, seconds of a training step."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset, default_collate

from bench_core.training.losses import pair_loss


def repeated_s(action: Callable[[], Any], at_most_s: float, most_repeats: int = 50) -> list[float]:
    """Return how long an action took, each time, after one unmeasured time.

    It is repeated until `at_most_s` have passed; an action that takes longer is measured once.
    """
    first = time.perf_counter()
    action()
    times: list[float] = []
    while not times or (len(times) < most_repeats and time.perf_counter() - first < at_most_s):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return times


def example_s(dataset: Dataset[Any], at_most_s: float = 3.0) -> float:
    """Return the median seconds that this process needs for an example, over different examples."""
    size = len(dataset)  # type: ignore[arg-type]
    index = iter(range(10**9))
    return statistics.median(repeated_s(lambda: dataset[next(index) % size], at_most_s, 200))


def batch_of(dataset: Dataset[Any], size: int) -> Any:
    """Return the first `size` examples of a data set as one batch (fewer where it has fewer)."""
    n = min(size, len(dataset))  # type: ignore[arg-type]
    return default_collate([dataset[i] for i in range(n)])


def train_step(
    model: nn.Module, mode: str, ball_radius_A: float = 7.875, autocast: torch.dtype | None = None
) -> Callable[[Any], None]:
    """Return an action that does one step of Adam on the batch it is given, and waits until the device is done.

    Args:
        autocast: of the forward pass, where it is mixed.
    """
    adam = torch.optim.Adam(model.parameters())
    model.train()
    dtype = next(model.parameters()).dtype

    def step(batch: Any) -> None:
        x, y = batch
        adam.zero_grad()
        with torch.autocast(x.device.type, autocast, enabled=autocast is not None):
            loss = pair_loss(model(x.to(dtype)), y, mode, ball_radius_A)
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        if x.is_cuda:
            torch.cuda.synchronize()

    return step


_WHOLE = {"64": torch.float64, "bf16-true": torch.bfloat16, "16-true": torch.float16}
_MIXED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def step_s(
    model: nn.Module, batch: Any, mode: str, at_most_s: float = 10.0, *, device: str = "cpu", precision: str = "32"
) -> float:
    """Return the median seconds of a training step on a batch that the device has already.

    Args:
        precision: as Lightning names it; scaling the loss of float16 is left out.
    """
    model = model.to(device, _WHOLE.get(precision, torch.float32))
    batch = [part.to(device) for part in batch]
    step = train_step(model, mode, autocast=_MIXED.get(precision))
    return statistics.median(repeated_s(lambda: step(batch), at_most_s))
