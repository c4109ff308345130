"""Scripts under `bench profile`, for several test files: the fixture `bench`."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_harness.record import Record

BENCH = (sys.executable, "-m", "bench_harness", "profile")


@dataclass
class Done:
    """A run of `bench profile`."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def lines(self) -> list[str]:
        """What was printed, the program's lines first."""
        return self.out.splitlines()

    @property
    def record(self) -> Record:
        """The record that it left."""
        return Record.read(self.folder)

    def calls(self, process: str) -> dict[str, int | None]:
        """Return the calls of the program's own functions."""
        return own_calls(self.folder, process)


Bench = Callable[..., Done]


def own_calls(run: Path, process: str) -> dict[str, int | None]:
    """Return the calls of a program's own functions from the record of a run."""
    rows = Record.read(run).results["functions"]
    return {row["name"]: row["calls"] for row in rows if row["process"] == process and row["own"]}


def profile(folder: Path, script: str, *arguments: str, options: tuple[str, ...] = (), **extra: Any) -> Done:
    """Write a script into a folder, and profile it there."""
    (folder / "script.py").write_text(textwrap.dedent(script))
    command = [*BENCH, "--out", str(folder / "run"), *options, "script.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, **{"timeout": 90, **extra})
    return Done(done.returncode, done.stdout, done.stderr, folder / "run")
