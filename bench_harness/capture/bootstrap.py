"""The child process of `bench profile`: runs the target as if Python had been given it, and captures meanwhile.

python -c "..." PLAN script.py args...    (see `command`)
... PLAN -m module args...
... PLAN @module:callable args...
"""

import atexit
import builtins
import importlib
import importlib.machinery
import importlib.util
import os
import pkgutil
import runpy
import sys
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

from bench_harness.capture import processes
from bench_harness.capture.engines import make_engine
from bench_harness.capture.own_frames import without_ours
from bench_harness.capture.pipeline.context import EnoughBatches
from bench_harness.capture.plan import VARIABLE, Plan
from bench_harness.capture.tracing import allow_watching
from bench_harness.optional import require
from bench_harness.segments import ANNOUNCED, MAIN, Identity, announce


def command(function: str = "main") -> str:
    """Return the code for `python -c`.

    It finds this very package, and nothing in the current folder, which is on the path of -c and of no script: a
    resource.py there is none of ours.
    """
    package = str(Path(__file__).parents[1] / "__init__.py")
    return (
        "import sys; present = set(sys.modules); sys.path[:] = filter(None, sys.path); import importlib.util as util; "
        f"spec = util.spec_from_file_location('bench_harness', {package!r}); module = util.module_from_spec(spec); "
        "sys.modules['bench_harness'] = module; spec.loader.exec_module(module); "
        f"from bench_harness.capture.bootstrap import {function} as main; main(present)"
    )


_WATCHER_COMES_S = 20.0

REFUSED = "refused"  # in the folder of segments: why there was nothing to run


class NoTargetError(Exception):
    """There is nothing to run."""


def main(present: Collection[str]) -> None:
    """Run the target named by the command line under the plan before it.

    Args:
        present: the modules that Python had imported before it came to us.
    """
    plan = Plan.from_json(sys.argv[1])
    target, *arguments = sys.argv[2:]
    identity = Identity(serial(), rank=rank(), pid=os.getpid(), parent_pid=os.getppid(), start_method="exec")
    announce(plan.folder, identity)
    make_engine(plan.engine, plan.interval_s)  # for its imports, as long as nothing of the target's is on the path
    if plan.memray is not None:
        require("memray", "memray")
    if plan.diagnose:
        importlib.import_module("bench_harness.capture.diagnosis")  # likewise
    try:
        run = prepare(target, arguments, present)
    except NoTargetError as error:
        (plan.folder / REFUSED).write_text(str(error))
        sys.exit(2)
    except SyntaxError:
        sys.excepthook = _without_our_frames(sys.excepthook)
        raise
    _wait_for_watcher(plan)
    capture = processes.enter(plan, identity)
    reason, exception = "exit", None
    try:
        run()
    except EnoughBatches:
        reason = "enough batches"
    except SystemExit as leaving:
        reason = "exit" if leaving.code in (None, 0) else f"exit code {leaving.code}"
        raise
    except BaseException as error:
        reason, exception = "exception", f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        sys.excepthook = _without_our_frames(sys.excepthook)  # only now: it may be the target's
        raise
    finally:
        if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
            atexit.register(capture.finish, reason, exception)  # Python waits for the threads before it calls this
        else:
            capture.finish(reason, exception)


def enter_rank() -> None:
    """Capture this process, a rank that a captured launcher started as a program of its own, to its end."""
    plan = Plan.from_json(os.environ[VARIABLE])
    if not plan.folder.is_dir():  # a program that outlived the capture started this one
        return
    identity = Identity(f"rank{rank()}", "process", rank(), name="main", pid=os.getpid(), start_method="exec")
    if (plan.folder / f"{identity.serial}{ANNOUNCED}").exists():  # restarted, or a program that the rank starts
        identity.serial = f"{identity.serial}.{os.getpid()}"
    announce(plan.folder, identity)
    capture = processes.enter(plan, identity)
    atexit.register(capture.finish, "exit")


def main_without_capture(present: Collection[str]) -> None:
    """Run the target named by the command line, and nothing else: what a capture is compared to."""
    target, *arguments = sys.argv[1:]
    prepare(target, arguments, present)()


def _wait_for_watcher(plan: Plan) -> None:
    if plan.start_after is not None:
        allow_watching()
        deadline = time.monotonic() + _WATCHER_COMES_S
        while not Path(plan.start_after).exists() and time.monotonic() < deadline:
            time.sleep(0.01)


def rank() -> int:
    """Return the rank that torchrun gives a process, or Lightning on one node (LOCAL_RANK alone), else 0."""
    text = os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0"
    return int(text) if text.isdigit() else 0


def serial() -> str:
    """Return the serial of a program that is not started by a captured process."""
    return f"rank{rank()}" if rank() else MAIN


def prepare(target: str, arguments: list[str], present: Collection[str]) -> Callable[[], object]:
    """Make `sys.argv`, `sys.path` and `__main__` what they would be without us, and return what runs the target."""
    _present.update(present)
    run = _prepare(target, arguments)
    if not any(finder.find_spec("bench_harness", None) for finder in sys.meta_path):
        sys.path.append(str(Path(__file__).parents[2]))  # processes that are started anew need it
    return run


def _prepare(target: str, arguments: list[str]) -> Callable[[], object]:
    if target == "-m":
        name, *arguments = arguments
        return _module(name, arguments)
    if target.startswith("@"):
        module, _, attribute = target[1:].partition(":")
        sys.argv = [attribute, *arguments]
        _set_path("")
        return lambda: getattr(importlib.import_module(module), attribute)()
    return _script(target, arguments)


def _script(path: str, arguments: list[str]) -> Callable[[], object]:
    _set_arguments([path, *arguments], [path, *arguments])
    if pkgutil.get_importer(path) is not None:  # a folder or an archive with a __main__.py
        _set_path(os.path.abspath(path))  # noqa: PTH100 - as Python does, which resolves no links
        _, spec, code = runpy._get_main_module_details()  # type: ignore[attr-defined]
        return lambda: _run(code, spec.origin, spec)
    _set_path(str(Path(path).resolve().parent))
    path = os.path.abspath(path)  # noqa: PTH100 - as Python does, which resolves no links
    code = compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
    return lambda: _run(code, path, None)


def _module(name: str, arguments: list[str]) -> Callable[[], object]:
    _set_path(str(Path.cwd()))
    # What `python -m` itself calls: finds package.__main__ too, and says in one line why there is nothing to run.
    try:
        _, spec, code = runpy._get_module_details(name)  # type: ignore[attr-defined]
    except ImportError as error:
        raise NoTargetError(f"-m {name}: {error}") from error
    _set_arguments([spec.origin, *arguments], ["-m", name, *arguments])
    return lambda: _run(code, spec.origin, spec)


def _set_arguments(argv: list[str], command_line: list[str]) -> None:
    sys.argv = argv
    # A program that starts itself anew takes them from there.
    sys.orig_argv = [*sys.orig_argv[: sys.orig_argv.index("-c")], *command_line]


def _set_path(first: str) -> None:
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, first)
        _forget_shadowed_modules(Path(first))


_present: set[str] = set()


def _forget_shadowed_modules(own: Path) -> None:
    """Let the target import its own profile.py, though we have imported the standard library's."""
    for name in [name for name in sys.modules if name not in _present and "." not in name]:
        if name != "bench_harness" and ((own / f"{name}.py").is_file() or (own / name / "__init__.py").is_file()):
            del sys.modules[name]


def _run(code: CodeType, path: str, spec: importlib.machinery.ModuleSpec | None) -> None:
    module = ModuleType("__main__")
    loader = spec.loader if spec else importlib.machinery.SourceFileLoader("__main__", path)
    package = spec.parent if spec else None
    cached = spec.cached if spec else None
    module.__dict__.update(
        __file__=path, __builtins__=builtins, __loader__=loader, __package__=package, __spec__=spec, __cached__=cached
    )
    if sys.version_info < (3, 14):  # from then on a module has them only once something is annotated
        vars(module).update(__annotations__={})
    _kept.append(sys.modules["__main__"])
    # Workers that are started anew import this module again, and pickle looks for the target's functions in it.
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


_kept: list[ModuleType] = []


def _without_our_frames(
    hook: Callable[[type[BaseException], BaseException, TracebackType | None], object],
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """Return an excepthook that shows the traceback as it would be without us."""

    def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        own = str(Path(__file__).parent)
        inner = traceback
        while inner is not None and (inner.tb_frame.f_code.co_filename.startswith((own, "<string>"))):
            inner = inner.tb_next
        inner = without_ours(inner)
        hook(kind, error.with_traceback(inner), inner)

    return show
