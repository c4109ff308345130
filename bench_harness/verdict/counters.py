"""Exact counters: what a command does, counted rather than timed. Each is another way of running the same command."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from bench_harness.errors import CouldNotMeasureError, MissingPackageError, UsageError
from bench_harness.optional import require

_CALLS_MAIN = Path(__file__).with_name("count_calls.py")
_PYTHON = re.compile(r"(python|pypy)[\d.]*$")
_TAKE_A_VALUE = ("-W", "-X", "--check-hash-based-pycs")
_COLLECTED = re.compile(r"^==\d+== Collected : (\d+)", re.MULTILINE)


def under_callgrind(command: Sequence[str], folder: Path) -> list[str]:
    """Return the command that counts instructions, of every program that it starts too."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise MissingPackageError("instructions are counted by valgrind, which is not installed; apt install valgrind")
    log = folder / "callgrind.%p.log"
    options = ["--trace-children=yes", "--callgrind-out-file=/dev/null", f"--log-file={log}"]
    return [valgrind, "--tool=callgrind", *options, *command]


def read_instructions(folder: Path) -> int:
    """Return the instructions of all processes of a run.

    A process that was forked and runs no program of its own starts from its parent's count at the fork: callgrind goes
    on counting there. Equal on both sides, but a change inside such workers is then a smaller part of the whole.
    """
    texts = [path.read_text(errors="replace") for path in folder.glob("callgrind.*.log")]
    counts = [found for text in texts if (found := _COLLECTED.search(text))]
    if len(counts) < len(texts):
        lost = len(texts) - len(counts)
        raise CouldNotMeasureError(f"{lost} of {len(texts)} processes were killed before callgrind told its count")
    if not counts:
        raise CouldNotMeasureError("callgrind told no count: is the command a program that valgrind can run?")
    return sum(int(found[1]) for found in counts)


def counting_calls(command: Sequence[str], folder: Path) -> list[str]:
    """Return the command that counts the function calls of a Python program's main process."""
    interpreter, rest = split_python(command, "calls")
    return [*interpreter, str(_CALLS_MAIN), str(folder / "calls"), *rest]


def read_calls(folder: Path) -> int:
    """Return the number of calls, of Python and C functions."""
    try:
        return int((folder / "calls").read_text())
    except (OSError, ValueError):
        raise CouldNotMeasureError("the program left without its calls: it ended itself by os._exit or exec") from None


def under_memray(command: Sequence[str], folder: Path) -> list[str]:
    """Return the command that counts the allocations of a Python program and of the workers that it forks."""
    interpreter, rest = split_python(command, "allocations")
    options = ["--quiet", "--follow-fork", "--force", "--output", str(folder / "memray.bin")]
    return [*interpreter, "-m", "memray", "run", *options, *rest]


def read_allocations(folder: Path) -> int:
    """Return the allocations of the main process and its forks, as memray counts them: without pymalloc's own."""
    memray = require("memray", "memray")
    total = 0
    try:
        for path in folder.glob("memray.bin*"):
            with memray.FileReader(path) as reader:
                total += reader.metadata.total_allocations
    except OSError as error:
        raise CouldNotMeasureError(f"memray cannot read a capture: {error}") from error
    if not total:
        raise CouldNotMeasureError("memray counted no allocation")
    return total


def split_python(command: Sequence[str], metric: str) -> tuple[list[str], list[str]]:
    """Split a command into the interpreter with its options, and the program with its arguments.

    Raises:
        UsageError: it does not run Python.
    """
    found = shutil.which(command[0])
    if found is None:
        raise UsageError(f"{command[0]}: no such program")
    if not _PYTHON.search(Path(command[0]).name):
        shebang = _shebang(Path(found))
        if not shebang:
            raise UsageError(f"{metric} are counted in Python programs: '{command[0]}' is none; start it as python ...")
        return shebang, [found, *command[1:]]
    at = 1
    while at < len(command) and command[at].startswith("-") and not _begins_program(command[at]):
        at += 2 if command[at] in _TAKE_A_VALUE else 1
    if at >= len(command):
        raise UsageError(f"{metric} are counted in Python programs: '{' '.join(command)}' names none")
    return list(command[:at]), list(command[at:])


def _begins_program(option: str) -> bool:
    return option in ("-c", "-m")


def _shebang(path: Path) -> list[str]:
    """Return the interpreter that a script names, if that is Python."""
    with path.open("rb") as file:
        line = file.readline(512).decode(errors="replace").strip()
    words = line[2:].split() if line.startswith("#!") else []
    if words and Path(words[0]).name == "env":
        words = words[1:]
    return words if words and _PYTHON.search(Path(words[0]).name) else []
