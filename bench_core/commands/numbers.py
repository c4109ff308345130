"""Numbers on the command line: types for argparse that name the bounds."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """Read an integer of at least 0."""
    return int(_number(text, int, 0, 2**40))


def positive(text: str) -> int:
    """Read an integer of at least 1."""
    return int(_number(text, int, 1, 10**9))


def workers(text: str) -> int:
    """Read a number of processes."""
    return int(_number(text, int, 0, 1024))


def edge(text: str) -> int:
    """Read a number of voxels."""
    return int(_number(text, int, 1, 512))


def length(text: str) -> float:
    """Read a number above 0: Å, seconds."""
    return _number(text, float, 1e-9, 1e6)


def _number(text: str, kind: type[int] | type[float], least: float, most: float) -> float:
    """Read a number within bounds; beyond the upper ones nothing works, and not in one line."""
    try:
        value = kind(text)
    except ValueError:
        value = kind(-1)
    if not least <= value <= most:
        what = "an integer" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {least:g} to {most:g}")
    return value


def share(text: str) -> float:
    """Read a number between 0 and 1."""
    return _number(text, float, 1e-6, 1 - 1e-6)


def seconds(text: str) -> float:
    """Read a time of at least 0."""
    return _number(text, float, 0, 1e9)


def list_of_positive(text: str) -> list[int]:
    """Read integers of at least 1, separated by commas."""
    return [positive(part) for part in text.split(",")]


def list_of_workers(text: str) -> list[int]:
    """Read numbers of processes, separated by commas."""
    return [workers(part) for part in text.split(",")]
