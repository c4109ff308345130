"""Training works: a narrow network learns 64 fixed pairs of real views by heart, with either backend."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from bench_core import Grid, ImageSpec
from bench_core.datasets import OriginPairs
from bench_core.models import Architecture, SteerableConv, build
from bench_core.origins import open_origins

NARROW = Architecture(
    "narrow",
    tuple(SteerableConv(number, 3 if number > 1 else 5, 2 if number == 1 else 1) for number in range(1, 6)),
    4,
    21,
)
"""arch_0 with a tenth of its fields: 12,262 parameters."""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["dense", "escnn"])
def test_64_pairs_are_learnt_by_heart(backend: str, prepared_folder: Path) -> None:
    if backend == "escnn" and importlib.util.find_spec("escnn") is None:
        pytest.skip("escnn is not installed")
    image = ImageSpec(Grid(21, 0.75), [["C"], ["N"], ["O"], ["*"]])
    pairs = OriginPairs(open_origins(prepared_folder), image, size=64)
    examples = [pairs[index] for index in range(64)]
    x, y = torch.stack([views for views, _ in examples]), torch.tensor([label for _, label in examples])
    torch.manual_seed(0)
    model = build(NARROW, backend=backend)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    right = 0
    for _ in range(10):
        right = 0
        for batch in range(0, 64, 16):
            logits = model(x[batch : batch + 16])
            nn.functional.cross_entropy(logits, y[batch : batch + 16]).backward()
            optimizer.step()
            optimizer.zero_grad()
            right += int((logits.argmax(1) == y[batch : batch + 16]).sum())
        if right >= 0.9 * 64:
            break
    assert right >= 0.9 * 64
