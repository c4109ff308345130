"""Which old runs go, and their removal: only on request, and never what a person named or committed."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_harness.errors import UsageError
from bench_harness.git import tracked_files
from bench_harness.record import FILE_NAME
from bench_harness.run_index import read_runs


@dataclass
class Plan:
    """Entries of the index: what goes, and what stays with `why`."""

    removed: list[dict[str, Any]] = field(default_factory=list)
    kept: list[dict[str, Any]] = field(default_factory=list)

    def only(self, target: str) -> "Plan":
        """Return the part of one target."""
        chosen = ([run for run in runs if run["target"] == target] for runs in (self.removed, self.kept))
        return Plan(*chosen)


def plan(root: Path, keep: int) -> Plan:
    """Return what goes if the newest `keep` runs of each target stay.

    Folders without a record of ours are not runs: they are in neither list.

    Raises:
        UsageError: git does not say which runs are committed.
    """
    tracked = tracked_files(root) if root.is_dir() else frozenset()
    if tracked is None:
        raise UsageError(
            f"{root}: git does not say which runs are committed, so none can be removed; is git installed?"
        )
    result = Plan()
    count: dict[str, int] = {}
    for run in sorted(read_runs(root, tracked), key=lambda run: str(run["folder"]), reverse=True):
        why = _protected(root / run["folder"], run)
        if why is None:
            count[run["target"]] = count.get(run["target"], 0) + 1
            why = f"one of the newest {keep}" if count[run["target"]] <= keep else None
        if why is None:
            result.removed.append(run)
        else:
            result.kept.append(run | {"why": why})
    return result


def _protected(folder: Path, run: dict[str, Any]) -> str | None:
    if run["committed"]:
        return "in git"
    if run["named"]:
        return "named by hand"
    if "problem" in run:
        return "its record cannot be read"
    return "a link" if folder.is_symlink() or folder.parent.is_symlink() else None


def remove(root: Path, chosen: Plan) -> None:
    """Remove the folders of a plan.

    Raises:
        UsageError: one cannot be removed; the earlier ones are gone.
    """
    for run in chosen.removed:
        folder = root / run["folder"]
        try:
            # Renamed first: a removal that is interrupted leaves no half of a run that still looks whole.
            doomed = folder.rename(folder.with_name(f".removed-{folder.name}"))
            (doomed / FILE_NAME).unlink()
            shutil.rmtree(doomed)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be removed: {error.strerror or error}") from error
