"""Metric learning on scikit-learn's digits: triplets, mined in each batch, and who is the nearest neighbour.

    python examples/metric_learning_digits.py --workers 2

The images come with scikit-learn. Needs torch, scikit-learn and pytorch-metric-learning.
"""

import argparse

import torch
from pytorch_metric_learning import distances, losses, miners, samplers
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset):
    """8 x 8 images, each moved by a pixel at random."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = torch.tensor(self.images[index], dtype=torch.float32) / 16
        rows, columns = torch.randint(-1, 2, (2,)).tolist()
        return image.roll((rows, columns), (0, 1))[None], int(self.labels[index])


def embeddings(model, loader):
    """Return the embeddings of a whole data set, and its labels."""
    with torch.no_grad():
        parts = [(model(x), y) for x, y in loader]
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    digits = load_digits()
    train, test = Digits(digits.images[:1400], digits.target[:1400]), Digits(digits.images[1400:], digits.target[1400:])
    # Eight classes of eight examples in every batch.
    sampler = samplers.MPerClassSampler(train.labels, m=8, length_before_new_iter=len(train))
    batches = DataLoader(train, batch_size=64, sampler=sampler, drop_last=True, num_workers=arguments.workers)
    convolutions = (nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU())
    model = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(512, 16))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    miner, loss = miners.TripletMarginMiner(0.2, "semihard"), losses.TripletMarginLoss(0.2)
    neighbours = CustomKNN(distances.LpDistance(), batch_size=256)
    for n in range(arguments.epochs):
        for x, y in batches:
            optimizer.zero_grad()
            embedded = model(x)
            loss(embedded, y, miner(embedded, y)).backward()
            optimizer.step()
        known, classes = embeddings(model, DataLoader(train, batch_size=256, num_workers=arguments.workers))
        asked, expected = embeddings(model, DataLoader(test, batch_size=256, num_workers=arguments.workers))
        _, nearest = neighbours(asked, 1, known)
        right = (classes[nearest[:, 0]] == expected).float().mean().item()
        print(f"epoch {n}: {right:.3f} have a neighbour of their own class")


if __name__ == "__main__":
    main()
