"""The capture of one process: its engine, its dumps while it runs, and the dump of its end, whatever ends it."""

import _thread
import contextlib
import dataclasses
import gc
import mmap
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench_harness.capture.engines import COUNTING, make_engine
from bench_harness.capture.pipeline.layout import mapped
from bench_harness.capture.plan import Plan
from bench_harness.memory import memray_run
from bench_harness.memory.process_memory import read_held, read_rss_bytes
from bench_harness.segments import MAIN, PULSE, PULSE_FIELDS, THREADS, Identity, State, write_atomically, write_document

# Of the time of a process, at most, that its dumps while it runs may take.
_DUMPS_SHARE = 0.1
_ATTEMPTS = 5  # at the last dump, where signal handlers raise in the middle of it
_ANOTHER_THREAD = "ended from another thread: functions still open are not counted"
_current: "ProcessCapture | None" = None


def handles_sigterm() -> bool:
    """Tell whether the user's own code handles SIGTERM; bench_harness.capture.signals knows."""
    return False


def current() -> "ProcessCapture | None":
    """Return the capture that runs in this process."""
    return _current


def forget() -> None:
    """Go on without a capture in this process."""
    global _current
    _current = None


class ProcessCapture:
    """Captures this process from `start` to `finish`; the engine follows the thread that called `start`.

    A background thread dumps what there is every `plan.dump_every_s`, so that a killed process loses no more than that;
    less often where dumps are dear. It rests around every fork: a lock that it
    held would stay locked in the child.
    """

    def __init__(self, plan: Plan, identity: Identity) -> None:
        identity.pid = os.getpid()
        self.plan = plan
        self.identity = identity
        self.state = State(identity, plan.engine)
        self.folder: Path = plan.folder
        self.children = 0  # processes started from here: the next serial
        self.at_dump: list[Callable[[], None]] = []
        self.at_end: list[Callable[[], None]] = []  # once, before the last dump is written
        self._engine = make_engine(plan.engine, plan.interval_s)
        self._lock = threading.RLock()  # a signal may come in the middle of a dump, in the thread that dumps
        self._captured_thread = threading.get_ident()
        # Released to end the thread that dumps, which holds the other one while it runs. No threading.Event: a signal
        # handler that sets it in the middle of a set() waits for itself.
        self._wake, self._rests = _locked(), _thread.allocate_lock()
        self._finished = False
        self._running = False
        self._next_dump_s = 0.0
        # Boundaries that are not written yet; the last one, if it is written, is what dumps are relative to.
        self._frozen: list[tuple[str, Callable[[], tuple[str, bytes] | None]]] = []
        self._base: str | None = None
        self._start_ns = self._start_cpu_ns = self._start_collections = 0
        self._written_shape: tuple[Any, ...] | None = None  # of the state that was last written
        self._pulse: mmap.mmap | None = None
        self._stop = str(self.folder / STOP)
        self._ended_by_parent = str(self.folder / f"{identity.serial}{ENDED_BY_PARENT}")

    def start(self) -> None:
        """Begin."""
        global _current
        self._start_ns, self._start_cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        self._start_collections = _full_collections()
        _current = self
        self.start_dumping()
        if self.plan.memray is not None:
            memray_run.begin(self.plan.memray, is_main=self.identity.serial == MAIN)
        self._engine.start()
        self._running = True

    def child_serial(self) -> str:
        """Return the serial of the next process that is started from here."""
        self.children += 1
        return f"{self.identity.serial}.{self.children}"

    def boundary(self, name: str) -> None:
        """Freeze what there is at the end of a phase; called by the captured thread, once per phase."""
        ended_ns = time.perf_counter_ns()
        with self._lock:
            if self._finished or name in self.state.phases_s:
                return
            self.state.phases_s[name] = (ended_ns - self._start_ns) / 1e9
            self._frozen.append((name, self._engine.freeze()))
            with self._told_if_it_fails():
                self._write(f"{self.identity.serial}.{name}", None, self._engine.threads_content())
            self.state.frozen_s[name] = (time.perf_counter_ns() - ended_ns) / 1e9

    def dump(self, reason: str = "running", *, final: bool = False) -> None:
        """Write what there is."""
        with self._lock:
            if self._finished:
                return
            state = self.state
            state.wall_s = (time.perf_counter_ns() - self._start_ns) / 1e9
            state.cpu_s = (time.process_time_ns() - self._start_cpu_ns) / 1e9
            state.reason, state.final = reason, final
            state.rss_bytes = read_rss_bytes(os.getpid())
            state.full_collections = _full_collections() - self._start_collections
            for action in self.at_dump:
                action()
            if final:
                held = read_held()
                state.uss_bytes, state.pss_bytes = (held.uss_bytes, held.pss_bytes) if held else (None, None)
                for action in self.at_end:
                    action()
            self._write_frozen()
            with self._told_if_it_fails():
                content = self._engine.content() if final else self._engine.changes(self._base)
                self._write(self.identity.serial, content, self._engine.threads_content())
                self._write_state()  # last: who finds a final state finds the data that belong to it
            self._finished = final

    def _write_state(self) -> None:
        """Write the state; only the pulse, at a fiftieth of the cost, where nothing has changed but the time."""
        state, warnings = self.state, [*self.state.warnings, *self._engine.warnings()]
        lists = (warnings, state.phases_s, state.frozen_s, state.limits_bytes)  # which only grow
        shape = (state.reason, state.exception, state.final, state.full_collections, *map(len, lists))
        if shape != self._written_shape or state.final:
            write_document(self.folder / f"{self.identity.serial}.json", dataclasses.replace(state, warnings=warnings))
            self._written_shape = shape
            return
        if self._pulse is None:
            self._pulse = mapped(self.folder / f"{self.identity.serial}{PULSE}", 0, PULSE_FIELDS.size)
        PULSE_FIELDS.pack_into(self._pulse, 0, state.wall_s, state.cpu_s, state.rss_bytes or 0)

    @contextlib.contextmanager
    def _told_if_it_fails(self) -> Iterator[None]:
        """A full disk, a limit or a removed folder is no reason for the target to fail."""
        try:
            yield
        except OSError as error:
            if error.errno is None:  # no error of the system: a signal handler of the target raised it
                raise
            self.warn(f"a dump failed: {error.strerror or error}")

    def failed(self, exception: str) -> None:
        """Note an exception that did not end this process: torch sends those of a worker to the main process."""
        self.state.exception = exception
        self.state.limits_bytes = own_limits()

    def finish(self, reason: str, exception: str | None = None) -> None:
        """End the capture with its last dump; further calls do nothing.

        Signal handlers of the user may raise in the middle of it, torch's for a worker that died among them: it begins
        again then, and lets the exception pass in the end.
        """
        raised: BaseException | None = None
        for _ in range(_ATTEMPTS):
            try:
                self._finish(reason, exception)
                break
            except BaseException as error:
                raised = error
        self._end_dumping()
        if raised is not None:
            raise raised

    def _finish(self, reason: str, exception: str | None) -> None:
        global _current
        with self._lock:
            if self._finished:
                return
            self.state.exception = exception or self.state.exception
            self._stop_engine()
            self.dump(reason, final=True)
            _current = None if _current is self else _current

    def _stop_engine(self) -> None:
        """Stop the engine, once; only its thread can, and only so are the functions counted that are still open."""
        if not self._running:
            return
        if threading.get_ident() == self._captured_thread:
            self._engine.stop()
            self._running = False
        elif self.plan.engine in COUNTING:
            self.warn(_ANOTHER_THREAD)
        memray_run.end()

    def resume(self) -> None:
        """Go on after `finish`, whose reason did not come true; of functions then open, the time up to it is kept."""
        global _current
        with self._lock:
            self._finished = self.state.final = False
            if _ANOTHER_THREAD in self.state.warnings:
                self.state.warnings.remove(_ANOTHER_THREAD)
            if not self._running:
                self._engine.start()
            self._running = True
            _current = self
        self.start_dumping()

    def start_dumping(self) -> None:
        """Start the thread that dumps.

        None of threading's: a program that waits for every thread of threading.enumerate() would wait for it for ever.
        """
        if self._finished:
            return
        self.stop_dumping()  # two threads may have forked at a time
        wake, rests = self._wake, self._rests = _locked(), _locked()
        began = _locked()
        try:
            with _all_signals_blocked():  # the thread inherits that: no signal of the target's may be sent to it
                _thread.start_new_thread(self._dump_repeatedly, (wake, rests, began))
            # From Python 3.12 on cProfile has one stack for all threads: this one rests before the profiler starts.
            began.acquire(timeout=1)
        except RuntimeError as error:  # too many threads, or the interpreter is about to end
            rests.release()
            self.warn(f"it is not dumped while it runs: {error}")

    def stop_dumping(self) -> None:
        """Stop the thread that dumps, and wait for it: a process with one thread may fork."""
        self._end_dumping()
        rests = self._rests
        if rests.acquire(timeout=5):
            rests.release()

    def _end_dumping(self) -> None:
        with contextlib.suppress(RuntimeError):  # ended already
            self._wake.release()

    def abandon(self) -> None:
        """Forget the capture: this process was forked from the captured one, and is not it."""
        global _current
        _current = None
        self._finished = True
        if self._running:
            # Also where another thread forked: from Python 3.12 on a profiler is active in all threads. What the engine
            # says about being stopped from there does not matter here.
            with contextlib.suppress(Exception):
                self._engine.stop()

    def _dump_repeatedly(self, wake: _thread.LockType, rests: _thread.LockType, began: _thread.LockType) -> None:
        told = False
        began.release()
        try:
            while not wake.acquire(timeout=self.plan.dump_every_s) and wake is self._wake:
                told = self._try_to_dump(told)
        finally:
            rests.release()

    def warn(self, line: str) -> None:
        """Have a warning told in the report, once."""
        if line not in self.state.warnings:
            self.state.warnings.append(line)

    def _try_to_dump(self, told: bool) -> bool:
        try:
            return self._dump_once_more(told)
        except Exception as error:  # perhaps not the next time
            self.warn(f"a dump failed: {type(error).__name__}: {error}")
            return told

    def _dump_once_more(self, told: bool) -> bool:
        """Dump; return whether the process has been told to end. `told`: it had been, one round ago."""
        if os.path.exists(self._stop):  # noqa: PTH110 - a fifth of a Path's time
            self.finish("the capture ended before the process")
        elif told and not self._finished and not handles_sigterm():
            # A signal reaches Python code only when the main thread runs some: one that hangs in C never does, and
            # without our handler the signal would have ended it.
            self.finish("SIGTERM, while it hung")
            os.kill(os.getpid(), signal.SIGKILL)
        elif time.monotonic() >= self._next_dump_s:
            with self._lock:
                if not self._finished:
                    self._write_frozen()  # once per boundary: no measure of what a dump takes
            begin_s = time.thread_time()
            self.dump()
            self._next_dump_s = time.monotonic() + (time.thread_time() - begin_s) / _DUMPS_SHARE
        return os.path.exists(self._ended_by_parent)  # noqa: PTH110

    def _write_frozen(self) -> None:
        """Write what was frozen at boundaries: not there and then, as the captured thread would be held up."""
        while self._frozen:
            name, content = self._frozen[0]
            self._base = None
            with self._told_if_it_fails():
                self._write(f"{self.identity.serial}.{name}", content(), None)
                self._base = name
            self._frozen[:1] = []

    def _write(self, stem: str, content: tuple[str, bytes] | None, threads: bytes | None) -> None:
        if content is not None:
            ending, data = content
            write_atomically(self.folder / f"{stem}{ending}", data)
        if threads is not None:
            write_atomically(self.folder / f"{stem}{THREADS}", threads)


def _full_collections() -> int:
    count: int = gc.get_stats()[-1]["collections"]
    return count


def _locked() -> _thread.LockType:
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock


@contextlib.contextmanager
def _all_signals_blocked() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def own_limits() -> dict[str, int]:
    """Return the limits of this process's memory that are set, in bytes: RLIMIT_DATA, RLIMIT_AS."""
    try:
        import resource
    except ImportError:
        return {}
    found = {name: resource.getrlimit(getattr(resource, name))[0] for name in ("RLIMIT_DATA", "RLIMIT_AS")}
    return {name: limit for name, limit in found.items() if limit != resource.RLIM_INFINITY}


# SERIAL + this: whoever started the process has sent it SIGTERM.
ENDED_BY_PARENT = ".terminated"
# A file of this name in the folder of segments asks every process to make its last dump.
STOP = "stop"
