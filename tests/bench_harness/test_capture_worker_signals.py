"""SIGTERM in workers of torch's DataLoader, whatever the program does with it."""

from __future__ import annotations

import pytest
from profiled_scripts import Bench

pytest.importorskip("torch")

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("handler", ["lambda number, frame: stops.append(number)", "signal.SIG_IGN"])
def test_workers_leave_though_the_program_handles_sigterm(bench: Bench, handler: str) -> None:
    """torch's C code takes SIGTERM in a worker, whatever handler it inherited: else the program would wait for ever."""
    script = f"""
        import signal
        from torch.utils.data import DataLoader
        stops = []
        signal.signal(signal.SIGTERM, handler := {handler})
        def init(number):
            assert signal.getsignal(signal.SIGTERM) is handler
        iterator = iter(DataLoader(range(99), num_workers=2, worker_init_fn=init, multiprocessing_context="fork"))
        print(next(iterator))
    """
    done = bench(script, options=("--engine", "none"), timeout=50)
    assert done.code == 0, done.err
    assert done.record.workers == {"expected": 2, "delivered": 2, "missing": []}


def test_a_worker_may_handle_sigterm_itself(bench: Bench) -> None:
    script = """
        import os, signal, sys
        from torch.utils.data import DataLoader
        def init(number):
            before = signal.signal(signal.SIGTERM, lambda *_: (print("handled", flush=True), os._exit(0)))
            assert before is at_first
        signal.signal(signal.SIGTERM, at_first := lambda *_: None)
        iterator = iter(DataLoader(range(99), num_workers=1, worker_init_fn=init, multiprocessing_context="fork"))
        print(next(iterator), flush=True)
    """
    done = bench(script, options=("--engine", "none"), timeout=50)
    assert (done.code, "handled" in done.lines) == (0, True), done.err
