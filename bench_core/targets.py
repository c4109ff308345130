"""Workloads to measure, which read sys.argv as programs do: the entry points `bench_harness.targets`.

Three of them are one plain loop over one loader with models of different cost: which of the two the loop waits for
turns from the loader to the step. They are written as users write them, with torch's DataLoader as it comes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.__main__ import main
from bench_core.commands.data_folder import default_folder, ensure_prepared
from bench_core.commands.numbers import count, positive, workers
from bench_core.commands.output import say, show
from bench_core.errors import BenchCoreError, StoreError

if TYPE_CHECKING:
    from torch import nn


def load() -> int:
    """Iterate a loader of view pairs, as `python -m bench_core load` does."""
    return main(["load", *sys.argv[1:]])


def train() -> int:
    """Train a model with Lightning, as `python -m bench_core train` does."""
    return main(["train", *sys.argv[1:]])


def train_small_cnn() -> int:
    """Train a plain network of 3,574 parameters in a plain loop: a step costs less than its batch."""
    return _loop("train-small-cnn", _small_cnn, batches=200)


def train_arch_3() -> int:
    """Train arch_3_width_7_repeats_1 in a plain loop: a step costs more than its batch, on a CPU far more."""
    return _loop("train-arch-3", lambda: _network("arch_3_width_7_repeats_1"), batches=6)


def train_arch_0() -> int:
    """Train arch_0 in a plain loop: a step costs somewhat less than that of arch_3_width_7_repeats_1."""
    return _loop("train-arch-0", lambda: _network("arch_0"), batches=6)


def _network(name: str) -> nn.Module:
    from bench_core.models import build

    return build(name)


def _small_cnn() -> nn.Module:
    from torch import nn

    # (B, 2 views, 4 channels, 21^3 voxels): the views are channels of one image, pooled to 4^3 at once.
    pooled = (nn.Flatten(1, 2), nn.AvgPool3d(5))
    return nn.Sequential(
        *pooled, nn.Conv3d(8, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, 6)
    )


def _loop(name: str, build: Callable[[], nn.Module], batches: int) -> int:
    arguments = _parser(name, batches).parse_args()
    try:
        show(_trained(build, arguments))
    except BenchCoreError as error:
        say(f"{name}: error: {error}")
        return error.exit_code
    return 0


def _parser(name: str, batches: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description="train a model on view pairs in a plain loop of torch")
    parser.add_argument("--workers", type=workers, default=2, metavar="W", help="worker processes (default: 2)")
    parser.add_argument("--batches", type=positive, default=batches, metavar="B", help=f"steps (default: {batches})")
    parser.add_argument("--batch-size", type=positive, default=16, metavar="S", help="examples per batch (default: 16)")
    parser.add_argument(
        "--threads", type=positive, default=1, metavar="T", help="of a step; more compete with the workers (default: 1)"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="prepared folder (default: as for load)")
    parser.add_argument("--seed", type=count, default=0, help="of examples and weights (default: 0)")
    return parser


def _trained(build: Callable[[], nn.Module], arguments: argparse.Namespace) -> str:
    """Train, and say at which rate; the first batch, which waits for the workers to start, is not in it."""
    import torch
    from torch.nn.functional import cross_entropy

    from bench_core.loaders import limit_threads

    limit_threads(arguments.threads)
    loader = _loader(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(arguments.seed)
    model = build().to(device)
    optimizer = torch.optim.Adam(model.parameters())
    loss = torch.zeros(())
    began_s = time.perf_counter()
    for step, (x, y) in enumerate(loader):
        optimizer.zero_grad()
        loss = cross_entropy(model(x.to(device)), y.to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step == 0:
            began_s = time.perf_counter()
    wall_s = time.perf_counter() - began_s
    rate = f", {(arguments.batches - 1) / wall_s:.3g} steps per second" if arguments.batches > 1 else ""
    return f"{arguments.batches} steps of {arguments.batch_size} examples, loss {loss.item():.4g}{rate}"


def _loader(arguments: argparse.Namespace) -> Any:
    from bench_core.datasets import OriginPairs
    from bench_core.grid import Grid, ImageSpec
    from bench_core.loaders import make_loader
    from bench_core.origins import open_origins

    folder = arguments.data or default_folder()
    ensure_prepared(folder)
    store = open_origins(folder)
    if not len(store):
        raise StoreError(f"{folder} holds no origins: prepare larger structures")
    image = ImageSpec(Grid(21, 0.75), [["C"], ["N"], ["O"], ["*"]])
    size = arguments.batches * arguments.batch_size
    pairs = OriginPairs(store, image, mode="direction", size=size, seed=arguments.seed)
    return make_loader(pairs, arguments.batch_size, arguments.workers)
