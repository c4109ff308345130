"""Data and DataLoaders for tests of the pipeline's hooks; without torch, a test file that imports them is skipped."""

from __future__ import annotations

import time
from typing import Any

import pytest

torch = pytest.importorskip("torch")
DataLoader = torch.utils.data.DataLoader


class Items(torch.utils.data.Dataset):
    """Numbers that take a while; `value` is what goes with each."""

    def __init__(self, count: int, seconds: float = 0.0, value: Any = 0) -> None:
        self.count, self.seconds, self.value = count, seconds, value

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if self.seconds:
            time.sleep(self.seconds)
        return torch.full((3,), index), self.value


def forked(*args: Any, **kwargs: Any) -> Any:
    return DataLoader(*args, multiprocessing_context="fork", **kwargs)


def iterate(loader: Any) -> None:
    for _ in loader:
        pass
