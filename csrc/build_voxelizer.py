"""cffi builder of bench_core._voxelizer; setup.py names its `ffi`. In place: `python setup.py build_ext --inplace`."""

import re
import sys
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
SOURCES = ["check.c", "corners.c", "driver.c", "general.c", "octants.c", "scatter.c"]

if sys.platform == "win32":
    COMPILE_ARGS = ["/O2", "/std:c11"]
else:
    # Neither errno nor floating-point traps are looked at: without these two, gcc vectorises neither square roots nor
    # selections. No contraction to FMA: the same bits on every processor.
    COMPILE_ARGS = ["-std=c11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]

ffi = FFI()
ffi.cdef(re.sub(r"/\*.*?\*/", "", (HERE / "voxelizer.cdef.h").read_text(encoding="utf-8"), flags=re.DOTALL))
ffi.set_source(
    "bench_core._voxelizer",
    '#include "voxelizer.h"',
    # setuptools wants paths relative to setup.py, with slashes.
    sources=[f"csrc/{name}" for name in SOURCES],
    depends=[f"csrc/{path.name}" for path in sorted(HERE.glob("*.h"))],
    include_dirs=["csrc"],
    extra_compile_args=COMPILE_ARGS,
)
