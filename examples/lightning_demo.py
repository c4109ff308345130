"""Lightning's own demo, a transformer that learns the next word, on sentences that are made up.

    python examples/lightning_demo.py --workers 2

The demo's data set would be downloaded; this one needs nothing. Needs torch and lightning.
"""

import argparse
import random

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.demos.transformer import Transformer
from torch.utils.data import DataLoader, Dataset

VOCABULARY, BLOCK = 64, 24


class Arithmetic(Dataset):
    """Runs of numbers with a constant step, and what follows each of them."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        rng = random.Random(index)
        word, step = rng.randrange(VOCABULARY), rng.randrange(1, 8)
        words = []
        for _ in range(BLOCK + 1):
            words.append(word)
            word = (word + step) % VOCABULARY
        return torch.tensor(words[:-1]), torch.tensor(words[1:])


class NextWord(LightningModule):
    """The demo's transformer with the demo's loss."""

    def __init__(self):
        super().__init__()
        self.model = Transformer(vocab_size=VOCABULARY, ninp=32, nhid=32)

    def training_step(self, batch, batch_idx):
        words, following = batch
        return torch.nn.functional.nll_loss(self.model(words, following), following.view(-1))

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    seed_everything(0)
    how = {"batch_size": 20, "num_workers": arguments.workers, "persistent_workers": arguments.workers > 0}
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(max_epochs=arguments.epochs, accelerator="cpu", gradient_clip_val=0.25, **quiet)
    trainer.fit(NextWord(), DataLoader(Arithmetic(800), **how), DataLoader(Arithmetic(100), **how))
    print(f"val_loss {trainer.callback_metrics['val_loss']:.3f}")


if __name__ == "__main__":
    main()
