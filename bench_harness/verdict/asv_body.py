"""Run benchmarks of an asv suite by the Python of one side: `python asv_body.py REQUEST.json`.

Started by path in an environment that holds the measured commit and asv_runner, but not bench_harness: only the
standard library, from Python 3.8 on. The request says what to do:

    {"mode": "list", "root": the benchmark folder, "log": file for whatever is printed}
    {"mode": "run", ..., "jobs": [{"job": 3, "name", "index", "kind", "folder", "cache": true, "plan": [2, 8, 100] or
     null, "plan_only": false, "way": null, "calls": 1}]}
                                        index: of the combination of parameters or null; plan: [samples to warm up,
                                        samples, calls in each], null where it is to be found out; way: how to count
                                        how many calls (asv_counting), null where they are timed

One line of JSON per event goes to the standard output, at once: what was running when the process ended is known.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import numbers
import os
import pickle
import sys
import time
import traceback
from typing import Any, Callable, Iterator  # noqa: UP035  (Python 3.8)

# Python puts the folder of this script first: the suite must not find our modules there.
_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  (the whole file: pathlib is start-up time)
if __name__ == "__main__":
    import asv_counting  # type: ignore[import-not-found]
    import asv_timing  # type: ignore[import-not-found]

    sys.path[:] = [entry for entry in sys.path if entry != _HERE]
elif __package__:
    from bench_harness.verdict import asv_counting, asv_timing
# Else a process that a benchmark spawned imports its parent's main script again, and needs nothing of it.

Emit = Callable[..., None]


def main(request_file: str) -> None:
    """Do what the request says."""
    with open(request_file, encoding="utf-8") as file:  # noqa: PTH123
        request = json.load(file)
    emit = _take_output(request["log"])
    with _without_pympler(request["mode"] == "run" and all(job["kind"] != "mem" for job in request["jobs"])):
        importlib.import_module("asv_runner._aux").update_sys_path(request["root"])
    if request["mode"] == "list":
        list_benchmarks(request["root"], emit)
    else:
        for job in request["jobs"]:
            run_job(request["root"], job, emit)
    emit("end")


@contextlib.contextmanager
def _without_pympler(hidden: bool) -> Iterator[None]:
    """Hide pympler from asv_runner: it is for mem_ benchmarks alone, and imports NumPy into all the others."""
    if not hidden or "pympler" in sys.modules:
        yield
        return
    sys.modules["pympler"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["pympler"]


def _take_output(log: str) -> Emit:
    """Send what benchmarks print to a file, and keep the standard output for events."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    owner = os.getpid()

    def emit(event: str, **fields: Any) -> None:
        if os.getpid() != owner:  # a child that a benchmark forked and never ended
            os._exit(1)
        sys.stdout.flush()
        events.write(json.dumps({"event": event, **fields}) + "\n")
        events.flush()

    return emit


def list_benchmarks(root: str, emit: Emit) -> None:
    """Emit every benchmark of the suite, and every module of it that cannot be imported here."""
    discovery = importlib.import_module("asv_runner.discovery")
    for benchmark in discovery.disc_benchmarks(root, ignore_import_errors=True):
        plain = (str, int, float, list, dict, bool)
        fields = {name: value for name, value in vars(benchmark).items() if name[0] != "_" and isinstance(value, plain)}
        emit("benchmark", kind=type(benchmark).__module__.rpartition(".")[2], fields=json_safe(fields))
    for module in _modules(root, os.path.basename(root)):  # noqa: PTH119
        if module not in sys.modules:
            try:
                importlib.import_module(module)
            except BaseException as error:
                emit("broken", module=module.partition(".")[2], why=reason(error))


def json_safe(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out what JSON cannot hold: attributes that a user hung on a benchmark."""
    return {name: value for name, value in fields.items() if _is_json(value)}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _modules(folder: str, name: str) -> list[str]:
    found = [name]
    for entry in sorted(os.listdir(folder)):  # noqa: PTH208
        path = os.path.join(folder, entry)  # noqa: PTH118
        if entry.endswith(".py") and entry != "__init__.py":
            found.append(f"{name}.{entry[:-3]}")
        elif os.path.isfile(os.path.join(path, "__init__.py")):  # noqa: PTH113, PTH118
            found += _modules(path, f"{name}.{entry}")
    return found


def run_job(root: str, job: dict[str, Any], emit: Emit) -> None:
    """Run one benchmark with one combination of parameters, and emit what came of it."""
    emit("start", job=job["job"])
    try:
        outcome = _run(root, job)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit as well: the other benchmarks go on
        traceback.print_exc()
        outcome = {"event": "failed", "why": reason(error)}
    sys.stderr.flush()
    emit(outcome.pop("event"), job=job["job"], **outcome)


def _run(root: str, job: dict[str, Any]) -> dict[str, Any]:
    os.chdir(job["folder"])
    benchmark = importlib.import_module("asv_runner.discovery").get_benchmark_from_name(root, job["name"])
    if job["index"] is not None:
        benchmark.set_param_idx(job["index"])
    if job["cache"]:
        _give_cache(benchmark)
    why = asv_timing.skipped(benchmark)
    if why:
        return {"event": "skipped", "why": why}
    try:
        return _measure(benchmark, job)
    except getattr(importlib.import_module("asv_runner.benchmarks.mark"), "SkipNotImplemented", ()) as skip:
        return {"event": "skipped", "why": reason(skip)}
    finally:
        benchmark.do_teardown()


def _give_cache(benchmark: Any) -> None:
    with open("cache.pickle", "rb") as file:  # noqa: PTH123
        cache = pickle.load(file)
    give = getattr(benchmark, "set_cache", None)
    if give is not None:
        give(cache)
    elif cache is not None:  # asv_runner before 0.3
        benchmark.insert_param(cache)


def _measure(benchmark: Any, job: dict[str, Any]) -> dict[str, Any]:
    if job["kind"] not in ("time", "timeraw"):
        began = time.perf_counter()
        value = number(benchmark.do_run())
        if job["kind"] == "peakmem":
            value = min(value, _own_peak_bytes())
        return {"event": "done", "values": {"value": value}, "body_s": time.perf_counter() - began}
    sampler = asv_timing.sampler_of(benchmark, raw=job["kind"] == "timeraw")
    if job.get("way"):
        # No seconds, whose digits are other work each time.
        return {"event": "done", "values": asv_counting.counted(sampler, job["way"], job.get("calls", 1))}
    plan = job["plan"] or sampler.plan()
    if job["plan_only"]:
        return {"event": "planned", "plan": plan, "body_s": sampler.body_s}
    return {"event": "done", "values": sampler.values(*plan), "plan": plan, "body_s": sampler.body_s}


def _own_peak_bytes() -> float:
    """Return the highest RSS of this program. Linux counts in ru_maxrss, which asv takes, what started it as well."""
    try:
        with open("/proc/self/status") as file:  # noqa: PTH123
            return next(1024.0 * int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return math.inf


def number(value: Any) -> float:
    """Return what a track_ benchmark returned, if it is one number; asv stores anything and falls over it later."""
    if isinstance(value, dict) and set(value) == {"samples", "number"}:  # a timing of a kind that asv was taught
        return float(asv_timing.median([float(sample) for sample in value["samples"]]))
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"it returned {_shown(value)}, expected one number")
    if not math.isfinite(value):
        raise ValueError(f"it returned {float(value)}, expected a finite number")
    return float(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return "nothing" if value is None else f"a {type(value).__name__}, {text if len(text) <= 40 else text[:37] + '...'}"


def reason(error: BaseException) -> str:
    """Return one line: the error, and where in the user's own files it was raised."""
    words = " ".join(str(error).split())
    text = f"{type(error).__name__}: {words}" if words else type(error).__name__
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not _ours(frame.filename)]
    return f"{text} ({os.path.basename(own[-1].filename)}:{own[-1].lineno})" if own else text  # noqa: PTH119


def _ours(filename: str) -> bool:
    return filename.startswith((_HERE, "<frozen")) or f"{os.sep}asv_runner{os.sep}" in filename


if __name__ == "__main__":
    main(sys.argv[1])
