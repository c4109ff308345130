"""Pages of a process, told apart by /proc/self/pagemap: against pages that are known to be written."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench_harness.errors import AttributionError, ExitCode
from bench_harness.memory.attribution import pagemap
from bench_harness.memory.attribution.before_fork import PRESENT
from bench_harness.memory.attribution.copied_pages import read_workers, worker_ends

PAGE = pagemap.page_bytes()
UNSUPPORTED = pagemap.self_test()
pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(UNSUPPORTED is not None, reason=str(UNSUPPORTED)),
]


class Area:
    """Private memory whose pages are all touched."""

    def __init__(self, pages: int) -> None:
        self.memory = mmap.mmap(-1, pages * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.first = ctypes.addressof(ctypes.c_char.from_buffer(self.memory)) // PAGE
        self.write(range(pages))
        self.pages = pages

    def write(self, pages: range) -> None:
        for page in pages:
            self.memory[page * PAGE] = 1

    def within(self, runs: array[int]) -> set[int]:
        """Return which of its pages are in runs, counted from its first."""
        pages = {
            page for first, count in zip(runs[::2], runs[1::2], strict=True) for page in range(first, first + count)
        }
        return {page - self.first for page in pages if self.first <= page < self.first + self.pages}


def in_a_child(work: Callable[[], None]) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_this_system_can_tell() -> None:
    assert pagemap.self_test() is None


def test_present_pages_are_those_touched() -> None:
    area = Area(100)
    assert area.within(pagemap.read_present()) == set(range(100))
    area.memory.madvise(mmap.MADV_DONTNEED, 40 * PAGE, 20 * PAGE)
    assert area.within(pagemap.read_present()) == set(range(100)) - set(range(40, 60))


def test_pages_of_files_and_shared_memory_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(16 * PAGE))
    with (tmp_path / "file").open("r+b") as file:
        for flags in (mmap.MAP_PRIVATE, mmap.MAP_SHARED):
            mapped = mmap.mmap(file.fileno(), 16 * PAGE, flags)
            first = ctypes.addressof(ctypes.c_char.from_buffer(mapped)) // PAGE
            assert sum(mapped[page * PAGE] for page in range(16)) == 0  # read, so that they are there
            mapped[3 * PAGE] = 1
            runs = pagemap.read_present()
            pages = {
                page for start, count in zip(runs[::2], runs[1::2], strict=True) for page in range(start, start + count)
            }
            # A private page of a file is the process's own once it is written.
            expected = {first + 3} if flags == mmap.MAP_PRIVATE else set()
            assert pages & set(range(first, first + 16)) == expected


def test_a_child_owns_exactly_what_it_wrote(tmp_path: Path) -> None:
    area = Area(64)
    (tmp_path / PRESENT).write_bytes(pagemap.read_present().tobytes())

    def write_some() -> None:
        area.write(range(0, 30, 3))
        worker_ends(tmp_path, "main.1")

    in_a_child(write_some)
    in_a_child(lambda: worker_ends(tmp_path, "main.2"))
    workers = read_workers(tmp_path)
    assert area.within(workers["main.1"].copied) == set(range(0, 30, 3))
    assert area.within(workers["main.2"].copied) == set()
    assert workers["main.1"].own >= pagemap.count_pages(workers["main.1"].copied)
    assert not list(tmp_path.glob(".*"))  # nothing temporary is left


def test_pages_touched_first_by_the_child_were_not_inherited(tmp_path: Path) -> None:
    (tmp_path / PRESENT).write_bytes(pagemap.read_present().tobytes())

    def touch() -> None:
        area = Area(500)
        worker_ends(tmp_path, "main.1")
        assert not area.within(read_workers(tmp_path)["main.1"].copied)
        assert read_workers(tmp_path)["main.1"].own >= 500

    in_a_child(touch)


@pytest.mark.parametrize("runs", [[], [2, 3], [0, 100], [0, 4, 6, 1, 9, 20], [4, 4, 8, 4, 30, 9], [3, 1, 11, 1, 12, 1]])
def test_pages_in_both_of_two_runs(runs: list[int]) -> None:
    def pages(numbers: array[int] | list[int]) -> list[int]:
        return [page for at in range(0, len(numbers), 2) for page in range(numbers[at], numbers[at] + numbers[at + 1])]

    others = array("Q", [3, 2, 5, 1, 11, 2, 31, 4])
    expected = sorted(set(pages(runs)) & set(pages(others)))
    assert pages(pagemap._common(array("Q", runs), others)) == expected
    assert pages(pagemap._common(others, array("Q", runs))) == expected


def test_what_the_last_sharer_gives_up_during_the_look_is_inherited_and_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Main has freed a data set, and one of two workers ends while the other looks: its pages are no new ones."""
    area = Area(500)
    present = pagemap.read_present()
    sharer = os.fork()
    if sharer == 0:
        try:
            signal.pause()
        finally:
            os._exit(1)
    mappings = pagemap.mappings

    def alone_from_now_on(*, shared: bool = False) -> Iterator[tuple[int, int]]:
        os.kill(sharer, signal.SIGKILL)
        os.waitpid(sharer, 0)
        return mappings(shared=shared)

    shared_by_two = pagemap.read_own(present)
    monkeypatch.setattr(pagemap, "mappings", alone_from_now_on)
    own = pagemap.read_own(present)
    assert not area.within(shared_by_two.inherited)
    assert own.count >= 500
    assert area.within(own.inherited) == set(range(500))


def test_the_last_call_counts(tmp_path: Path) -> None:
    area = Area(8)
    (tmp_path / PRESENT).write_bytes(pagemap.read_present().tobytes())

    def twice() -> None:
        worker_ends(tmp_path, "main.1")
        area.write(range(5))
        worker_ends(tmp_path, "main.1")

    in_a_child(twice)
    assert area.within(read_workers(tmp_path)["main.1"].copied) == set(range(5))


def test_a_worker_without_a_note_of_its_parent(tmp_path: Path) -> None:
    with pytest.raises(AttributionError, match="not noted before this worker was forked") as caught:
        worker_ends(tmp_path, "main.1")
    assert caught.value.exit_code == ExitCode.NOT_MEASURED


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(AttributionError):
        worker_ends(tmp_path / "gone", "main.1")


def test_other_systems_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    reason = pagemap.self_test()
    assert reason is not None
    assert "Linux alone" in reason
    assert "\n" not in reason


def test_a_kernel_that_tells_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagemap, "_IS_EXCLUSIVE", bytes(256))  # as if bit 56 were never set
    assert pagemap.self_test() == (
        "unsupported by this kernel: of 64 shared pages a forked child wrote 10, "
        "and /proc/self/pagemap shows 0 as its own"
    )
