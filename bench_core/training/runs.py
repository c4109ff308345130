"""The registry of runs: one folder per run, one record that says what was started, resumed, finished or killed.

A run has segments: the first is its start, every resume adds one. Each segment has a folder and a log of its own, and
`joined_log` makes one log of them, so that a step counts once however often the run was resumed.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import platform
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bench_core.errors import RunError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

notices = logging.getLogger("bench_core.training")
RECORD = "run.json"
CHECKPOINTS = "checkpoints"
LOG = "metrics.csv"
LOCK = ".lock"
_ENTRIES = {"id": str, "options": dict, "segments": list, "step": int, "metrics": dict, "warnings": list}


class Run:
    """One run's folder and record. The record is a dict (see `start`), written anew and whole at each change."""

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self.folder = folder
        self.record = record

    @classmethod
    def start(cls, runs_dir: Path, options: dict[str, Any], **facts: Any) -> Run:
        """Name a new run of `options` under `runs_dir`; `facts` are further entries of the record.

        Nothing is written before its first segment begins.
        """
        now = datetime.now(timezone.utc)
        name = options["arch"].replace(":", "-").replace(".", "-")
        run_id = f"{now:%Y%m%d-%H%M%S}-{name}-seed{options['seed']}-{secrets.token_hex(3)}"
        folder = runs_dir / run_id
        record = {"id": run_id, "options": options, "step": 0, "metrics": {}, "warnings": [], "segments": [], **facts}
        return cls(folder, record)

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read the run at `folder`.

        Raises:
            RunError: there is none, or its record is damaged.
        """
        path = folder / RECORD
        try:
            record = json.loads(path.read_text())
            for name, kind in _ENTRIES.items():
                if not isinstance(record[name], kind):
                    raise TypeError(name)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise RunError(f"{path} is no record of a run ({type(error).__name__}): name a folder of --list") from None
        return cls(folder, record)

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def checkpoints(self) -> Path:
        return self.folder / CHECKPOINTS

    @property
    def next_segment(self) -> Path:
        """The folder of the segment that would begin now."""
        return self.folder / f"segment_{len(self.record['segments']):03d}"

    def begin(
        self,
        argv: list[str],
        step: int = 0,
        resumed_from: str | None = None,
        *,
        options: dict[str, Any] | None = None,
        take_over: bool = False,
        **facts: Any,
    ) -> Path:
        """Add a segment that starts after `step` steps and return its folder; `facts` are further entries of it.

        Args:
            options: those of the run from now on, where they have changed.
            take_over: from another machine, of which the record says that it trains this run.

        Raises:
            RunError: the run is being trained just now, or nothing can be written there.
        """
        commit = _commit()
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            with _locked(self.folder):
                if self.record["segments"]:
                    self._look_again()
                self._settle(take_over)
                folder = self.next_segment
                folder.mkdir(exist_ok=True)  # of a process that was killed before it could say so
                segment = {"folder": folder.name, "argv": argv, "start_step": step, "resumed_from": resumed_from}
                self.record["segments"].append(segment | _of_this_process() | {"commit": commit} | facts)
                self.record["options"] = options or self.record["options"]
                self.write()
        except OSError as error:
            raise RunError(f"--out {self.folder.parent}: no run can be registered there: {error.strerror}") from None
        return folder

    def _look_again(self) -> None:
        """Take what another process has done to this run since its record was read.

        Raises:
            RunError: it has gone on with it.
        """
        known = len(self.record["segments"])
        self.record = Run.read(self.folder).record
        if len(self.record["segments"]) > known and self.state() != "running":
            raise RunError(f"{self.id} was resumed by another process just now: see --list, and resume it again")

    def _settle(self, take_over: bool) -> None:
        """Close a segment whose process has gone.

        Raises:
            RunError: it is there, or nobody can say because it was started on another machine.
        """
        segment = self.record["segments"][-1] if self.record["segments"] else {}
        if self.state() == "running":
            here, process = platform.node(), f"{self.id} is being trained by process {segment['pid']}"
            if segment["host"] == here:
                raise RunError(f"{process}: wait for it")
            if not take_over:
                where = f"on {segment['host']}, says its record, and this is {here}"
                raise RunError(f"{process} {where}: wait for it, or give --take-over where it has gone")
            segment |= {"outcome": "killed", "reason": f"{segment['host']} has gone, said who took over on {here}"}
        if self.state() == "killed":
            segment |= {"outcome": "killed", "reason": self.reason()}

    def end(self, outcome: str, reason: str | None = None) -> None:
        """Say how the segment ended: finished, interrupted, killed or failed, and why.

        Where that cannot be written it is only told: a full disk may be the very reason, which must reach the user.
        """
        self.record["segments"][-1] |= {"ended": _now(), "outcome": outcome, "reason": reason}
        try:
            self.write()
        except OSError as error:
            notices.warning(f"{self.folder / RECORD} cannot say that the run {outcome}: {error.strerror or error}")

    def reached(self, step: int, metrics: dict[str, float]) -> None:
        """Record how far the run has come."""
        self.record["step"] = step
        self.record["metrics"] |= metrics
        self.write()

    def warn(self, warning: str) -> None:
        """Keep a warning with the run."""
        self.record["warnings"].append(warning)
        self.write()

    def write(self) -> None:
        """Write the record under another name, then rename."""
        text = json.dumps(self.record, indent=1)
        temporary = self.folder / f".{RECORD}.{os.getpid()}"
        try:
            temporary.write_text(text)
            temporary.replace(self.folder / RECORD)
        finally:
            temporary.unlink(missing_ok=True)

    def state(self) -> str:
        """Return how the last segment ended; "killed" where it says "running" and its process has gone."""
        if not self.record["segments"]:
            return "registered"
        segment = self.record["segments"][-1]
        if segment["outcome"] == "running" and segment["host"] == platform.node() and not _lives(segment):
            return "killed"
        return str(segment["outcome"])

    def reason(self) -> str | None:
        """Return why the last segment ended, as far as is known."""
        segment = self.record["segments"][-1] if self.record["segments"] else {}
        if segment.get("outcome") == "running" and self.state() == "killed":
            return f"process {segment['pid']} is gone without a word: SIGKILL (out of memory?) or the machine went down"
        reason: str | None = segment.get("reason")
        return reason


def find_run(runs_dir: Path, name: str) -> Run:
    """Return the run of a folder's path, or of an id (or its unambiguous beginning) under `runs_dir`.

    Raises:
        RunError: there is none, or several.
    """
    if (Path(name) / RECORD).is_file():
        return Run.read(Path(name))
    found = [run for run in registered(runs_dir) if run.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} runs begin so: {', '.join(run.id for run in found)}" if found else "there is no such run"
    raise RunError(f"{name}: {what} in {runs_dir}; `python -m bench_core train --list --out {runs_dir}` lists them")


def registered(runs_dir: Path) -> list[Run]:
    """Return the runs under `runs_dir`, oldest first; folders without a record are none.

    A record that is damaged, or another program's, hides no other: it is told and left out.
    """
    return [run for path in sorted(runs_dir.glob(f"*/{RECORD}")) for run in _readable(path.parent)]


def _readable(folder: Path) -> list[Run]:
    try:
        return [Run.read(folder)]
    except RunError as error:
        notices.warning(str(error))
        return []


def joined_log(run: Run) -> list[dict[str, float]]:
    """Return the rows of all segments' logs as one log, by step.

    A segment counts up to the step that the next one resumed from: what it did beyond was done again. Columns that a
    row does not have are left out.
    """
    rows: list[dict[str, float]] = []
    for segment in run.record["segments"]:
        rows = [row for row in rows if row["step"] <= segment["start_step"]]
        rows += _rows(run.folder / segment["folder"] / LOG)
    return rows


def _rows(path: Path) -> list[dict[str, float]]:
    """Return the rows of a log; a last line without its end was being written when the process was killed."""
    if not path.is_file():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1].splitlines()
    return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(whole)]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from beginning a segment of the same run; the kernel frees the lock of one that died."""
    with (folder / LOCK).open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _of_this_process() -> dict[str, Any]:
    pid = os.getpid()
    who = {"host": platform.node(), "pid": pid, "pid_started": _process_started(pid)}
    return {"started": _now(), **who, "ended": None, "outcome": "running", "reason": None}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def _lives(segment: dict[str, Any]) -> bool:
    """Say whether a segment's process lives: the same id, started at the same time."""
    try:
        os.kill(segment["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return bool(_process_started(segment["pid"]) == segment["pid_started"])


def _process_started(pid: int) -> str | None:
    """Return when a process started, in the kernel's ticks since boot; None where the kernel does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def _commit() -> str | None:
    """Return the commit of the package's checkout; None where it is none."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
