"""Run the target in a child process and outlive it, so that what was measured is kept however the target ends.

The child is the leader of a process group of its own, in the foreground where there is a terminal: Ctrl-C goes to the
target and its workers as it would without us, and every other signal that reaches us is passed on, once.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench_harness.capture import bootstrap
from bench_harness.capture.plan import VARIABLE, Plan
from bench_harness.capture.runtime import ENDED_BY_PARENT
from bench_harness.errors import CouldNotMeasureError
from bench_harness.segments import read_segments, signal_name

if TYPE_CHECKING:
    import resource  # of POSIX alone, and this is imported everywhere

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_FORWARDED = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGWINCH", "SIGTSTP")
    if hasattr(signal, name)
)
_FROM_KEYBOARD = tuple(getattr(signal, name) for name in ("SIGINT", "SIGQUIT", "SIGTSTP") if hasattr(signal, name))
# Workers whose main process is gone: torch's notice within 5 s (MP_STATUS_CHECK_INTERVAL), then make their last dump.
# Those of a forkserver never do: each of them holds the pipe open by which the others would learn of it.
ORPHANS_LEAVE_S = 7.0
TERMINATED_LEAVE_S = 5.0


@dataclass
class Outcome:
    """How the target ended.

    Args:
        code: what a shell would report: the exit code, or 128 + the number of the signal.
        signal: name of the signal that killed the target, if one did.
        wall_s, cpu_s: of the target, from its start on; CPU time with all its children that were waited for.
        warnings: about workers that had to be ended.
    """

    code: int
    signal: str | None
    wall_s: float
    cpu_s: float
    warnings: list[str] = field(default_factory=list)


def run_target(
    plan: Plan,
    target: Sequence[str],
    beside: Callable[[int], contextlib.AbstractContextManager[object]],
    *,
    quiet: bool = False,
) -> Outcome:
    """Run the target to its end, and its workers to theirs.

    Args:
        plan: what to capture.
        target: script and arguments, or -m, module and arguments, or @module:callable and arguments.
        beside: given the pid of the target, a context to hold while it runs: a profiler that watches from outside.
        quiet: send what the target prints to stderr.

    Raises:
        CouldNotMeasureError: the target cannot be run under supervision here.
    """
    if os.name != "posix":
        raise CouldNotMeasureError("programs are captured on POSIX systems only: Linux, macOS; try WSL")
    _become_subreaper()
    command = [sys.executable, "-c", bootstrap.command(), plan.to_json(), *target]
    return _run(command, plan.folder, beside, quiet, _environment(plan))


def _environment(plan: Plan) -> dict[str, str]:
    """Return the environment by which ranks that the target starts as programs of their own are captured too."""
    paths = [str(Path(__file__).with_name("inject")), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, VARIABLE: plan.to_json(), "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def run_plain(target: Sequence[str], *, quiet: bool = False) -> Outcome:
    """Run the target without any of us in it: by the same bootstrap, for the same imports."""
    with tempfile.TemporaryDirectory() as nothing:
        command = [sys.executable, "-c", bootstrap.command("main_without_capture"), *target]
        return _run(command, Path(nothing), lambda pid: contextlib.nullcontext(), quiet)


def _run(
    command: list[str],
    folder: Path,
    beside: Callable[[int], contextlib.AbstractContextManager[object]],
    quiet: bool,
    environment: dict[str, str] | None = None,
) -> Outcome:
    begin = time.monotonic()
    # A group of its own, made before the target runs a line: signals sent to ours must not reach it twice.
    child = subprocess.Popen(
        command, preexec_fn=os.setpgrp, close_fds=False, stdout=sys.stderr if quiet else None, env=environment
    )
    with _foreground(child.pid), _forwarding(child.pid, folder), beside(child.pid):
        _, status, usage = _wait(child.pid)
        wall_s = time.monotonic() - begin
        child.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait for it again
        warnings = _see_off_orphans(folder)
    code, name = child.returncode, None
    if code < 0:
        code, name = 128 - code, signal_name(-code)
    return Outcome(code, name, wall_s, usage.ru_utime + usage.ru_stime, warnings)


def _become_subreaper() -> None:
    """Inherit the workers of a target that dies before them, to know when they ended; Linux alone can."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait(pid: int) -> tuple[int, int, resource.struct_rusage]:
    """Wait for the end of the target; where the terminal stops it (Ctrl-Z), stop and go on with it."""
    while True:
        # Of any: what the target leaves to us as its orphans must not stay as zombies, as it would not with init.
        found, status, usage = os.wait4(-1, os.WUNTRACED)
        if found != pid:
            continue
        if not os.WIFSTOPPED(status):
            return found, status, usage
        _stop_too(pid)


def _stop_too(pid: int) -> None:
    """Stop as the target did, our whole job with us, until the shell lets it go on."""
    _pass_terminal(pid, os.getpgrp())
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.killpg(os.getpgrp(), signal.SIGTSTP)  # does nothing where no shell could wake us
    signal.signal(signal.SIGTSTP, before)
    _pass_terminal(os.getpgrp(), pid)
    os.killpg(pid, signal.SIGCONT)


@contextlib.contextmanager
def _forwarding(pid: int, folder: Path) -> Iterator[None]:
    """Pass signals on to the target: those of the keyboard to its whole group, as the terminal would."""

    def forward(number: int, frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGTERM:
                note = folder / f"{bootstrap.serial()}{ENDED_BY_PARENT}"
                with contextlib.suppress(OSError):
                    note.touch()
            elif number == signal.SIGCONT:
                _pass_terminal(os.getpgrp(), pid)  # `fg` gave it to us
            (os.killpg if number in _FROM_KEYBOARD else os.kill)(pid, number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _foreground(pid: int) -> Iterator[None]:
    """Give the terminal to the target while it runs, if we have it."""
    # Taking the terminal back from the background raises SIGTTOU, which would stop us.
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        _pass_terminal(os.getpgrp(), pid)
        yield
    finally:
        _pass_terminal(pid, os.getpgrp())
        signal.signal(signal.SIGTTOU, before)


def _pass_terminal(giver: int, taker: int) -> None:
    """Make another process group that of the foreground, if `giver` is: with `bg` the terminal is the shell's."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # there is none
        terminal = sys.stdin.fileno()
        if os.tcgetpgrp(terminal) == giver:
            os.tcsetpgrp(terminal, taker)


def _see_off_orphans(folder: Path) -> list[str]:
    """Wait for captured processes that outlived the target; end those that stay. Nobody else is touched."""
    warnings = []
    for patience_s, number in ((ORPHANS_LEAVE_S, signal.SIGTERM), (TERMINATED_LEAVE_S, signal.SIGKILL)):
        left = _wait_for(folder, patience_s)
        for pid, label in left.items():
            warnings.append(f"{label} (pid {pid}) was still running {patience_s:.0f} s after main: sent {number.name}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    _wait_for(folder, 1.0)
    return warnings


def _wait_for(folder: Path, patience_s: float) -> dict[int, str]:
    deadline = time.monotonic() + patience_s
    while True:
        _reap()
        left = {
            segment.identity.pid: segment.identity.label()
            for segment in read_segments(folder)
            if segment.identity.pid and not segment.is_final and _is_ours_and_alive(segment.identity.pid)
        }
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def running_target(folder: Path) -> int | None:
    """Return the pid of a process that still writes segments into a folder, the supervisor of which was killed."""
    import psutil

    for segment in read_segments(folder):
        with contextlib.suppress(psutil.Error):
            # Its command line holds the plan: one that ended may have left its pid to a stranger.
            process = psutil.Process(segment.identity.pid or 0)
            if str(folder.resolve()) in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                return segment.identity.pid
    return None


def _is_ours_and_alive(pid: int) -> bool:
    """Tell whether a process descends from us: one that ended may have left its pid to a stranger.

    Not only our children: the workers of a forkserver are its children, and it lives as long as they do.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return os.getpid() in (parent.pid for parent in process.parents())
    except psutil.NoSuchProcess:
        return False


def _reap() -> None:
    """Collect the exit codes of adopted children that ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except OSError as error:
        if error.errno != errno.ECHILD:
            raise
