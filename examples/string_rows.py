"""Forked workers that read rows held as Python strings, which copies them: what `bench memory` is for.

    python examples/string_rows.py --rows 2000000 --workers 8 --epochs 6
    python examples/string_rows.py --rows 1000000 --width 25 --validation 250000 --epochs 4 [--lightning] [--freeze]

Needs torch, and with --lightning that too.
"""

import argparse
import gc

import torch
from torch.utils.data import DataLoader, Dataset


class Rows(Dataset):
    """Strings; an item is the length of one."""

    def __init__(self, count, width):
        self.records = [f"{number:0{width}d}" for number in range(count)]

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        return float(len(self.records[index]))


def read(train, validation, epochs):
    """Count the characters that the loaders read."""
    total = sum(int(lengths.sum()) for _ in range(epochs) for loader in (train, validation) for lengths in loader)
    print(f"{total} characters")


def fit(train, validation, epochs):
    """Read the loaders as Lightning does: it keeps the workers of both until fit() ends."""
    from lightning.pytorch import LightningModule, Trainer

    class Scale(LightningModule):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Linear(1, 1)

        def training_step(self, lengths, _):
            return self.scale(lengths.float()[:, None]).mean()

        def validation_step(self, lengths, _):
            self.log("val_loss", self.training_step(lengths, _))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-9)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    Trainer(max_epochs=epochs, accelerator="cpu", **quiet).fit(Scale(), train, validation)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--width", type=int, default=60, help="characters of a row")
    parser.add_argument("--validation", type=int, default=0, help="rows of a loader that reads in order")
    parser.add_argument("--workers", type=int, default=2, help="of each loader")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lightning", action="store_true")
    parser.add_argument("--freeze", action="store_true", help="call gc.freeze() before the first worker")
    arguments = parser.parse_args()
    how = {"batch_size": 2048, "num_workers": arguments.workers, "persistent_workers": arguments.workers > 0}
    train = DataLoader(Rows(arguments.rows, arguments.width), shuffle=True, **how)
    validation = DataLoader(Rows(arguments.validation, arguments.width), **how) if arguments.validation else []
    if arguments.freeze:
        gc.freeze()
    (fit if arguments.lightning else read)(train, validation, arguments.epochs)


if __name__ == "__main__":
    main()
