"""Where runs are kept: profiles/<target>/<utc>-<commit12|nogit>-<machine>/."""

import os
import platform
import re
from pathlib import Path

from bench_harness.errors import RecordError, UsageError
from bench_harness.record import FILE_NAME, Record, utc_now
from bench_harness.run_index import update_index


def safe_name(text: str) -> str:
    """Return `text` with every run of characters that a file name may dislike replaced by '_'."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", text).strip("._-") or "unnamed"


def folder_name(started: str, commit: str | None, machine: str | None) -> str:
    """Return the name of a run's folder, for example 20260131T120000Z-0123456789ab-laptop."""
    moment = started.replace("-", "").replace(":", "").partition(".")[0]
    moment = moment if moment.endswith("Z") else f"{moment}Z"
    return f"{safe_name(moment)}-{commit[:12] if commit else 'nogit'}-{safe_name(machine or platform.node())}"


def run_folder(
    target: str,
    root: str | os.PathLike[str] = "profiles",
    *,
    started: str | None = None,
    commit: str | None = None,
    machine: str | None = None,
) -> Path:
    """Create and return the folder of a new run of `target`.

    Args:
        target: what is measured; becomes a folder name.
        root: the folder of all runs.
        started: UTC as in a record; default now.
        commit: full hash; None is spelled nogit.
        machine: label of the computer; default its host name.

    Raises:
        UsageError: it cannot be made there.
    """
    name = folder_name(started or utc_now(), commit, machine)
    parent = Path(root) / safe_name(target)
    for attempt in range(1, 1000):
        # Two runs of one second must not share a folder.
        folder = parent / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"{folder}: cannot be made: {error.strerror or error}; try --out DIR") from error
        return folder
    raise RecordError(f"{parent / name}: 999 runs of the same second are there already")


def foreign_record(folder: Path, command: str) -> str | None:
    """Return whose record is in `folder`, in words; None if there is none, or one of an earlier run of `command`."""
    if not (folder / FILE_NAME).exists():
        return None
    try:
        owner = Record.read(folder).command
    except RecordError:
        return "damaged"
    return None if owner == command else f"the record of '{owner}'"


def refuse_foreign_record(folder: Path, command: str) -> None:
    """Raise UsageError if `folder` holds a record that `command` must not overwrite."""
    owner = foreign_record(folder, command)
    if owner is not None:
        raise UsageError(f"{folder / FILE_NAME} is {owner} and is not overwritten; give another folder with --out")


def keep_record(record: Record, folder: Path, root: Path) -> Record:
    """Write a record, and the index of `root` if it lies below; return it as written: what is shown is what was kept.

    Raises:
        UsageError: it cannot be written there.
    """
    try:
        path = record.write(folder)
        if folder.resolve().is_relative_to(root.resolve()):
            update_index(root)
    except OSError as error:
        raise UsageError(f"{folder}: cannot write the record: {error.strerror or error}; try --out DIR") from error
    return Record.read(path)
