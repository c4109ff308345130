"""Which instruction set the C kernel uses.

The kernel is compiled once per instruction set into one extension module. On import the best that this processor runs
is chosen, or the one that the environment variable BENCH_CORE_SIMD names: baseline, avx2 or avx512.
"""

from __future__ import annotations

import itertools
import os

from bench_core._voxelizer import ffi, lib
from bench_core.errors import VoxelError

VARIABLE = "BENCH_CORE_SIMD"
"""Environment variable that overrides the choice; empty is as good as unset."""

KNOWN_VARIANTS = ("baseline", "avx2", "avx512")
"""All there are, from the plainest on; a build for another architecture has the first only."""


def simd_variants() -> tuple[str, ...]:
    """Names of the variants in this build that this processor runs, from the plainest on."""
    return tuple(name for index, name in enumerate(_compiled()) if lib.voxelizer_kernel_is_supported(index))


def simd_variant() -> str:
    """Name of the variant in use.

    Raises:
        VoxelError: BENCH_CORE_SIMD names one that does not exist or does not run here.
    """
    index = lib.voxelizer_kernel_in_use()
    if index < 0:
        raise not_chosen_error()
    return _compiled()[index]


def use_simd_variant(name: str) -> None:
    """Draw with that variant from now on, in all threads of this process and in workers that are started later.

    Raises:
        VoxelError: no such variant, or it is not in this build, or this processor does not run it.
    """
    if name not in KNOWN_VARIANTS:
        raise VoxelError(f"SIMD variant {name!r} is unknown: choose one of {', '.join(KNOWN_VARIANTS)}")
    if name not in simd_variants():
        why = "this processor does not run it" if name in _compiled() else "this build has no such kernel"
        raise VoxelError(f"SIMD variant {name!r} cannot be used, {why}: choose one of {', '.join(simd_variants())}")
    lib.voxelizer_use_kernel(_compiled().index(name))


def not_chosen_error() -> VoxelError:
    """Say why no variant is in use: BENCH_CORE_SIMD was refused, and none was chosen since."""
    return VoxelError(_refused or "no SIMD variant was chosen: call use_simd_variant")


def _compiled() -> list[str]:
    names = itertools.takewhile(lambda name: name != ffi.NULL, map(lib.voxelizer_kernel_name, itertools.count()))
    return [ffi.string(name).decode() for name in names]


def _choose() -> None:
    """The choice on import. A refusal is told at first use: an import that raises leaves commands a traceback."""
    global _refused
    wanted = os.environ.get(VARIABLE, "")
    try:
        use_simd_variant(wanted or simd_variants()[-1])
    except VoxelError as error:
        _refused = f"{VARIABLE}={wanted}: {error}"


_refused = ""
_choose()
