"""Follow the processes that multiprocessing starts: by fork, forkserver and spawn.

A ticket travels with the process object: a forked child finds it there, and unpickling it in a child that was started
anew installs the capture there. Nothing is put on the user's PYTHONPATH or into site-packages for that.
"""

import contextlib
import dataclasses
import functools
import multiprocessing.process
import os
import signal
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from bench_harness.capture import attributing, runtime, signals
from bench_harness.capture.collector import tell_first_collection
from bench_harness.capture.own_frames import hide
from bench_harness.capture.phase_marks import PhaseMarks
from bench_harness.capture.pipeline import hooks, naming
from bench_harness.capture.pipeline.context import Context
from bench_harness.capture.plan import Plan
from bench_harness.capture.tracing import allow_watching
from bench_harness.memory.process_memory import read_held
from bench_harness.segments import ANNOUNCED, EXIT_CODE, Identity, State, announce, write_atomically, write_document

_TICKET = "_bench_ticket"
_originals: dict[str, Any] = {}
_EXEC = ("execv", "execve")  # the other functions of os call these


@dataclass
class Ticket:
    """What a process about to start must know: what to capture, and who it is."""

    plan: Plan
    identity: Identity

    def __reduce__(self) -> tuple[Any, ...]:
        return _receive, (self.plan.to_json(), dataclasses.asdict(self.identity))


def _receive(plan: str, identity: dict[str, Any]) -> Ticket:
    """Unpickle a ticket; in a process that was started anew, this is where the capture comes in."""
    ticket = Ticket(Plan.from_json(plan), Identity(**identity))
    install()
    return ticket


def install() -> None:
    """Follow every process that this one starts."""
    if _originals:
        return
    _originals["start"], _originals["_bootstrap"] = BaseProcess.start, BaseProcess._bootstrap  # type: ignore[attr-defined]
    BaseProcess.start = _start  # type: ignore[method-assign]
    BaseProcess._bootstrap = _bootstrap  # type: ignore[attr-defined]
    _install_for_good()
    _originals["_exit"] = os._exit
    os._exit = _exit  # type: ignore[assignment]
    for name in _EXEC:
        _originals[name] = getattr(os, name)
        setattr(os, name, functools.partial(_exec, name))


def uninstall() -> None:
    """Undo `install`."""
    if not _originals:
        return
    BaseProcess.start = _originals["start"]  # type: ignore[method-assign]
    BaseProcess._bootstrap = _originals["_bootstrap"]  # type: ignore[attr-defined]
    os._exit = _originals["_exit"]
    for name in _EXEC:
        setattr(os, name, _originals[name])
    _originals.clear()


_for_good: dict[str, Any] = {}


def _install_for_good() -> None:
    """Hooks that stay, and do nothing where nothing is captured.

    Those on forks cannot be taken back; workers may outlive a capture, and must still be told who ended them.
    """
    if _for_good or os.name != "posix":
        return
    from multiprocessing import popen_fork

    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
    popen: Any = popen_fork.Popen
    _for_good["_send_signal"] = popen._send_signal
    popen._send_signal = _send_signal


def _before_fork() -> None:
    capture = runtime.current()
    if capture is not None:
        capture.stop_dumping()
    signals.hold()


def _after_in_parent() -> None:
    signals.release()
    capture = runtime.current()
    if capture is not None:
        capture.start_dumping()


def _after_in_child() -> None:
    capture = runtime.current()
    if capture is not None:
        capture.abandon()
    signals.release()


def _start(self: BaseProcess) -> None:
    """BaseProcess.start: announce the process, hand it a ticket."""
    capture = runtime.current()
    if capture is None:
        _originals["start"](self)
        return
    identity = identify(self, capture)
    _announce(capture, identity)
    hooks.worker_started(identity.serial)
    self.__dict__[_TICKET] = Ticket(capture.plan, identity)
    try:
        _originals["start"](self)
    except BaseException as error:
        hide(error)
        if self._popen is None:  # type: ignore[attr-defined]  # nobody started: nobody is missing
            (capture.folder / f"{identity.serial}{ANNOUNCED}").unlink(missing_ok=True)
        raise
    finally:
        del self.__dict__[_TICKET]
    identity.pid = self.pid
    _announce(capture, identity)
    note_exit_code(self._popen, capture.folder / f"{identity.serial}{EXIT_CODE}")  # type: ignore[attr-defined]
    self._popen._bench_note = capture.folder / f"{identity.serial}{runtime.ENDED_BY_PARENT}"  # type: ignore[attr-defined]


def _announce(capture: runtime.ProcessCapture, identity: Identity) -> None:
    try:
        announce(capture.folder, identity)
    except OSError as error:
        capture.warn(f"a process that it started is not captured: {error.strerror or error}")


def note_exit_code(popen: Any, path: Path) -> None:
    """Write a child's exit code where it is first seen: it says what killed a worker that left no last dump."""
    own = weakref.ref(popen)  # a cycle would keep its descriptors open until the next collection of garbage

    def poll_and_note(*args: Any, **kwargs: Any) -> int | None:
        this: Any = own()
        try:
            code: int | None = type(this).poll(this, *args, **kwargs)
        except BaseException as error:  # Ctrl-C while it waits
            hide(error)
            raise
        if code is not None and not path.exists():
            with contextlib.suppress(OSError):  # the run folder may be gone by then
                write_atomically(path, str(code).encode())
        return code

    popen.poll = poll_and_note


def identify(process: BaseProcess, capture: runtime.ProcessCapture) -> Identity:
    """Return who a process about to start is."""
    loader, worker, epoch = naming.current_loader_worker()
    method = getattr(process, "_start_method", None) or multiprocessing.get_start_method(allow_none=True)
    return Identity(
        serial=capture.child_serial(),
        role="process" if worker is None else "worker",
        rank=capture.identity.rank,
        loader=loader,
        worker=worker,
        epoch=epoch,
        name=process.name,
        parent_pid=os.getpid(),
        start_method=method,
    )


def _bootstrap(self: BaseProcess, *args: Any, **kwargs: Any) -> int:
    """BaseProcess._bootstrap, the whole life of a child: capture it."""
    ticket = self.__dict__.pop(_TICKET, None)
    original: Callable[..., int] = _originals["_bootstrap"]
    if ticket is None:
        return original(self, *args, **kwargs)
    try:
        capture = enter(ticket.plan, ticket.identity)
    except Exception as error:  # whatever is wrong, the target goes on
        runtime.forget()
        _tell_why_not(ticket, error)
        return original(self, *args, **kwargs)
    _follow_torch()
    run = self.run

    def run_and_note() -> None:
        del self.__dict__["run"]  # it may be pickled from now on, to start processes of its own
        try:
            _noting_exceptions(run, capture)
        except BaseException as error:
            hide(error)
            raise

    self.run = run_and_note  # type: ignore[method-assign]
    code = 1
    try:
        code = original(self, *args, **kwargs)
    finally:
        capture.finish("exit" if code == 0 else f"exit code {code}")
    return code


def _tell_why_not(ticket: Ticket, error: Exception) -> None:
    why = f"not captured: {type(error).__name__}: {error}"
    state = State(ticket.identity, ticket.plan.engine, reason=why, warnings=[why])
    with contextlib.suppress(OSError):
        write_document(ticket.plan.folder / f"{ticket.identity.serial}.json", state)


def _noting_exceptions(run: Callable[[], object], capture: runtime.ProcessCapture) -> None:
    try:
        run()
    except Exception as error:
        capture.state.exception = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        raise


def enter(plan: Plan, identity: Identity) -> runtime.ProcessCapture:
    """Begin the capture of this process, and follow those that it starts."""
    install()
    if plan.engine == "py-spy":
        allow_watching()
    capture = runtime.ProcessCapture(plan, identity)
    signals.install()
    diagnosis = _diagnosis(capture) if plan.diagnose else None
    if plan.pipeline:
        hooks.install(
            Context(
                folder=capture.folder,
                serial=identity.serial,
                role=identity.role,
                overrides=plan.overrides,
                stop_after_batches=plan.stop_after_batches,
                on_boundary=_boundary(plan, identity, capture),
                on_warning=capture.state.warnings.append,
                marks=_marks(plan, identity, capture) if plan.phases else None,
                on_failure=capture.failed,
                on_loader=diagnosis.loader_begins if diagnosis else None,
                on_fetched=diagnosis.fetched if diagnosis else None,
            )
        )
        capture.at_dump.append(hooks.flush)
    if plan.attribute and identity.role == "worker" and identity.start_method == "fork":
        capture.at_end.append(attributing.note_copied(plan.folder, identity.serial, capture.warn))
    if plan.phases and identity.role == "worker" and identity.start_method == "fork":
        tell_first_collection(lambda grown: setattr(capture.state, "collected_uss_bytes", grown))
    capture.start()
    return capture


def _boundary(plan: Plan, identity: Identity, capture: runtime.ProcessCapture) -> Callable[[str], None]:
    """Return what is told of boundaries; workers of a first pass look at themselves then."""
    if not plan.phases or identity.role != "worker" or identity.epoch:
        return capture.boundary

    def boundary(name: str) -> None:
        capture.boundary(name)
        if name == "first" and (held := read_held()) is not None:
            capture.state.first_uss_bytes = held.uss_bytes

    return boundary


def _marks(plan: Plan, identity: Identity, capture: runtime.ProcessCapture) -> PhaseMarks:
    marks = PhaseMarks(capture.folder, identity.serial, capture.warn)
    if plan.attribute and identity.role != "worker":
        marks.before_first_workers = attributing.before_first_workers(plan.folder, identity.serial, capture.warn)
    return marks


def _diagnosis(capture: runtime.ProcessCapture) -> Any:
    from bench_harness.capture.diagnosis import Diagnosis  # a lot of imports, for `bench doctor` alone

    return Diagnosis(capture)


def _follow_torch() -> None:
    """In a worker of a DataLoader, have SIGTERM handled again once torch's C code has taken it."""
    torch_signals = sys.modules.get("torch.utils.data._utils.signal_handling")
    if torch_signals is None:
        return
    take_it = torch_signals._set_worker_signal_handlers

    def and_take_it_back() -> None:
        take_it()
        take_over_termination()

    torch_signals._set_worker_signal_handlers = and_take_it_back  # type: ignore[attr-defined]


def take_over_termination() -> None:
    """Handle SIGTERM again, and end the process as torch's C code in a worker would.

    torch lets a worker that its own parent terminates leave with exit code 0 and without a word, and every other
    SIGTERM kill it (torch/csrc/DataLoader.cpp). A Python handler is not told who sent the signal, so the parent
    leaves a note before it sends one.
    """
    capture = runtime.current()
    if capture is None:
        return
    note = capture.folder / f"{capture.identity.serial}{runtime.ENDED_BY_PARENT}"
    signals.take_back(signal.SIGTERM, lambda: _originals["_exit"](0) if note.exists() else None)


def _send_signal(self: Any, number: int) -> None:
    """Popen._send_signal, by which multiprocessing terminates children: leave a note of who did it."""
    note = getattr(self, "_bench_note", None)
    if note is not None and number == signal.SIGTERM:
        with contextlib.suppress(OSError):  # the run folder may be gone by then
            note.touch()
    _for_good["_send_signal"](self, number)


def _exit(code: int) -> None:
    """os._exit: nothing runs after it, so the last dump is made before."""
    capture = runtime.current()
    if capture is not None:
        capture.finish("os._exit" if code == 0 else f"os._exit({code})")
    _originals["_exit"](code)


def _exec(name: str, *args: Any, **named: Any) -> None:
    """os.execv and os.execve: what comes after them is another program, so the last dump is made before."""
    capture = runtime.current()
    if capture is None or not _may_be_run(args[0] if args else named.get("path")):
        _originals[name](*args, **named)
        return
    try:
        capture.finish(f"os.{name}")
        _originals[name](*args, **named)
    except BaseException as error:
        capture.resume()
        hide(error)
        raise


def _may_be_run(path: Any) -> bool:
    """Tell whether this may succeed: os.execvp tries one folder after the other, and a last dump takes its time."""
    try:
        return os.access(path, os.X_OK)
    except (TypeError, ValueError):
        return False
