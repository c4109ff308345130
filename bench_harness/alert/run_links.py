"""Links to the runs that profiled base or head: what a regression is looked into with."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench_harness.run_index import read_runs

PROFILING = ("profile", "memory")
MOST = 3


def runs_of(root: Path, commits: Iterable[str]) -> dict[str, list[dict[str, str]]]:
    """Return, per commit, its newest runs of `bench profile` and `bench memory` below `root`.

    Each is {"command", "target", "path"}, the path as a link relative to the working folder.
    """
    newest = sorted(read_runs(root), key=lambda run: str(run.get("started")), reverse=True)
    profiled = [run for run in newest if run.get("command") in PROFILING]
    return {commit: [_link(root, run) for run in profiled if run["commit"] == commit][:MOST] for commit in commits}


def _link(root: Path, run: dict[str, Any]) -> dict[str, str]:
    path = Path(os.path.relpath(root / str(run["folder"]))).as_posix()
    return {"command": str(run["command"]), "target": str(run["target"]), "path": quote(os.fsencode(path))}
