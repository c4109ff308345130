"""Models small enough to train in a test, with the contract of bench_core.models: `--arch tiny_models:<function>`."""

from __future__ import annotations

import time

import torch
from torch import nn


class Tiny(nn.Module):
    """A convolution of each view, pooled, and one linear layer."""

    def __init__(self, mode: str, width: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.mode = mode
        self.encoder = nn.Sequential(
            nn.Conv3d(4, width, 3, stride=2, bias=False), nn.BatchNorm3d(width), nn.ReLU(), nn.Dropout(dropout)
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
    """Takes its time, so that a test can interrupt it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.05)
        return super().forward(x)


def tiny(backend: str, mode: str, width: int = 4, dropout: float = 0.0) -> nn.Module:
    return Tiny(mode, width, dropout)


def explosive(backend: str, mode: str) -> nn.Module:
    return Explosive(mode)


def caching(backend: str, mode: str) -> nn.Module:
    return Caching(mode)


def slow(backend: str, mode: str) -> nn.Module:
    return Slow(mode)
