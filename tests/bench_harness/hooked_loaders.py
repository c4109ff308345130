"""Data and DataLoaders for tests of the pipeline's hooks; without torch, a test file that imports them is skipped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from bench_harness.capture.pipeline import hooks
from bench_harness.capture.pipeline.context import Context

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


class SpawnedItems(Items):
    """Installs the hooks where it is unpickled: after torch was imported, before the worker's loop runs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(20)
        self.folder = folder

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        hooks.install(Context(self.folder, "main.1", "worker"))


def forked(*args: Any, **kwargs: Any) -> Any:
    return DataLoader(*args, multiprocessing_context="fork", **kwargs)


def iterate(loader: Any) -> None:
    for _ in loader:
        pass
