"""The census as it lies on disk: which owners and types have how many bytes on which page.

census.json holds a Census; census.bin holds records, those of several pages first, and those of a page together:

    first page, number of pages, label, bytes on each page, objects that begin there, whether any block is small

Pages are of 4096 bytes here, whatever the kernel's. Small is what pymalloc serves, from pages that hold nothing else.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench_harness.segments import write_atomically

PAGE_BYTES = 4096
RECORD = struct.Struct("=QIIIII")
_INDEX, _RECORDS = "census.json", "census.bin"


@dataclass
class Census:
    """What the census knows beside its records.

    Args:
        owners: names, and whether each is background: what any worker has, whatever the data set.
        labels: (index into owners, type) of each label.
        walker: C or Python.
        one_in: of how many objects one was looked at, where containers are long; 1: all.
        objects: how many were looked at.
        failures: how many objects did not say what they hold.
        seconds: how long it took.
    """

    owners: list[tuple[str, bool]]
    labels: list[tuple[int, str]]
    walker: str
    one_in: int
    objects: int
    failures: int
    seconds: float


def write(folder: Path, census: Census, records: bytes) -> None:
    """Write both files; the index last, as a sign that the census is whole."""
    write_atomically(folder / _RECORDS, records)
    write_atomically(folder / _INDEX, json.dumps(asdict(census)).encode())


def is_written(folder: Path) -> bool:
    """Tell whether a whole census lies in `folder`."""
    return (folder / _INDEX).exists()


def read(folder: Path) -> Census:
    """Return the index; FileNotFoundError where no census was taken."""
    document = json.loads((folder / _INDEX).read_text())
    for key in ("owners", "labels"):
        document[key] = [tuple(pair) for pair in document[key]]
    return Census(**document)


def read_records(folder: Path) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Yield the fields of each record, see the head of this module."""
    return RECORD.iter_unpack((folder / _RECORDS).read_bytes())
