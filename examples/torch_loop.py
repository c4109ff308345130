"""A plain training loop: a data set that is slow because it is written in Python, two loaders, forked workers.

    python examples/torch_loop.py --workers 2

An example is a text made up from a seed, split and counted word by word, which takes the time. Needs torch.
"""

import argparse
import random
import re

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

WORDS = ["the", "a", "of", "loader", "worker", "batch", "step", "queue", "copy", "wait", "fork", "share", "main"]


class Sentences(Dataset):
    """Bags of words, and whether "worker" occurs more often than "main"."""

    def __init__(self, size, seed, length=200):
        self.size, self.seed, self.length = size, seed, length

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        rng = random.Random(f"{self.seed}-{index}")
        text = " ".join(rng.choice(WORDS).upper() for _ in range(self.length)) + "."
        counts = count(tokens(text))
        return torch.tensor(list(counts.values())).float(), float(counts["worker"] > counts["main"])


def tokens(text):
    """Return the words of a text in small letters."""
    return [word for word in re.split(r"[^a-z]+", text.lower()) if word]


def count(words):
    """Return how often each of WORDS occurs."""
    counts = dict.fromkeys(WORDS, 0)
    for word in words:
        counts[word] += 1
    return counts


def epoch(model, loader, optimizer=None):
    """Train for an epoch, or evaluate without an optimizer; return the share that is right."""
    right = 0
    for x, y in loader:
        logits = model(x).squeeze(1)
        right += ((logits > 0) == (y > 0.5)).sum().item()
        if optimizer is not None:
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(logits, y.float()).backward()
            optimizer.step()
    return right / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--examples", type=int, default=4000)
    arguments = parser.parse_args()
    how = {"batch_size": 32, "num_workers": arguments.workers}
    train = DataLoader(Sentences(arguments.examples, seed=0), shuffle=True, **how)
    val = DataLoader(Sentences(arguments.examples // 4, seed=1), **how)
    model = nn.Sequential(nn.Linear(len(WORDS), 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for n in range(arguments.epochs):
        trained = epoch(model.train(), train, optimizer)
        with torch.no_grad():
            print(f"epoch {n}: {trained:.3f} right in training, {epoch(model.eval(), val):.3f} in validation")


if __name__ == "__main__":
    main()
