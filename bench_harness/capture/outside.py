"""py-spy, which samples processes from outside: beside a target of ours, or on a program that runs already."""

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench_harness.capture.plan import Plan
from bench_harness.errors import CouldNotMeasureError, MissingPackageError, UsageError
from bench_harness.profiles.speedscope import stacks_by_process
from bench_harness.profiles.waiting_functions import THREAD_FILE
from bench_harness.segments import (
    STACKS,
    Identity,
    Role,
    Stacks,
    State,
    announce,
    read_segments,
    write_document,
)

READY = "go"  # in the folder of segments: the watcher is attached, the target may start
_RAW = "py-spy.json"
_ATTACHED = "Sampling process"  # the beginning of py-spy's line once it samples: on stdout (0.4.3)


class Watcher:
    """py-spy beside a target that the supervisor runs."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._raw = plan.folder / _RAW
        self._said = ""
        self.left_nothing = False

    @contextlib.contextmanager
    def attached(self, pid: int) -> Iterator[None]:
        """Sample a process and its children meanwhile."""
        command = [*_command(self._plan.interval_s), "--output", str(self._raw), "--pid", str(pid)]
        with (self._plan.folder / "py-spy.log").open("wb") as log:
            spy = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._wait_until_attached(spy)
            yield
        finally:
            (self._plan.folder / READY).touch()
            self._said = _end(spy, self._plan.folder / "py-spy.log")

    def file_stacks(self) -> list[str]:
        """File what was sampled under the processes that were announced; return warnings."""
        self.left_nothing = not self._raw.exists()
        if self.left_nothing:
            return [f"py-spy left nothing: {self._said or 'it said nothing'}"]
        found = stacks_by_process(self._raw)
        for segment in read_segments(self._plan.folder):
            stacks = found.pop(segment.identity.pid or -1, None)
            if stacks is not None:
                write_document(self._plan.folder / f"{segment.identity.serial}{STACKS}", stacks)
        self._raw.unlink()
        return [f"py-spy saw process {pid}, which nobody announced: left out" for pid in found]

    def _wait_until_attached(self, spy: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + 15
        log = self._plan.folder / "py-spy.log"
        while time.monotonic() < deadline and spy.poll() is None and _ATTACHED not in log.read_text(errors="replace"):
            time.sleep(0.02)
        (self._plan.folder / READY).touch()


def check_running(pid: int) -> None:
    """Raise UsageError if there is no such process."""
    import psutil

    if not psutil.pid_exists(pid):
        raise UsageError(f"--pid {pid}: no such process")


def find_py_spy() -> str:
    """Return the path of py-spy, or raise MissingPackageError."""
    beside_python = Path(sys.executable).with_name("py-spy")
    program = str(beside_python) if beside_python.exists() else shutil.which("py-spy")
    if program is None:
        raise MissingPackageError("py-spy is not installed; try: pip install 'bench_harness[sampling]'")
    return program


def watch_running(pid: int, duration_s: float, plan: Plan) -> list[str]:
    """Sample a program that runs already, and file its processes as segments; return warnings.

    Raises:
        CouldNotMeasureError: py-spy could not read it.
    """
    raw, log = plan.folder / _RAW, plan.folder / "py-spy.log"
    lasts_s = max(1, round(duration_s))
    command = [*_command(plan.interval_s), "--duration", str(lasts_s), "--output", str(raw)]
    with log.open("wb") as said:
        subprocess.run([*command, "--pid", str(pid)], stdout=subprocess.DEVNULL, stderr=said, timeout=duration_s + 60)
    if not raw.exists():
        raise CouldNotMeasureError(f"--pid {pid}: py-spy could not sample it: {_last_line(log)}")
    for identity, stacks in _identified(pid, stacks_by_process(raw)):
        announce(plan.folder, identity)
        write_document(plan.folder / f"{identity.serial}{STACKS}", stacks)
        # Threads of one name, such as those of the queues of several workers, are added up.
        wall_s = min(seconds_watched(stacks), lasts_s)
        state = State(identity, "py-spy", final=True, reason="watched while it ran", wall_s=wall_s)
        write_document(plan.folder / f"{identity.serial}.json", state)
    raw.unlink()
    return []


def seconds_watched(stacks: Stacks) -> float:
    """Return for how long a process was seen: its threads ran side by side, so that it is the longest of them."""
    seconds: dict[int | None, float] = {}
    for sample, weight_s in zip(stacks.samples, stacks.weights_s, strict=True):
        thread = sample[0] if sample and stacks.frames[sample[0]][1] == THREAD_FILE else None
        seconds[thread] = seconds.get(thread, 0.0) + weight_s
    return max(seconds.values(), default=0.0)


def _identified(main: int, found: dict[int, Stacks]) -> Iterator[tuple[Identity, Stacks]]:
    for number, (pid, stacks) in enumerate(sorted(found.items())):
        if pid == main:
            yield Identity("main", pid=pid), stacks
        else:
            # torch names its workers so (torch.multiprocessing._set_thread_name).
            role: Role = "worker" if _process_name(pid) == "pt_data_worker" else "process"
            yield Identity(f"main.{number}", role, pid=pid, name=f"pid-{pid}"), stacks


def _process_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _command(interval_s: float) -> list[str]:
    # Idle threads too: waiting is reported as waiting, and shares are of wall time.
    rate = str(max(1, round(1 / interval_s)))
    return [find_py_spy(), "record", "--subprocesses", "--idle", "--function", "--format", "speedscope", "--rate", rate]


def _end(spy: "subprocess.Popen[bytes]", log: Path) -> str:
    """Wait until py-spy has seen the end of the target and has written its file; return what it said last."""
    for number in (None, signal.SIGINT, signal.SIGKILL):
        if number is not None:
            spy.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            spy.wait(timeout=10)
            break
    return _last_line(log)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else ""
