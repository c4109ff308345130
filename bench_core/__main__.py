"""python -m bench_core: the workload's command line.

Exit codes: 0 done, 2 bad input (one line on stderr says what to change), 3 a worker died or training diverged,
130 interrupted, 143 terminated.
"""

from __future__ import annotations

import argparse
import importlib
import sys

import bench_core
from bench_core.commands.output import say
from bench_core.errors import BenchCoreError

COMMANDS = ("prepare", "load", "models", "train", "sweep")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench_core", description=bench_core.__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="{" + ",".join(COMMANDS) + "}")
    for name in COMMANDS:
        module = importlib.import_module(f".commands.{name}", __package__)
        module.add_arguments(subparsers.add_parser(name, help=module.HELP, description=module.HELP))
    arguments = parser.parse_args(argv)
    try:
        code: int = importlib.import_module(f".commands.{arguments.command}", __package__).run(arguments)
        return code
    except BenchCoreError as error:
        return _failed(arguments.command, str(error), error.exit_code)
    except KeyboardInterrupt:
        return _failed(arguments.command, "", 130)
    except MemoryError as error:
        return _failed(arguments.command, f"out of memory: {error}; use a smaller image or batch", 2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(arguments.command, f"{where}{error.strerror or error}", 2)


def _say_unless_half_made(unraisable: sys.UnraisableHookArgs) -> None:
    """Leave out what Python prints where an interrupt came while torch was making a reference to shared memory:
    its destructor misses an attribute that the constructor was kept from setting (there is nothing to free)."""
    where = getattr(unraisable.object, "__qualname__", "")
    if not (issubclass(unraisable.exc_type, AttributeError) and where == "StorageWeakRef.__del__"):
        sys.__unraisablehook__(unraisable)


def _failed(command: str, why: str, exit_code: int) -> int:
    say(f"bench_core {command}: error: {why}" if why else f"bench_core {command}: interrupted")
    return exit_code


if __name__ == "__main__":
    sys.unraisablehook = _say_unless_half_made
    sys.exit(main())
