"""cffi builder of bench_core._voxelizer; setup.py names its `ffi`. In place: `python setup.py build_ext --inplace`."""

import os
import re
import sys
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
SOURCES = [
    *("check.c", "dispatch.c", "draw.c", "fill.c", "views.c"),
    *("kernel_avx2.c", "kernel_avx512.c", "kernel_baseline.c"),
]

if sys.platform == "win32":
    COMPILE_ARGS = ["/O2", "/std:c11"]
else:
    # Neither errno nor floating-point traps are looked at: without these two, gcc vectorises neither square roots nor
    # selections. FMA only where the source asks for it: the same bits from every compiler. What a kernel needs beyond
    # the architecture's defaults, its file turns on.
    COMPILE_ARGS = ["-std=c11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]

# BENCH_CORE_BUILD_SIMD=0 leaves the kernels of AVX2 and AVX-512 out, as on an architecture that has neither.
BASELINE_ONLY = os.environ.get("BENCH_CORE_BUILD_SIMD") == "0"

ffi = FFI()
ffi.cdef(re.sub(r"/\*.*?\*/", "", (HERE / "voxelizer.cdef.h").read_text(encoding="utf-8"), flags=re.DOTALL))
ffi.set_source(
    "bench_core._voxelizer",
    '#include "voxelizer.h"',
    # setuptools wants paths relative to setup.py, with slashes.
    sources=[f"csrc/{name}" for name in SOURCES],
    depends=["csrc/build_voxelizer.py", *(f"csrc/{path.name}" for path in sorted(HERE.glob("*.h")))],
    include_dirs=["csrc"],
    define_macros=[("VOXELIZER_BASELINE_ONLY", None)] if BASELINE_ONLY else [],
    extra_compile_args=COMPILE_ARGS,
)
