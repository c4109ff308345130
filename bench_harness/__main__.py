"""The `bench` command line: finds the subcommand, runs it, turns errors into one line and an exit code."""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence

from bench_harness import __version__
from bench_harness.commands import COMMANDS
from bench_harness.errors import ExitCode, HarnessError

EXIT_CODES = "exit codes: 0 fine, 1 regression, 2 usage or bad input, 3 could not measure, 4 undecided"


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; only a subcommand named in argv is imported, so that `bench --help` stays fast."""
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Measure a program, keep the record, read it later.",
        epilog=EXIT_CODES,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"bench {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, purpose in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=purpose, description=purpose, epilog=EXIT_CODES, allow_abbrev=False
        )
        if name in argv:
            module = importlib.import_module(f"bench_harness.commands.{name}")
            module.configure(subparser)
            subparser.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `bench` with these arguments (default: the process's) and return its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    _tolerate_narrow_stdout()
    try:
        args = build_parser(argv).parse_args(argv)
        args.argv = argv
        return run_command(args.run, args)
    except SystemExit as leaving:  # argparse printed help, version or a usage error
        return leaving.code if isinstance(leaving.code, int) else ExitCode.USAGE


def run_command(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Run one subcommand; expected errors become one line on stderr."""
    try:
        code = int(run(args))
        sys.stdout.flush()
        return code
    except HarnessError as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader left (`bench ... | head`): flushing again at exit would print a second error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # SIGPIPE, spelled out because Windows has none
    except Exception:
        # Python's own exit code of a crash is 1, which means "regression" here.
        import traceback

        traceback.print_exc()
        return ExitCode.NOT_MEASURED


def _tolerate_narrow_stdout() -> None:
    """A label with a letter that the terminal's encoding lacks is shown with a '?' instead of failing."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
