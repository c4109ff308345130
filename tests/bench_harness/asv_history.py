"""A git repository with asv results, both written by git and asv themselves."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asv.benchmarks import Benchmarks
from asv.config import Config
from asv.machine import Machine
from asv.results import Results
from asv.runner import BenchmarkResult

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


@dataclass
class Project:
    """A repository whose commits come an hour apart, and a results folder beside it."""

    folder: Path
    commits: list[str] = field(default_factory=list)
    benchmarks: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> Project:
        folder.mkdir()
        project = cls(folder)
        project.git("init", "--quiet", "--initial-branch=main")
        config = {"version": 1, "project": "p", "repo": ".", "results_dir": "results", "branches": ["main"]}
        (folder / "asv.conf.json").write_text(json.dumps(config), encoding="utf-8")
        return project

    def git(self, *arguments: str) -> str:
        moment = (START + datetime.timedelta(hours=len(self.commits))).isoformat()
        environment = {**os.environ, "GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()

    def commit(self, message: str) -> str:
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        self.commits.append(self.git("rev-parse", "HEAD"))
        return self.commits[-1]

    def measure(
        self,
        commit: str,
        name: str = "suite.time_x",
        samples: Sequence[float] | Sequence[Sequence[float] | None] | None = None,
        *,
        value: float | None = None,
        params: Mapping[str, Sequence[object]] | None = None,
        keep: bool = True,
        rounds: int | None = 5,
        machine: str = "box",
        environment: str = "env",
        version: str = "1",
    ) -> None:
        """Add what asv would keep: samples of a time, of each combination of `params`; or the value of a track_."""
        timed = samples is not None
        axes = [[repr(value) for value in values] for values in (params or {}).values()]
        taken = list(samples or ()) if params else [samples if timed else None]
        benchmark = {
            "name": name,
            "params": axes,
            "param_names": list(params or {}),
            "version": version,
            "type": "time" if timed else "track",
            "unit": "seconds" if timed else "unit",
            "timeout": 60,
            "code": name,
            **({"rounds": rounds} if timed and rounds else {}),
        }
        numbers = [None if one is None else 1 for one in taken] if timed else [None]
        values = [None if one is None else 0.0 for one in taken] if timed else [value]
        outcome = BenchmarkResult(values, taken if timed else [None], numbers, 0, "", None)
        results = self._results(commit, machine, environment)
        results.add_result(benchmark, outcome, started_at=START, duration=1.0, record_samples=keep)
        results.save(str(self.folder / "results"))
        self._machine(machine)
        self.benchmarks[name] = benchmark
        config = Config.load(str(self.folder / "asv.conf.json"))
        config.results_dir = str(self.folder / "results")
        Benchmarks(config, list(self.benchmarks.values())).save()

    def _results(self, commit: str, machine: str, environment: str) -> Results:
        date = int(self.git("show", "--no-patch", "--format=%ct", commit)) * 1000
        results = Results({"machine": machine, "python": "3.11"}, {}, commit, date, "3.11", environment, {})
        results.load_data(str(self.folder / "results"))
        return results

    def _machine(self, name: str) -> None:
        machine = Machine()
        machine.__dict__.update(machine=name, os="Linux", arch="x86_64", cpu="cpu", num_cpu="2", ram="8GB")
        machine.save(str(self.folder / "results"))


def levels(mean: float, *offsets: float) -> list[float]:
    """Return samples of processes, two each, whose means are `mean` times 1 + offset."""
    return [mean * (1 + offset + within) for offset in offsets for within in (-0.01, 0.01)]


QUIET = (-0.004, -0.002, 0.0, 0.002, 0.004)


def rows_of(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def history(project: Project, *messages_and_means: tuple[str, float]) -> list[str]:
    commits = []
    for message, mean in messages_and_means:
        commits.append(project.commit(message))
        project.measure(commits[-1], samples=levels(mean, *QUIET))
    return commits
