"""Hold records, have forked children read some of them, and attribute what they copied: copies.py FOLDER KIND START.

KIND: of the records; START: fork (plain os.fork, without torch) or loader (a DataLoader). Prints one JSON object.
"""

import json
import os
import random
import sys
from dataclasses import asdict
from multiprocessing.util import Finalize
from pathlib import Path

from bench_harness.memory.attribution.advice import advise, general_advice
from bench_harness.memory.attribution.before_fork import before_fork
from bench_harness.memory.attribution.copied_pages import worker_ends
from bench_harness.memory.attribution.result import attribute
from bench_harness.memory.process_memory import read_held

ROWS = 500_000
READ = ROWS // 8  # of 51 strings on a page
WORKERS = 2
SERIALS = ["main.1", "main.2"]


class Row:
    def __init__(self, index: int) -> None:
        self.name = f"record {index:020}"


class Data:
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.records = make_records(kind)

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> float:
        if self.kind in ("pandas", "pandas-arrow", "pandas-categorical"):
            return float(len(self.records["tag"].iat[index]))
        row = self.records[index]
        return float(len(row["name"] if self.kind == "dict" else row.name if self.kind == "object" else row))


def make_records(kind: str) -> object:
    names = (f"record {index:020}" for index in range(ROWS))
    if kind == "numpy":
        import numpy

        return numpy.fromiter(names, "S27", ROWS)
    if kind.startswith("pandas"):
        return make_frame(kind, list(names))
    rows = {"str": lambda name, i: name, "dict": lambda name, i: {"name": name}, "object": lambda name, i: Row(i)}[kind]
    return [rows(name, index) for index, name in enumerate(names)]


def make_frame(kind: str, names: list[str]) -> object:
    import pandas

    types = {"pandas": object, "pandas-arrow": "string[pyarrow]", "pandas-categorical": "category"}
    if kind == "pandas-categorical":
        names = [name[-1] for name in names]
    return pandas.DataFrame({"tag": pandas.Series(names, dtype=types[kind]), "x": 1.5})


def read_all(data: Data, folder: Path, serial: str) -> None:
    for index in random.Random(serial).sample(range(ROWS), READ):
        data[index]
    note(folder, serial)


def note(folder: Path, serial: str) -> None:
    """Leave the copied pages, and the USS to compare them with."""
    held = read_held()
    uss_bytes = held.uss_bytes if held else None
    worker_ends(folder, serial)
    (folder / f"{serial}.uss").write_text(str(uss_bytes))


def fork(data: Data, folder: Path) -> None:
    before_fork(folder, {"dataset": data})
    children = []
    for serial in SERIALS:
        child = os.fork()
        if child == 0:
            try:
                read_all(data, folder, serial)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def load(data: Data, folder: Path) -> None:
    from torch.utils.data import DataLoader, RandomSampler

    def register(worker: int) -> None:
        Finalize(None, note, (folder, SERIALS[worker]), exitpriority=1)

    loader = DataLoader(
        data,
        500,
        sampler=RandomSampler(data, num_samples=2 * READ),
        num_workers=WORKERS,
        worker_init_fn=register,
        multiprocessing_context="fork",
        timeout=60,
    )
    before_fork(folder, {"dataset": loader.dataset, "sampler": loader.sampler})
    for _ in loader:
        pass


def main(folder: Path, kind: str, start: str) -> None:
    {"fork": fork, "loader": load}[start](Data(kind), folder)
    result = attribute(folder, [*SERIALS, "main.3"])
    told = {
        "headline": result.headline(),
        "census": result.census,
        "rows": [asdict(row) for row in result.rows],
        "copied_bytes": result.copied_bytes,
        "workers": {worker.serial: asdict(worker) for worker in result.workers},
        "uss_bytes": {serial: int((folder / f"{serial}.uss").read_text()) for serial in SERIALS},
        "missing": result.missing,
        "warnings": result.warnings,
        "advice": [advice.line() for advice in advise(result)],
        "general": list(general_advice(result)),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
