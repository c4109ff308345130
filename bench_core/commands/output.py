"""Results on stdout, notices on stderr; a reader that goes away (`| head`) is no error."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from bench_core.errors import BenchCoreError


def show(text: str) -> None:
    """Print a result on stdout.

    Raises:
        BenchCoreError: it cannot be written, for instance because the disk is full.
    """
    if sys.stdout is None:
        raise BenchCoreError("stdout is closed: there is nowhere to write the result")
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _give_up(sys.stdout)
    except OSError as error:
        _give_up(sys.stdout)
        raise BenchCoreError(f"the result cannot be written to stdout: {error.strerror or error}") from None


def say(text: str) -> None:
    """Print a notice on stderr; where that is closed nobody wants to know."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _give_up(sys.stderr)


def on_terminal() -> bool:
    """Say whether somebody watches stderr, and a progress bar makes sense."""
    return sys.stderr is not None and sys.stderr.isatty()


def _give_up(stream: TextIO) -> None:
    """Send what is left in a stream nowhere, so that the interpreter does not try again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
