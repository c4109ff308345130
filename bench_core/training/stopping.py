"""Ctrl-C and SIGTERM while training: finish the step, write a checkpoint, then stop. A second one stops at once."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bench_core.errors import StoppedError

notices = logging.getLogger("bench_core.training")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Which signal has asked to stop, if any."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.can_wait = False
        """Whether a step is under way, after which somebody looks here."""

    def take(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: note it, or raise where nobody would look or it is the second one."""
        first, self.signal = self.signal is None, signal.Signals(number)
        if not (first and self.can_wait):
            raise self.error("at once, without a checkpoint of its own")
        notices.info(
            f"{self.signal.name}: finishing the step (and a validation that is due); once more to stop at once"
        )

    def listen(self) -> None:
        """Take the signals from now on; again where somebody else has taken them meanwhile, as Lightning does."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self.take)

    def error(self, how: str) -> StoppedError:
        """Return the error that ends the run."""
        number = self.signal or signal.SIGTERM
        error = StoppedError(f"stopped by {number.name}, {how}")
        error.exit_code = 128 + number
        return error

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals in this block; in a thread that is not the main one they stay with whoever has them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self.listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
