"""One virtual environment per peer, to throw away: made, or used again where it is there already."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from comparison.catalogue import TORCH, Subject
from comparison.processes import ProcessError, run

INSTALL_TIMEOUT_S = 1200.0
STAMP = "installed.txt"
SOURCES = ("csrc", "bench_core", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")


def python_of(work: Path, subject: Subject) -> Path:
    """The interpreter of a subject's environment."""
    return work / subject.environment / "bin" / "python"


def make_environment(work: Path, subject: Subject, checkout: Path) -> Path:
    """Make the environment of a subject below `work` and return its interpreter; bench_core is always built anew.

    Raises:
        ProcessError: the last line of what went wrong.
    """
    folder, python = work / subject.environment, python_of(work, subject)
    log, stamp = work / f"{subject.environment}.install.log", folder / STAMP
    wanted = "\n".join(subject.requirements)
    log.write_text("")
    if not (stamp.is_file() and stamp.read_text() == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(folder)], log, INSTALL_TIMEOUT_S)
        install(python, work, list(subject.requirements), log)
        stamp.write_text(wanted)
    if subject.needs_bench_core:
        install(python, work, ["--no-deps", "--force-reinstall", str(copy_sources(work, checkout))], log)
    return python


def install(python: Path, work: Path, arguments: list[str], log: Path) -> None:
    """Run pip, which may choose any version but torch's."""
    constraints = work / "constraints.txt"
    constraints.write_text(TORCH + "\n")
    run([str(python), "-m", "pip", "install", "-c", str(constraints), *arguments], log, INSTALL_TIMEOUT_S)


def copy_sources(work: Path, checkout: Path) -> Path:
    """Copy what is needed to build bench_core, without what was built: nothing is written into the checkout."""
    copy = work / "checkout"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in SOURCES:
        source = checkout / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("*.so", "*.o", "*.pyd", "__pycache__"))
        elif source.is_file():
            shutil.copy(source, copy / name)
        else:
            raise ProcessError(f"{source} is missing: bench_core is built from its checkout")
    return copy
