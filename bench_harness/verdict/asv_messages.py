"""What asv says when something is wrong, in one line: it raises errors of many kinds, and logs beside them."""

from __future__ import annotations

import contextlib
import logging
import subprocess
from collections.abc import Iterator

from bench_harness.errors import ConfigError, HarnessError

_LOG_LINES = 30


@contextlib.contextmanager
def asv_errors(what: str, kind: type[HarnessError] = ConfigError) -> Iterator[None]:
    """Turn whatever asv raises into one line that begins with `what`."""
    try:
        with quiet():
            yield
    except HarnessError:
        raise
    except subprocess.CalledProcessError as error:  # asv's ProcessError
        lines = last_lines(f"{error.stdout or ''}\n{error.stderr or ''}")
        raise kind(f"{what}: {reason(lines) or one_line(error)}") from error
    except Exception as error:  # UserError, ValueError, TypeError, KeyError ... depending on what is wrong
        raise kind(f"{what}: {one_line(error)}") from error


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Collect what asv logs, instead of the traceback-like text that it prints beside the error it raises."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(str(record.msg))  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        yield said
    finally:
        logging.getLogger().removeHandler(handler)


def told(said: list[str]) -> str:
    """Return what `quiet` collected, for the end of a message."""
    return f" (asv: {'; '.join(' '.join(line.split()) for line in said)})" if said else ""


def last_lines(text: str) -> tuple[str, ...]:
    """Return the end of a command's output, without empty lines."""
    return tuple(line.rstrip() for line in text.splitlines() if line.strip())[-_LOG_LINES:]


def reason(lines: tuple[str, ...]) -> str:
    """Return the line that tells most: the last that names an error, else the last."""
    named = [line for line in lines if "error" in line.lower() and "subprocess-exited-with-error" not in line]
    return (named or list(lines) or [""])[-1].strip()


def one_line(error: BaseException) -> str:
    """Return the error's message without line breaks, or what kind of error it is."""
    return " ".join(str(error).split()) or type(error).__name__
