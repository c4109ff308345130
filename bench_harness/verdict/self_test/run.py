"""A self-test from its plan to its record: verdicts are added to those in the folder, all of them make the rates."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from bench_harness import environment
from bench_harness.errors import NothingMeasuredError
from bench_harness.record import Record, utc_now
from bench_harness.run_folders import keep_record, refuse_foreign_record, run_folder
from bench_harness.verdict.self_test import trials
from bench_harness.verdict.self_test.rates import rates

COMMAND = "compare --self-test"


def self_test(
    plan: trials.Plan,
    argv: list[str],
    profiles: Path,
    out: Path | None,
    progress: Callable[[int, int], None],
) -> tuple[Record, Path]:
    """Try known pairs; return the record of all verdicts in the folder, and the folder.

    Args:
        plan: of no verdicts, the record in `out` is returned as it is.
        argv: of the command, for the record.
        profiles: the folder of all runs, where a new one is made if `out` is None.
        out: the folder; what an earlier self-test left there is kept and added to.

    Raises:
        NothingMeasuredError: there was no time for a single verdict.
        CouldNotMeasureError: a workload fails.
        UsageError: `out` holds the record of another command.
        RecordError: no verdicts are asked for, and `out` holds no record.
    """
    started, clock = utc_now(), time.perf_counter()
    if out:
        refuse_foreign_record(out, COMMAND)
        if not plan.verdicts:
            return Record.read(out), out
    conditions, warnings = environment.collect()
    folder = out or run_folder("self-test", profiles, commit=conditions["git"]["commit"], machine=conditions["machine"])
    path = folder / trials.FILE_NAME
    earlier = sum(1 for _ in trials.read(path))
    completed = True
    try:
        if not trials.run_trials(plan, lambda verdict: trials.append(path, verdict), progress):
            warnings.append("the time for all verdicts was over before they were there; the same --out goes on")
    except KeyboardInterrupt:
        completed = False
        warnings.append("interrupted; the same --out goes on")
    finally:
        if not path.exists():
            with contextlib.suppress(OSError):
                folder.rmdir()
    verdicts = list(trials.read(path))
    if not verdicts:
        raise NothingMeasuredError("not one verdict within the time for all of them")
    trials.pack(path)
    record = Record(
        command=COMMAND,
        argv=argv,
        started=started,
        wall_s=round(time.perf_counter() - clock, 3),
        completed=completed,
        environment=conditions,
        warnings=warnings,
        artifacts={"verdicts": trials.FILE_NAME},
        results={"rates": rates(verdicts), "verdicts": len(verdicts), "of_earlier_runs": earlier},
    )
    return keep_record(record, folder, profiles), folder
