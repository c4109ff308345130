"""How the process of a benchmark is run so that it is counted, or watched, rather than timed."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from bench_harness.errors import CouldNotMeasureError
from bench_harness.memory.sampler import TreeSampler
from bench_harness.verdict import counters
from bench_harness.verdict.asv_process import Run, Starter, run_jobs
from bench_harness.verdict.command_side import PSS_EVERY_S
from bench_harness.verdict.metrics import COUNTERS

WAYS = ("peak_pss_bytes", *COUNTERS)
# Sets and dicts in another order are other work. The side's own Python goes on as the counted one, below PREFIX.
_FIXED = """
import os, sys
os.environ["PYTHONHASHSEED"] = "0"
prefix = sys.argv[1].split("\\n") if sys.argv[1] else []
command = [*prefix, sys.executable, *sys.argv[2:]]
os.execvp(command[0], command)
"""
_SLOWER = 60  # than without callgrind, at most


def check(metrics: Collection[str]) -> None:
    """Raise before anything is built for it if a counter cannot be had here.

    Raises:
        MissingPackageError: valgrind is not installed.
    """
    if "instructions" in metrics:
        counters.under_callgrind([], Path())


def measure(start: Starter, root: str, metric: str, job: dict[str, Any]) -> tuple[Run, float | None]:
    """Measure one metric of WAYS in processes of their own.

    Args:
        job: number 0, as in asv_body.py, with its plan.

    Returns:
        What the last process said, and the value; None: the run says why there is none.

    Raises:
        CouldNotMeasureError: the benchmark was run, and its metric was not to be had.
    """
    if metric == "peak_pss_bytes":
        return _watched(start, root, job)
    if metric == "instructions":
        return _instructions(start, root, job)
    run = run_jobs(_fixed(start), root, [{**job, "way": metric}])
    return run, run.by_job.get(0, {}).get("values", {}).get(metric)


def _watched(start: Starter, root: str, job: dict[str, Any]) -> tuple[Run, float | None]:
    sampler = TreeSampler(PSS_EVERY_S)
    with contextlib.ExitStack() as stack:

        def watched(arguments: list[str], cwd: str) -> subprocess.Popen[bytes]:
            process = start(arguments, cwd)
            stack.enter_context(sampler.watching(process.pid))
            return process

        run = run_jobs(watched, root, [job])
    held = max((sample.pss_bytes for sample in sampler.samples), default=0)
    if not held and _is_done(run):
        raise CouldNotMeasureError("its memory cannot be read here, or it ended before it was looked at")
    return run, float(held) if _is_done(run) else None


def _instructions(start: Starter, root: str, job: dict[str, Any]) -> tuple[Run, float | None]:
    """Return the instructions of one call: what so many calls take, less what starting and setting up takes."""
    _, samples, calls_in_each = job["plan"]
    calls, timeout_s = samples * calls_in_each, _SLOWER * job["timeout_s"]
    counts = {}
    for way in ("setups", "instructions"):
        with tempfile.TemporaryDirectory(prefix="bench-compare-") as folder:
            prefix = counters.under_callgrind([], Path(folder))
            counting = {**job, "way": way, "calls": calls, "timeout_s": timeout_s}
            run = run_jobs(_fixed(start, prefix), root, [counting])
            if not _is_done(run):
                return run, None
            counts[way] = counters.read_instructions(Path(folder))
    return run, max(0.0, (counts["instructions"] - counts["setups"]) / calls)


def _fixed(start: Starter, prefix: list[str] | None = None) -> Starter:
    def started(arguments: list[str], cwd: str) -> subprocess.Popen[bytes]:
        return start(["-c", _FIXED, "\n".join(prefix or []), *arguments], cwd)

    return started


def _is_done(run: Run) -> bool:
    return run.by_job.get(0, {}).get("event") == "done"
