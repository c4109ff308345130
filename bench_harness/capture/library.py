"""`with capture("profiles/mine"):` - capture a part of a program from inside it."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from bench_harness import environment
from bench_harness.capture import bootstrap, processes, runtime, signals
from bench_harness.capture.engines import check_engine
from bench_harness.capture.finishing import Run, drop_segments, finish_run
from bench_harness.capture.pipeline import hooks
from bench_harness.capture.plan import Plan
from bench_harness.errors import UsageError
from bench_harness.profiles.artifacts import PROCESSES
from bench_harness.record import FILE_NAME, Record, utc_now
from bench_harness.run_folders import keep_record, refuse_foreign_record
from bench_harness.segments import ANNOUNCED, FOLDER, Identity, announce, read_segments

# What running workers get to make their last dump once the capture ends; they look twice a second.
_LAST_DUMPS_S = 2.0


class Capture:
    """A capture that runs; `record` is what it found, once it has ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: Record | None = None


@contextlib.contextmanager
def capture(
    out: str | Path, engine: str = "cprofile", *, interval_s: float = 0.004, target: str = "capture"
) -> Iterator[Capture]:
    """Capture this thread and every process that is started meanwhile, then write the artifacts and record.json.

    Workers that still run when it ends (persistent ones) are asked for what they have.

    Args:
        out: the run folder; created, and cleared of an earlier capture.
        engine: cprofile, pyinstrument, or none for the pipeline alone.
        interval_s: between samples, for engines that sample.
        target: name of what is measured, for reports.

    Raises:
        UsageError: a capture runs already in this process, or `out` holds the record of another command.
    """
    if runtime.current() is not None:
        raise UsageError("a capture runs already in this process: end it before the next one")
    if engine == "py-spy":
        raise UsageError("py-spy watches from outside: take another engine here, or `bench profile --engine py-spy`")
    check_engine(engine)
    folder = prepare_folder(Path(out))
    conditions, warnings = environment.collect()
    run = Run(folder, [], engine, target, {"engine": engine}, utc_now(), environment=conditions, warnings=warnings)
    running = Capture(folder)
    plan = Plan(str((folder / FOLDER).resolve()), engine, interval_s)
    identity = Identity(bootstrap.serial(), rank=bootstrap.rank(), start_method="exec")
    announce(plan.folder, identity)
    process = processes.enter(plan, identity)
    began = time.perf_counter()
    reason, exception = "exit", None
    try:
        yield running
    except BaseException as error:
        reason, exception, run.exited_well = "exception", f"{type(error).__name__}: {error}", False
        raise
    finally:
        process.finish(reason, exception)
        process.stop_dumping()
        run.wall = {"with_engine_s": round(time.perf_counter() - began, 3), "without_engine_s": None, "ratio": None}
        _collect_workers(plan.folder)
        hooks.uninstall()
        signals.uninstall()
        processes.uninstall()
        running.record = keep_record(finish_run(run), folder, Path("profiles"))
        drop_segments(folder)


def prepare_folder(folder: Path, command: str = "profile") -> Path:
    """Create a run folder, cleared of what an earlier run of the same command left in it.

    Raises:
        UsageError: it holds the record of another command, or cannot be written.
    """
    refuse_foreign_record(folder, command)
    _refuse_strangers(folder)
    try:
        for name in (FOLDER, PROCESSES):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / FOLDER).mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror or error}; try --out DIR") from error
    return folder


def _refuse_strangers(folder: Path) -> None:
    """Raise UsageError where folders would be removed that no profile has made."""
    if (folder / FILE_NAME).exists() or any((folder / FOLDER).glob(f"*{ANNOUNCED}")):
        return
    for name in (FOLDER, PROCESSES):
        if (folder / name).is_dir() and any((folder / name).iterdir()):
            raise UsageError(f"{folder / name} is of no earlier profile and is not removed; give another --out")


def _collect_workers(segments: Path) -> None:
    """Ask processes that still run for their last dump, and wait for it."""
    (segments / runtime.STOP).touch()
    deadline = time.monotonic() + _LAST_DUMPS_S
    while time.monotonic() < deadline and any(
        not segment.is_final and segment.identity.pid and Path(f"/proc/{segment.identity.pid}").exists()
        for segment in read_segments(segments)
    ):
        time.sleep(0.05)
