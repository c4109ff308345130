"""Models small enough to train in a test, with the contract of bench_core.models: `--arch tiny_models:<function>`."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import SimpleProfiler
from torch import nn

from bench_core.models.stock.importing import import_escnn


class Tiny(nn.Module):
    """A convolution of each view, pooled, and one linear layer."""

    def __init__(self, mode: str, width: int = 4, dropout: float = 0.0, norm: bool = True) -> None:
        super().__init__()
        self.mode = mode
        normed = nn.BatchNorm3d(width) if norm else nn.Identity()
        self.encoder = nn.Sequential(
            nn.Conv3d(4, width, 3, stride=2, bias=False), normed, nn.ReLU(), nn.Dropout(dropout)
        )
        self.head = nn.Linear(2 * width, 6 if mode == "direction" else 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        views = [self.encoder(x[:, view]).mean(dim=(2, 3, 4)) for view in (0, 1)]
        y = self.head(torch.cat(views, dim=1))
        if self.mode == "direction":
            return y
        last_row = torch.tensor([0.0, 0.0, 0.0, 1.0], device=y.device).expand(len(y), 1, 4)
        return torch.cat([y.reshape(-1, 3, 4), last_row], dim=1)


class Explosive(Tiny):
    """Its third training step has a loss that is no number."""

    steps = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.steps += 1
        return super().forward(x) * (float("nan") if self.steps == 3 else 1.0)


class Caching(Tiny):
    """Keeps a large buffer while it evaluates, and from construction on, as escnn's convolutions do."""

    def __init__(self, mode: str) -> None:
        super().__init__(mode)
        self.register_buffer("filter", torch.zeros(250_000))

    def train(self, mode: bool = True) -> nn.Module:
        if mode and hasattr(self, "filter"):
            del self.filter
        elif not mode and not hasattr(self, "filter"):
            self.register_buffer("filter", torch.zeros(250_000))
        return super().train(mode)


class Slow(Tiny):
    """Takes its time, so that a test can interrupt it; step `pause_at` takes `pause_s`."""

    def __init__(self, mode: str, pause_at: int, pause_s: float) -> None:
        super().__init__(mode)
        self.pause_at, self.pause_s, self.steps = pause_at, pause_s, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        time.sleep(self.pause_s if self.steps == self.pause_at else 0.05)
        return super().forward(x)


class Stopped(Tiny):
    """Its process is asked to stop in a step, if it began with a certain seed."""

    def __init__(self, mode: str, seed: int, at: int) -> None:
        self.steps = 0 if torch.initial_seed() == seed else -(10**9)
        super().__init__(mode)
        self.at = at

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        if self.steps == self.at:
            signal.raise_signal(signal.SIGTERM)
        return super().forward(x)


class Steerable(nn.Module):
    """One convolution of escnn from scalars to scalars and vectors, and one linear layer on the scalars."""

    def __init__(self) -> None:
        super().__init__()
        escnn = import_escnn()
        enn, space = escnn.nn, escnn.gspaces.rot3dOnR3()
        scalar, vector = space.irrep(0), space.irrep(1)
        self.tensor_type = enn.GeometricTensor
        self.input_type = enn.FieldType(space, 4 * [scalar])
        self.convolution = enn.R3Conv(
            self.input_type, enn.FieldType(space, 200 * [scalar] + 100 * [vector]), 3, initialize=False
        )
        self.head = nn.Linear(400, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        views = [self.convolution(self.tensor_type(x[:, view], self.input_type)).tensor for view in (0, 1)]
        y: torch.Tensor = self.head(torch.cat([view.mean(dim=(2, 3, 4))[:, :200] for view in views], dim=1))
        return y


class Recorder(Logger):
    """A logger of a user's own: JSON lines."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        return "recorder"

    @property
    def version(self) -> str:
        return "1"

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        self._write(params)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._write(metrics | {"step": step})

    def _write(self, row: dict[str, Any]) -> None:
        with open(self.path, "a") as file:  # noqa: PTH123
            print(json.dumps(row), file=file)


def tiny(backend: str, mode: str, width: int = 4, dropout: float = 0.0, norm: bool = True) -> nn.Module:
    return Tiny(mode, width, dropout, norm)


def explosive(backend: str, mode: str) -> nn.Module:
    return Explosive(mode)


def caching(backend: str, mode: str) -> nn.Module:
    return Caching(mode)


def slow(backend: str, mode: str, pause_at: int = 0, pause_s: float = 0.0) -> nn.Module:
    return Slow(mode, pause_at, pause_s)


def stopped(backend: str, mode: str, seed: int, at: int) -> nn.Module:
    return Stopped(mode, seed, at)


def steerable(backend: str, mode: str) -> nn.Module:
    return Steerable()


def profiler(folder: Path) -> SimpleProfiler:
    """What a package offers in the entry-point group bench_core.profilers."""
    return SimpleProfiler(dirpath=folder, filename="offered")
