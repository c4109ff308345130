"""Make the last dump before a signal ends the process, and leave the user's own signal handlers in charge.

`signal.signal` is replaced for the signals below: what the user installs is called by our handler, and `getsignal`
returns it. A signal that nobody handles does what it would have done, after the dump.
"""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from bench_harness.capture import runtime
from bench_harness.capture.own_frames import hide

# What ends a process if nobody handles it, and can be handled. Of SIGINT only the user's SIG_DFL: Python's own handler
# raises KeyboardInterrupt, which unwinds.
NAMES = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU")
WATCHED = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))

_Handler = Callable[[int, FrameType | None], Any] | int | None
_real_signal = signal.signal
_real_getsignal = signal.getsignal
_users: dict[int, _Handler] = {}
# What to do in place of the default, once: set for a worker of torch, whose C code handles SIGTERM itself.
_instead_of_default: dict[int, Callable[[], None]] = {}
# Signals that C code handles: what the user installed in Python before that is not called.
_taken: set[int] = set()


def install() -> None:
    """Watch the signals of this process; only its main thread can, and once is enough."""
    if signal.signal is _signal or threading.current_thread() is not threading.main_thread():
        return
    signal.signal = _signal  # type: ignore[assignment]
    signal.getsignal = _getsignal  # type: ignore[assignment]
    runtime.handles_sigterm = _handles_sigterm
    caught = _mask("SigCgt")
    for number in WATCHED:
        # What Python takes for the default and the system does not is handled by C code, such as faulthandler's.
        if not (caught >> (number - 1) & 1 and _real_getsignal(number) in (None, signal.SIG_DFL)):
            _signal(number, _real_getsignal(number))


def _handles_sigterm() -> bool:
    """Tell whether the user's code handles SIGTERM, or blocks it in the main thread: it waits for it elsewhere then."""
    if signal.SIGTERM not in _taken and _users.get(signal.SIGTERM) not in (None, signal.SIG_DFL):
        return True
    return bool(_mask("SigBlk") >> (signal.SIGTERM - 1) & 1)


def _mask(field: str) -> int:
    """Return a set of signals of the main thread, as /proc/self/status has it; empty where there is none."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.partition(f"{field}:")[2].split(maxsplit=1)[0], 16)


def uninstall() -> None:
    """Give every signal back to whom it belongs."""
    if signal.signal is not _signal:
        return
    signal.signal, signal.getsignal = _real_signal, _real_getsignal
    for number, handler in _users.items():
        _real_signal(number, handler)
    _users.clear()
    _instead_of_default.clear()
    _taken.clear()


def take_back(number: int, instead_of_default: Callable[[], None]) -> None:
    """Handle a signal that C code took over: it ends the process, whatever handler was there before.

    Args:
        number: of the signal.
        instead_of_default: how the process ends where the default would end it.
    """
    _instead_of_default[number] = instead_of_default
    _taken.add(number)
    _users.setdefault(number, _real_getsignal(number))
    _real_signal(number, _on_signal)


def hold() -> None:
    """Before a fork: hold back what our handler takes in place of the default.

    Python forgets in the child which signals came before it was ready; the default would have ended it.
    """
    ours = {number for number, handler in list(_users.items()) if handler == signal.SIG_DFL}
    if ours and hasattr(signal, "pthread_sigmask"):
        _held[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, ours)


def release() -> None:
    """After the fork, in parent and child: let come what was held back."""
    mask = _held.pop(threading.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


_held: dict[int, Any] = {}  # the signal mask before, by thread


def _signal(number: int, handler: Any) -> Any:
    if number not in WATCHED:
        return _real_signal(number, handler)
    ours = handler if handler in (signal.SIG_IGN, signal.default_int_handler) else _on_signal
    before = _real_signal(number, ours)
    before = _users.get(number, before)
    _users[number] = handler
    _taken.discard(number)
    return before


def _getsignal(number: int) -> Any:
    return _users[number] if number in _users else _real_getsignal(number)


def _on_signal(number: int, frame: FrameType | None) -> None:
    handler = _users.get(number)
    capture = runtime.current()
    if callable(handler) and number not in _taken:
        if capture is not None:
            capture.dump(f"handled {signal.Signals(number).name}")  # what the user's handler does next may end it
        try:
            handler(number, frame)
        except BaseException as error:
            hide(error)
            raise
        return
    if capture is not None:
        capture.finish(signal.Signals(number).name)
    if number in _instead_of_default:
        _instead_of_default[number]()
    _real_signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
