"""What several test files measure with."""

from __future__ import annotations

import functools
import multiprocessing.process
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pipeline_capture import Capture
from profiled_scripts import Bench, profile

from bench_harness.__main__ import main
from bench_harness.capture.pipeline import hooks

if TYPE_CHECKING:
    from asv_history import Project


@pytest.fixture
def capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Capture]:
    """The hooks in this process, and in the workers that it starts."""
    runtime = Capture(tmp_path)
    original = multiprocessing.process.BaseProcess.start
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", lambda self: runtime.start(self, original))
    runtime.install()
    yield runtime
    hooks.uninstall()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Writes a script, and profiles it."""
    return functools.partial(profile, tmp_path)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A git repository whose results asv's own API writes."""
    from asv_history import Project  # needs asv

    monkeypatch.setenv("BENCH_MACHINE", "here")
    return Project.make(tmp_path / "project")


@pytest.fixture
def log(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run `bench log` in the project; return its exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(project.folder)
        code = main(["log", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
