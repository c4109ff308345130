"""python -m bench_core: the workload's command line.

Exit codes: 0 done, 2 bad input (one line on stderr says what to change), 3 a worker died, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys

import bench_core
from bench_core.errors import BenchCoreError

COMMANDS = ("prepare", "load")


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
        sys.stdout.flush()
    except BenchCoreError as error:
        print(f"bench_core {arguments.command}: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"bench_core {arguments.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of stdout went away (`| head`): nothing is left to say, not even at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
