"""On the PYTHONPATH of a captured target: captures the ranks that it starts as programs of their own.

torchrun and Lightning's DDP start a rank by `python train.py` with LOCAL_RANK in its environment; multiprocessing's
tickets do not reach it. Every other program that finds this file goes on as if it were not there.
"""

import importlib.util
import os
import sys


def _run_the_next_one() -> None:
    """Run the sitecustomize that this one hides, if there is one."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib is not loaded yet
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder or ".") != here]  # noqa: PTH100
    this = sys.modules.pop("sitecustomize", None)
    spec = importlib.util.find_spec("sitecustomize")
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)
    elif this is not None:
        sys.modules["sitecustomize"] = this  # the import that runs us looks for it


def _is_rank() -> bool:
    if "LOCAL_RANK" not in os.environ or "BENCH_HARNESS_CAPTURE" not in os.environ or sys.version_info < (3, 10):
        return False
    # Options of the interpreter come first; behind -c stand multiprocessing's children and our own bootstrap.
    program = next((word for word in sys.orig_argv[1:] if not word.startswith("-") or word in ("-c", "-m")), "-c")
    return program != "-c"


_run_the_next_one()
if _is_rank():
    from bench_harness.capture.bootstrap import enter_rank

    enter_rank()
