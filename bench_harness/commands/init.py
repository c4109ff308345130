"""bench init: an asv configuration, a first benchmark, rules and workflows for one's own repository.

Writes only files that are not there; what exists is kept and listed. It measures nothing, and leaves no record.
"""

import argparse
from pathlib import Path

from bench_harness.errors import ExitCode, UsageError
from bench_harness.record import write_text
from bench_harness.starter import files
from bench_harness.starter.files import Planned, Repository


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench init`."""
    add = parser.add_argument
    add("--dry-run", action="store_true", help="list what would be written, and write nothing")
    add(
        "--harness", default=files.HARNESS, metavar="REQ", help=f"what the workflow installs (default: {files.HARNESS})"
    )
    add("--budget", default=files.BUDGET, metavar="T", help=f"of the workflow's comparison (default: {files.BUDGET})")


def run(args: argparse.Namespace) -> int:
    """Write what is missing, and list everything."""
    for option, value in (("--harness", args.harness), ("--budget", args.budget)):
        if not value or any(letter in value for letter in "\"'\\`$\n"):
            raise UsageError(
                f"{option} {value!r}: it becomes a word in quotes of a shell; leave out quotes, \\, ` and $"
            )
    # Where it is needed, because that command imports all that measures.
    from bench_harness.commands.compare import parse_seconds

    parse_seconds(args.budget, "--budget")
    budget = "".join(args.budget.split())  # in the workflow it is a word without quotes
    repository = Repository.find(Path())
    if repository is None:
        raise UsageError("no git repository here: asv measures commits; run git init and commit first")
    planned = files.planned_files(repository, args.harness, budget)
    lacking = files.lacks_table(repository.root)
    if not args.dry_run:
        write_all(repository.root, [one for one in planned if not one.there])
    print("\n".join(_lines(repository, planned, lacking=lacking, dry_run=args.dry_run)))
    return ExitCode.FINE


def write_all(root: Path, missing: list[Planned]) -> None:
    """Write files; where one cannot be written, none of them stays.

    Raises:
        UsageError: which one, and why.
    """
    written: list[Path] = []
    for one in missing:
        path = root / one.path
        try:
            write_text(path, one.text)
        except OSError as error:
            for other in written:
                other.unlink()
            raise UsageError(f"{one.path}: cannot be written: {error.strerror or error}; nothing was") from error
        written.append(path)


def _lines(repository: Repository, planned: list[Planned], *, lacking: bool, dry_run: bool) -> list[str]:
    verb = "would write" if dry_run else "written"
    lines = [f"{'kept' if one.there else verb:<12}{one.path}" for one in planned]
    kept = {one.path: one.text for one in planned if one.there}
    if lacking and files.PYPROJECT in kept:
        lines += [
            "",
            f"{files.PYPROJECT} is there and is not touched; paste into it:",
            "",
            kept[files.PYPROJECT].rstrip(),
        ]
    if files.GITIGNORE in kept:
        lines += [
            "",
            f"{files.GITIGNORE} is there and is not touched; it should have:",
            "",
            kept[files.GITIGNORE].rstrip(),
        ]
    if not repository.installable:
        lines += ["", "no pyproject.toml with [project] and no setup.py: asv puts each commit on the path as it is"]
    return [*lines, "", "next: asv machine --yes; asv check; commit; asv run HEAD^!; bench compare HEAD~1 HEAD"]
