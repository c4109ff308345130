"""The target that a command line names: a script, -m and a module, or @NAME of `bench list`."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from bench_harness import targets
from bench_harness.errors import UsageError


@dataclass
class Target:
    """What to run: `command` as bench_harness.capture.bootstrap takes it; `name` for folders and people."""

    name: str
    command: list[str]
    arguments: list[str]


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `resolve_target` reads; what follows the target is the target's own."""
    parser.add_argument(
        "target",
        nargs=argparse.REMAINDER,
        metavar="script.py ...",
        help="a script, or @NAME of `bench list`, and its arguments",
    )
    parser.add_argument(
        "-m",
        dest="module",
        nargs=argparse.REMAINDER,
        metavar="module ...",
        help="a module and its arguments, as `python -m`",
    )


def resolve_target(args: argparse.Namespace) -> Target:
    """Return the target that the command line names.

    Raises:
        UsageError: there is no such script, module or named target.
    """
    if args.module is not None:
        if not args.module:
            raise UsageError("-m: give the module to run")
        name, *arguments = args.module
        return Target(name, ["-m", name, *arguments], arguments)
    first, *arguments = args.target
    if first.startswith("@"):
        found = targets.find(first[1:])
        return Target(first[1:], [f"@{found.value}", *arguments], arguments)
    if not Path(first).is_file() and not Path(first, "__main__.py").is_file():
        raise UsageError(f"{first}: no such script; bench's own options go before it, a module is run by -m")
    return Target(Path(first).stem, [first, *arguments], arguments)
