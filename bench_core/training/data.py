"""Data modules: the examples to train on and those held out, as Lightning wants them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import Dataset

from bench_core.datasets import OriginPairs
from bench_core.errors import RunError
from bench_core.grid import Grid, ImageSpec
from bench_core.origins import open_origins
from bench_core.origins.layout import read_manifest
from bench_core.origins.subset import TagSubset
from bench_core.training.epoch_loader import EpochLoader
from bench_core.training.options import TrainOptions
from bench_core.training.order import BatchOrder, held_out

CHANNELS = [["C"], ["N"], ["O"], ["*"]]
HELD_OUT_SEED = 2**32 - 1
"""Of the held-out examples: the same for every run, so that runs of other seeds are judged alike."""


class HalfInputs(Dataset[tuple[torch.Tensor, Any]]):
    """Examples whose images are float16: half the bytes to hand over and to copy. The model widens them again."""

    def __init__(self, dataset: Dataset[tuple[torch.Tensor, Any]]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        x, y = self.dataset[index]
        return x.half(), y


class PairsDataModule(LightningDataModule):
    """Loaders of a data set to train on and of one held out; where the examples come from is the subclass's.

    A subclass sets `train_pairs`, `held_out_pairs` and `digest` (of what they are drawn from) before it is used.
    """

    train_pairs: Dataset[Any]
    held_out_pairs: Dataset[Any]
    digest: str

    def __init__(self, options: TrainOptions) -> None:
        super().__init__()
        self.options = options
        self._loaders: list[EpochLoader] = []

    @property
    def steps_per_epoch(self) -> int:
        """Batches of training examples in an epoch."""
        return self._train_order().steps_per_epoch

    def train_dataloader(self) -> EpochLoader:
        order = self._train_order(*self._rank())
        return self._loader(self.train_pairs, order, steps_done=lambda: self.trainer.global_step)  # type: ignore[union-attr]

    def val_dataloader(self) -> EpochLoader:
        rank, ranks = self._rank()
        size = len(self.held_out_pairs)  # type: ignore[arg-type]
        order = BatchOrder(size, self.options.batch_size, shuffle=False, rank=rank, ranks=ranks)
        return self._loader(self.held_out_pairs, order)

    def teardown(self, stage: str) -> None:
        """End the workers before a profiler reports: Lightning leaves a loader before its iterator has ended."""
        self.close()

    def close(self) -> None:
        """End the workers that a broken-off run left."""
        for loader in self._loaders:
            loader.close()

    def _train_order(self, rank: int = 0, ranks: int = 1) -> BatchOrder:
        size = len(self.train_pairs)  # type: ignore[arg-type]
        return BatchOrder(size, self.options.batch_size, self.options.seed, rank=rank, ranks=ranks)

    def _rank(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _loader(self, pairs: Dataset[Any], order: BatchOrder, **where: Any) -> EpochLoader:
        options = self.options
        loader = EpochLoader(
            HalfInputs(pairs) if options.float16_inputs else pairs,
            order,
            options.workers,
            options.start_method,
            timeout_s=options.timeout_s,
            pin_memory=options.pin_memory and torch.cuda.is_available(),
            **where,
        )
        self._loaders.append(loader)
        return loader


class OriginsDataModule(PairsDataModule):
    """View pairs of an origin store; whole structures are held out.

    Training draws from the structures that remain, by the run's seed; the held-out examples are the same for every
    seed. An epoch has `epoch_size` examples (default: as many as there are origins to train on).
    """

    def __init__(self, options: TrainOptions) -> None:
        """Open the store at `options.data` and split it.

        Raises:
            StoreError: nothing prepared there.
            RunError: too few structures or examples.
        """
        super().__init__(options)
        store = open_origins(options.data)
        tags = [tag for tag in store.tags if len(store.origins_of(tag))]
        self.train_tags, self.held_out_tags = held_out(tags, options.val_share, options.split_seed)
        image = ImageSpec(Grid(options.length_voxels, options.resolution_A), CHANNELS)
        train, test = TagSubset(store, self.train_tags), TagSubset(store, self.held_out_tags)
        self.train_pairs = OriginPairs(train, image, options.mode, options.epoch_size, options.seed)
        self.held_out_pairs = OriginPairs(test, image, options.mode, options.val_size, HELD_OUT_SEED)
        self.digest = _digest(Path(options.data))


def _digest(folder: Path) -> str:
    """Return a short digest of all that is in the store of a folder, from the sums that its manifest holds."""
    arrays = read_manifest(folder)["arrays"]
    rows = (f"{name} {arrays[name]['sha256']}" for name in sorted(arrays))
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]


DATA_MODULES: dict[str, type[PairsDataModule]] = {"origins": OriginsDataModule}
"""Data modules by the name that `--dataset` takes."""


def data_module(options: TrainOptions) -> PairsDataModule:
    """Return the data module that `options.dataset` names.

    Raises:
        RunError: there is none of this name.
    """
    if options.dataset not in DATA_MODULES:
        raise RunError(f"--dataset {options.dataset} is unknown: choose one of {', '.join(DATA_MODULES)}")
    return DATA_MODULES[options.dataset](options)
