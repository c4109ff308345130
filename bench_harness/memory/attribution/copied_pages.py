"""What a worker leaves as its loader ends: which pages of its parent it has copied by then."""

from array import array
from dataclasses import dataclass
from pathlib import Path

from bench_harness.errors import AttributionError
from bench_harness.memory.attribution import pagemap
from bench_harness.memory.attribution.before_fork import PRESENT
from bench_harness.segments import write_atomically

ENDING = ".copied.bin"
_HEAD = 3  # numbers before the runs


@dataclass(frozen=True)
class WorkerPages:
    """Pages of one worker.

    Args:
        page_bytes: their size.
        own: how many pages no other process shared with it, the copied ones included: its USS.
        swapped: how many of its pages were swapped out, copied or not.
        copied: Runs of pages that the parent had before the fork and the worker had for itself.
    """

    page_bytes: int
    own: int
    swapped: int
    copied: "pagemap.Runs[int]"


def worker_ends(folder: Path, serial: str) -> None:
    """Note which pages this worker has copied; for any moment of its life, the last call counts.

    Args:
        folder: that `before_fork` wrote to, in the parent.
        serial: of this process, see bench_harness.segments.

    Raises:
        AttributionError: nothing was noted before the fork, or nothing can be read or written now.
    """
    try:
        present = array("Q", (folder / PRESENT).read_bytes())
        own = pagemap.read_own(present)
        head = array("Q", (pagemap.page_bytes(), own.count, own.swapped))
        write_atomically(folder / f"{serial}{ENDING}", (head + own.inherited).tobytes())
    except FileNotFoundError:
        raise AttributionError("pages of the parent were not noted before this worker was forked") from None
    except OSError as error:
        raise AttributionError(f"copied pages cannot be noted: {error.strerror or error}") from None


def read_workers(folder: Path) -> dict[str, WorkerPages]:
    """Return what each worker left, by serial."""
    paths = sorted(folder.glob(f"*{ENDING}"))
    return {path.name.removesuffix(ENDING): _read(path) for path in paths}


def _read(path: Path) -> WorkerPages:
    numbers = array("Q", path.read_bytes())
    return WorkerPages(numbers[0], numbers[1], numbers[2], numbers[_HEAD:])
