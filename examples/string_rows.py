"""Forked workers that read rows held as Python strings, which copies them: what `bench memory` is for.

    python examples/string_rows.py --rows 2000000 --workers 8 --epochs 6

Needs torch.
"""

import argparse

from torch.utils.data import DataLoader, Dataset


class Rows(Dataset):
    """Strings; an item is the length of one."""

    def __init__(self, count):
        self.records = [f"{number:060d}" for number in range(count)]

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        return len(self.records[index])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    how = {"num_workers": arguments.workers, "persistent_workers": arguments.workers > 0}
    train = DataLoader(Rows(arguments.rows), batch_size=2048, shuffle=True, **how)
    total = sum(int(lengths.sum()) for _ in range(arguments.epochs) for lengths in train)
    print(f"{total} characters")


if __name__ == "__main__":
    main()
