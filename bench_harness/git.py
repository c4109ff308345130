"""What git says of a folder: one command at a time, never an error of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess


def git_output(folder: str | os.PathLike[str], *arguments: str) -> str | None:
    """Return what git prints, or None where git is absent, fails or takes longer than 10 s."""
    done = _run(folder, arguments)
    return done.stdout.strip() if done is not None and done.returncode == 0 else None


def git_problem(folder: str | os.PathLike[str], *arguments: str) -> str | None:
    """Run a git command that changes something; return None where it did, else in one line why it did not."""
    done = _run(folder, arguments)
    if done is None:
        return "git is not installed, or did not answer for 10 s"
    said = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else said[-1] if said else f"git exited with {done.returncode}"


def _run(folder: str | os.PathLike[str], arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str] | None:
    import subprocess

    # Without optional locks, a measurement does not collide with the user's own git.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        return subprocess.run(
            ["git", "-C", os.fspath(folder), *arguments],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=10,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def tracked_files(folder: Path) -> frozenset[str] | None:
    """Return the files below `folder` that are in git, relative to it; none outside a repository.

    None where there is a repository and git does not answer: then nothing is known.
    """
    listed = git_output(folder, "ls-files", "-z")
    if listed is not None:
        return frozenset(path for path in listed.split("\0") if path)
    within_repository = any((parent / ".git").exists() for parent in (folder.resolve(), *folder.resolve().parents))
    return None if within_repository else frozenset()
