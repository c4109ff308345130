"""Join the pages that workers copied with the census: how much of which owner's objects was copied.

A page is copied as a whole, and says not which access was to blame. So it is split among the objects that lie on it, by
their bytes there. What is left of a page belongs to them too where it holds small objects: pymalloc takes such a page
for nothing else. On other pages it is memory that no object accounts for: of libraries in C, C++ or Rust.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from bench_harness.errors import AttributionError
from bench_harness.memory.attribution import census_file, pagemap
from bench_harness.memory.attribution.census_file import PAGE_BYTES, Census
from bench_harness.memory.attribution.copied_pages import WorkerPages, read_workers
from bench_harness.memory.megabytes import megabytes

BACKGROUND = "background (any worker copies this)"
NOT_COVERED = "not covered by any object"
SMALL_ROWS = "other named objects"
VARIOUS = "various"
_WORTH_A_ROW = 0.005  # of all copied bytes

_BACKGROUND_PARTS = 5
# (owner, type) of a row
Key = tuple[str, str]
_Counts = dict[int, int]


@dataclass(frozen=True)
class Row:
    """One owner and type.

    Args:
        owner: dataset.records, or one of the names above.
        type: of the objects; various for rows of several.
        copied_bytes: mean per worker.
        share: of all inherited and copied bytes.
    """

    owner: str
    type: str
    copied_bytes: int
    share: float


@dataclass(frozen=True)
class WorkerTotal:
    """What one worker has for itself, together its USS: pages inherited and copied, and pages that it mapped anew."""

    serial: str
    copied_bytes: int
    new_bytes: int


@dataclass
class Attribution:
    """Whose objects lie on the pages that workers copied.

    Args:
        rows: largest first; together they are all inherited and copied bytes.
        background: the largest parts of the row of that name, as (owner, mean bytes per worker).
        copied_bytes: mean per worker.
        workers: those that delivered; missing: serials of those expected that did not.
        census: how the objects were looked at, for people.
        warnings: what limits the figures, one line each.
    """

    rows: list[Row]
    background: list[tuple[str, int]]
    copied_bytes: int
    workers: list[WorkerTotal]
    missing: list[str]
    census: str
    warnings: list[str] = field(default_factory=list)

    def headline(self) -> str:
        """Return the result in one line: 132.6 MB copied per worker, 92 % str in dataset.records."""
        if not self.copied_bytes:
            return "nothing inherited was copied by the workers"
        copied = f"{megabytes(self.copied_bytes)} copied per worker"
        named = [row for row in self.rows if row.owner not in (BACKGROUND, NOT_COVERED, SMALL_ROWS)]
        if not named or named[0].share < 0.05:
            return f"{copied}, {_share(self.rows[0])} {self.rows[0].owner}"
        return f"{copied}, {_share(named[0])} {named[0].type} in {named[0].owner}"

    def to_json(self) -> dict[str, Any]:
        """Return what results of a record hold: "attribution", and how it was obtained."""
        about = {"census": self.census, "copied_bytes": self.copied_bytes, "missing": self.missing}
        return {
            "attribution": [asdict(row) for row in self.rows],
            "attribution_about": {
                **about,
                "workers": [asdict(worker) for worker in self.workers],
                "background": [{"owner": owner, "copied_bytes": size} for owner, size in self.background],
            },
        }


def _share(row: Row) -> str:
    return f"{100 * row.share:.0f} %"


def attribute(folder: Path, expected: Sequence[str] = ()) -> Attribution:
    """Return whose objects the workers copied.

    Args:
        folder: that before_fork() and worker_ends() wrote to.
        expected: serials of the workers that were started; those that left nothing are `missing`.

    Raises:
        AttributionError: no census was taken, it cannot be read, or no worker delivered.
    """
    try:
        census = census_file.read(folder)
        workers = read_workers(folder)
        records = list(census_file.read_records(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AttributionError(f"no census of the parent's objects can be read: {error}") from None
    if not workers:
        raise AttributionError(f"none of {len(expected)} workers told which pages it copied as its loader ended")
    counts = _count_pages(workers.values())
    total = sum(counts.values()) * PAGE_BYTES
    by_label = _split(records, counts) if census.one_in == 1 else _estimate(records, counts, total)
    rows, background = _rows(census, by_label, total, len(workers))
    missing = [serial for serial in expected if serial not in workers]
    totals = [_total(serial, pages) for serial, pages in workers.items()]
    warnings = list(_warnings(census, workers, missing))
    return Attribution(rows, background, round(total / len(workers)), totals, missing, _about(census), warnings)


def _count_pages(workers: Iterable[WorkerPages]) -> _Counts:
    """Return how many workers copied each page of PAGE_BYTES that any of them did."""
    counts: Counter[int] = Counter()
    for worker in workers:
        scale = worker.page_bytes // PAGE_BYTES
        for first, count in zip(worker.copied[::2], worker.copied[1::2], strict=True):
            counts.update(range(first * scale, (first + count) * scale))
    return counts


def _split(records: Iterable[tuple[int, ...]], counts: _Counts) -> dict[int, float]:
    """Return the bytes copied by all workers together, by label."""
    copied: dict[int, float] = defaultdict(float)
    left = dict(counts)
    for first, entries in groupby(records, key=itemgetter(0)):
        group = list(entries)
        if group[0][1] > 1 or (group[0][3] == PAGE_BYTES and len(group) == 1):
            for _, pages, label, *_ in group:
                # A page is taken once, though two libraries may both hold it: NumPy's arrays are torch's tensors.
                taken = sum(left.pop(page, 0) for page in _of_interest(first, pages, left))
                copied[label] += taken * PAGE_BYTES
            continue
        workers = left.pop(first, 0)
        if workers:
            whole = _whole(group)
            for _, _, label, size, *_ in group:
                copied[label] += workers * PAGE_BYTES * size / whole
    return copied


def _of_interest(first: int, pages: int, left: Mapping[int, int]) -> Iterable[int]:
    """Return the pages of a range, or the fewer that are left anywhere: a range may be gigabytes."""
    if pages <= len(left):
        return range(first, first + pages)
    return [page for page in left if first <= page < first + pages]


def _whole(group: list[tuple[int, ...]]) -> int:
    """Return the bytes that a page is split by: what lies on it, or all of it where there is room for others."""
    covered = sum(entry[3] for entry in group)
    return covered if any(entry[5] for entry in group) else max(covered, PAGE_BYTES)


def _estimate(records: Iterable[tuple[int, ...]], counts: _Counts, total: float) -> dict[int, float]:
    """Return the same from a sample of the objects, each of which stands for as many as its bytes say."""
    copied: dict[int, float] = defaultdict(float)
    for first, pages, label, size, *_ in records:
        copied[label] += size * sum(counts.get(page, 0) for page in _of_interest(first, pages, counts))
    too_much = max(1.0, sum(copied.values()) / max(total, 1))
    return {label: size / too_much for label, size in copied.items()}


def _rows(
    census: Census, by_label: Mapping[int, float], total: int, workers: int
) -> tuple[list[Row], list[tuple[str, int]]]:
    """Return the rows, and the parts of the background."""
    named: dict[Key, float] = defaultdict(float)
    background: dict[str, float] = defaultdict(float)
    for label, size in by_label.items():
        owner, kind = census.labels[label]
        name, is_background = census.owners[owner]
        if is_background:
            background[name] += size
        else:
            named[name, kind] += size
    sizes: dict[Key, float] = defaultdict(float)
    for key, size in named.items():
        sizes[key if size >= _WORTH_A_ROW * total else (SMALL_ROWS, VARIOUS)] += size
    sizes[BACKGROUND, VARIOUS] = sum(background.values())
    sizes[NOT_COVERED, VARIOUS] = total - sum(sizes.values())
    ordered = sorted(sizes.items(), key=itemgetter(1), reverse=True)
    rows = [Row(*key, round(size / workers), round(size / total, 4)) for key, size in ordered if size >= 1]
    parts = sorted(background.items(), key=itemgetter(1), reverse=True)[:_BACKGROUND_PARTS]
    return rows, [(name, round(size / workers)) for name, size in parts if size >= workers]


def _total(serial: str, pages: WorkerPages) -> WorkerTotal:
    copied = pagemap.count_pages(pages.copied)
    return WorkerTotal(serial, copied * pages.page_bytes, (pages.own - copied) * pages.page_bytes)


def _about(census: Census) -> str:
    if census.one_in == 1:
        return f"census of {census.objects:,} objects in {census.seconds:.1f} s"
    return f"sampled census, 1 in {census.one_in} objects of long containers, in {census.seconds:.1f} s"


def _warnings(census: Census, workers: Mapping[str, WorkerPages], missing: Sequence[str]) -> Iterator[str]:
    if missing:
        yield f"{len(workers)} of {len(workers) + len(missing)} workers told which pages they copied"
    swapped = max(worker.swapped * worker.page_bytes for worker in workers.values())
    if swapped:
        yield f"{megabytes(swapped)} of a worker were swapped out: whether it had copied them cannot be told"
    if census.failures:
        yield f"{census.failures:,} objects did not say which buffers they hold"
