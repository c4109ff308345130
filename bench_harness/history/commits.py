"""The order of commits: the first-parent line that leads to one, as asv walks it, oldest first."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from bench_harness.errors import UsageError
from bench_harness.git import git_output


@dataclass(frozen=True)
class CommitLine:
    """A line of commits, oldest first, and what of the measured ones is not on it."""

    commits: tuple[str, ...]
    elsewhere: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    positions: dict[str, int] = field(default_factory=dict, repr=False)

    def between(self, first: str, last: str) -> tuple[str, ...]:
        """Return the commits after `first` and before `last`."""
        return self.commits[self.positions[first] + 1 : self.positions[last]]


def commit_line(folder: Path, measured: dict[str, str], revisions: str = "HEAD") -> CommitLine:
    """Return the first-parent line of `revisions` (git's words: HEAD, v1..main).

    Args:
        folder: any folder of the repository.
        measured: commit -> date, of everything that has results. Without a repository, dates alone give the order.
        revisions: what the line leads to, or a range of it.

    Raises:
        UsageError: git knows no such revisions, or there is no repository to know them.
    """
    line = line_of(folder, revisions)
    if line is None and revisions != "HEAD":
        raise UsageError(f"'{revisions}' needs git and a repository, and {folder.resolve()} is in none")
    if line is None:
        by_date = sorted(measured, key=lambda commit: (measured[commit], commit))
        return _line(by_date, (), [f"{folder}: no git repository, or no git: commits are ordered by their dates"])
    elsewhere = sorted(set(measured) - set(line), key=lambda commit: (measured[commit], commit))
    return _line(line, elsewhere, _warnings(folder, elsewhere, revisions))


def line_of(folder: Path, revisions: str) -> list[str] | None:
    """Return the commits of the first-parent line, oldest first; None where there is no repository.

    Raises:
        UsageError: git knows no such revisions.
    """
    listed = git_output(folder, "rev-list", "--first-parent", "--reverse", "--end-of-options", revisions, "--")
    if listed is not None:
        return listed.split()
    if git_output(folder, "rev-parse", "--git-dir") is not None:
        raise UsageError(f"git knows no commits '{revisions}'; give a commit, or a range such as v1.0..HEAD")
    return None


def end_of(folder: Path, revisions: str) -> str:
    """Return the commit that a range leads to; the revisions themselves where it is not one commit."""
    parsed = (git_output(folder, "rev-parse", "--revs-only", "--end-of-options", revisions) or "").split()
    ends = [commit for commit in parsed if not commit.startswith(("^", "-"))]
    return ends[0] if len(ends) == 1 else revisions


def _line(commits: Collection[str], elsewhere: Collection[str], warnings: Collection[str]) -> CommitLine:
    positions = {commit: index for index, commit in enumerate(commits)}
    return CommitLine(tuple(commits), tuple(elsewhere), tuple(warnings), positions)


def _warnings(folder: Path, elsewhere: Collection[str], revisions: str) -> list[str]:
    if not elsewhere:
        return []
    known = _in_clone(folder, elsewhere)
    lost = [commit for commit in elsewhere if commit not in known]
    warnings = []
    if lost:
        warnings.append(
            f"results of {_named(lost)} left out: not in this clone; if it is shallow, git fetch --unshallow"
        )
    aside = [commit for commit in elsewhere if commit in known]
    # Of a range, everything before its start is left out on purpose.
    if aside and not re.search(r"\.\.|\^", revisions):
        warnings.append(f"results of {_named(aside)} left out: not on the first-parent line of {revisions}")
    return warnings


def _in_clone(folder: Path, commits: Collection[str]) -> set[str]:
    hashes = [commit for commit in commits if re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", commit)]
    found: set[str] = set()
    for start in range(0, len(hashes), 500):  # a command line has room for so many, and then for some more
        # --ignore-missing leaves out what is not there instead of failing.
        known = git_output(folder, "rev-list", "--no-walk", "--ignore-missing", *hashes[start : start + 500], "--")
        found.update((known or "").split())
    return found


def _named(commits: Collection[str]) -> str:
    shown = ", ".join(commit[:12] for commit in list(commits)[:3])
    return shown if len(commits) <= 3 else f"{shown} and {len(commits) - 3} more commits"
