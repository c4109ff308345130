"""What rows cost in memory that the workers of a DataLoader read, by how they are stored: kinds.py. Linux alone.

    python examples/storages/measure.py "list of dict" --rows 200000 --workers 8

An epoch of training reads four rows of five in random order, one of validation the fifth; the workers of both live to
the end, as under Lightning. Prints bytes, one JSON object: before the first worker starts, after the epoch of training
with its workers alive, after that of validation with those of both. PSS and RSS are sums over all processes.
"""

import argparse
import ctypes
import gc
import json
import multiprocessing
import tempfile
from pathlib import Path

import psutil
import torch
from kinds import KINDS, table
from torch.utils.data import DataLoader, Dataset

BATCH = 500


class Rows(Dataset):
    """Four rows of five of a storage, or the fifth; an example says what was read, to compare storages by."""

    def __init__(self, kind, records, rows, fifth):
        self.kind, self.records, self.fifth = kind, records, fifth
        self.size = rows // 5 if fifth else rows - rows // 5

    def __len__(self):
        return self.size

    def __getitems__(self, indices):
        tags, x = KINDS[self.kind][1](self.records, [5 * i + 4 if self.fifth else i + i // 4 for i in indices])
        return [torch.tensor(sum(map(int, tags)) + sum(map(float, x)), dtype=torch.float64)]


def memory():
    """Return PSS and RSS of this process and all below it, and what each worker holds alone (USS)."""
    workers = {child.pid for child in multiprocessing.active_children()}
    tree = [psutil.Process(), *psutil.Process().children(recursive=True)]
    seen = {process.pid: process.memory_full_info() for process in tree}
    sums = {f"{name}_bytes": sum(getattr(info, name) for info in seen.values()) for name in ("pss", "rss")}
    return sums | {"worker_uss_bytes": [info.uss for pid, info in seen.items() if pid in workers]}


def give_back():
    """Return what was freed while the rows were made to the system, where its C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def measure(options, file):
    rows = options.rows // 5 * 5
    records = KINDS[options.kind][0](*table(rows), file)
    gc.collect()
    give_back()
    how = {
        "num_workers": options.workers,
        "persistent_workers": options.workers > 0,
        "timeout": 600 * bool(options.workers),
    }
    how["multiprocessing_context"] = options.start_method if options.workers else None
    loaders = [
        DataLoader(Rows(options.kind, records, rows, fifth), BATCH, shuffle=not fifth, **how) for fifth in (False, True)
    ]
    told = {"kind": options.kind, "rows": rows, "before": memory()}
    for name, loader in list(zip(("training", "validation"), loaders, strict=True))[: options.loaders]:
        told |= {f"{name}_sum": float(sum(loader))} | {name: memory()}
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=8, help="of each loader")
    parser.add_argument("--start-method", default="fork", choices=multiprocessing.get_all_start_methods())
    parser.add_argument("--loaders", type=int, default=2, choices=(1, 2), help="1: training alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(options, Path(folder) / "rows")))


if __name__ == "__main__":
    main()
