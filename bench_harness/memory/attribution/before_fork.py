"""In the process that is about to start its first workers: note its pages, and have a throw-away child take the census.

The walk changes no page of this process: its reference counts are those of the child, which the kernel gives copies.
"""

import contextlib
import gc
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_harness.errors import AttributionError
from bench_harness.memory.attribution import census_file, pagemap
from bench_harness.memory.attribution.census import take_census
from bench_harness.memory.attribution.walking import has_c_walker
from bench_harness.memory.headroom import available_bytes
from bench_harness.memory.megabytes import megabytes
from bench_harness.segments import write_atomically

PRESENT = "present.bin"
CHILD = "census.pid"
_REASON = "census.failed"
_DEADLINE_S = 180.0
# The walker in C keeps some 2 % of what it walks over, and the list of containers copies the pages they begin on;
# the one in Python may copy all pages.
_NEEDS = {True: (100 << 20, 0.7), False: (200 << 20, 1.0)}


def before_fork(folder: Path, roots: Mapping[str, Any], limit_bytes: int | None = None) -> None:
    """Note in `folder` which private pages this process has, and whose objects lie on them.

    Call it once, in the process that starts the workers, just before the first: it forks, and waits for the child.

    Args:
        folder: exists, for this purpose alone.
        roots: what the workers get, by the name it is to have in the result: {"dataset": loader.dataset}.
        limit_bytes: the most memory that the census may need; None: what the machine and the control group have left.

    Raises:
        AttributionError: no pagemap, too little memory, or the child failed; nothing of it is left to attribute then.
    """
    present = pagemap.read_present()
    _refuse_if_short(pagemap.count_pages(present) * pagemap.page_bytes(), limit_bytes)
    try:
        write_atomically(folder / PRESENT, present.tobytes())
        child = _start(folder, roots)
        (folder / CHILD).write_text(str(child))  # whoever watches the tree leaves it out
        _wait_for(child)
    except OSError as error:
        raise AttributionError(f"the census before the fork failed: {error.strerror or error}") from None
    if not census_file.is_written(folder):
        with contextlib.suppress(OSError):
            raise AttributionError(f"the census before the fork failed: {(folder / _REASON).read_text()}")
        raise AttributionError("the census before the fork failed: its process was killed")


def _refuse_if_short(private_bytes: int, limit_bytes: int | None) -> None:
    base, share = _NEEDS[has_c_walker()]
    needed = base + int(private_bytes * share)
    if limit_bytes is not None and needed > limit_bytes:
        raise AttributionError(
            f"the census may need {megabytes(needed)} of memory, over {megabytes(limit_bytes)} allowed"
        )
    available = available_bytes()
    if needed > available:
        raise AttributionError(
            f"the census may need {megabytes(needed)} of memory, and {megabytes(available)} are left: "
            "try a smaller data set, which is copied in the same proportions"
        )


def _start(folder: Path, roots: Mapping[str, Any]) -> int:
    child = pagemap.fork_quietly()
    if child:
        return child
    try:
        _live_as_child(folder, roots)
    finally:
        os._exit(0)


def _live_as_child(folder: Path, roots: Mapping[str, Any]) -> None:
    gc.disable()
    with contextlib.suppress(OSError):  # if somebody must be killed for memory, then this child
        Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        take_census(folder, roots)
    except BaseException as error:
        with contextlib.suppress(OSError):
            (folder / _REASON).write_text(f"{type(error).__name__}: {error}".partition("\n")[0])


def _wait_for(child: int) -> None:
    """Wait until the child has ended; kill it at the deadline, and where an exception comes meanwhile."""
    deadline_s, pause_s = time.monotonic() + _DEADLINE_S, 0.001
    try:
        while not _has_ended(child):
            if time.monotonic() > deadline_s:
                raise AttributionError(f"the census before the fork took over {_DEADLINE_S:.0f} s")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.05)
    except BaseException:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        raise


def _has_ended(child: int) -> bool:
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:  # the target ignores SIGCHLD, or reaps whatever ends
        return True
