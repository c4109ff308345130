"""Runs each prediction in a forked process of its own, so that none sees what another left in a library's caches."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench_harness.errors import CouldNotMeasureError, HarnessError
from bench_harness.vram.prediction import Job, measure, predict
from bench_harness.vram.target import load_callable

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def prepare(target: str) -> int:
    """Import torch and the target's module once, for all forks; return the number of threads torch would use.

    torch is told to use one thread before anything runs: a pool of OpenMP threads does not survive a fork.
    """
    # libkineto prints a line per profile, read when torch is imported.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(sys.stderr):  # a module that prints must not spoil --json
        load_callable(target)
    _import_all_of_it()
    warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")
    # It logs, beside raising, every operator that refuses its arguments.
    logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)

    return threads


def _import_all_of_it() -> None:
    """Import what the first simulation would, here and not in every fork; autograd must not run before a fork."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    for name in (
        "torch._dynamo",
        "torch.fx.experimental.symbolic_shapes",
        "torch.profiler",
        "bench_harness.vram.simulation",
    ):
        importlib.import_module(name)
    with FakeTensorMode(), torch.no_grad():
        torch.nn.Linear(1, 1)(torch.ones(1, 1))


def predicted(job: Job) -> dict[str, Any]:
    """Return the prediction of a job: built on fake tensors where the constructor allows, else on real ones."""
    try:
        return in_fork(predict_on_fakes, job)
    except HarnessError:
        return in_fork(predict_on_real, job)


def measured(job: Job) -> dict[str, Any]:
    """Return the allocator's peak in a real step of the job."""
    return in_fork(measure, job)


def predict_on_fakes(job: Job) -> dict[str, Any]:
    """Predict with the model built on fake tensors."""
    return predict(job, without_memory=True)


def predict_on_real(job: Job) -> dict[str, Any]:
    """Predict with the model built on real tensors: its parameters take memory for a moment."""
    return predict(job, without_memory=False)


def in_fork(work: Callable[[Job], dict[str, Any]], job: Job) -> dict[str, Any]:
    """Return what `work(job)` returns in a forked process; its HarnessErrors are raised here.

    Raises:
        CouldNotMeasureError: the process was killed or crashed.
    """
    import multiprocessing

    context = multiprocessing.get_context("fork")
    reading, writing = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(writing, work, job), daemon=True)
    process.start()
    writing.close()
    try:
        answer = reading.recv()
    except EOFError:
        answer = None
    process.join()
    if isinstance(answer, HarnessError):
        raise answer
    if answer is None:
        raise CouldNotMeasureError(f"{job.target}: the process that simulated it {_ended(process.exitcode)}")
    result: dict[str, Any] = answer
    return result


def _child(writing: Connection, work: Callable[[Job], dict[str, Any]], job: Job) -> None:
    try:
        writing.send(work(job))
    except HarnessError as error:
        writing.send(type(error)(*error.args))
    except KeyboardInterrupt:  # which the parent got too, and reports
        pass
    except Exception as error:  # a defect of ours or of torch's, in a process whose traceback nobody would read
        reason = " ".join(str(error).split())[:300]
        writing.send(CouldNotMeasureError(f"{job.target}: {type(error).__name__}: {reason}"))


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"was killed by {name}" + ("; is there enough memory for the model itself?" if name == "SIGKILL" else "")
    return f"ended with exit code {code}"
