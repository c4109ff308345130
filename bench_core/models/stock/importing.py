"""Importing escnn 1.0.11 where its own dependencies cannot be installed, and without its slow first use.

escnn asks for py3nj (needs a Fortran compiler) and lie_learn (needs NumPy 1 and Python < 3.13), and takes one function
from each. The one of lie_learn has a stand-in (`bench_core.models.stock.wigner`), put in place only where lie_learn
cannot be imported; py3nj is optional, and escnn without it leaves the signs of Clebsch-Gordan tensors to chance: it
takes them from `bench_core.models.so3.clebsch_gordan`. What escnn computes at first use, for minutes, and keeps in its
own folder, which may be read-only, is the grid that bench_core ships.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from bench_core.errors import ModelError
from bench_core.models.so3.clebsch_gordan import clebsch_gordan
from bench_core.models.so3.grids import BLOCKS, thomson_cube_grid
from bench_core.models.stock.wigner import wigner_D_matrix

INSTALL = "pip install --no-deps escnn==1.0.11"
REMEDY = "pip install joblib scipy"

Array = npt.NDArray[Any]


@lru_cache(maxsize=1)
def import_escnn() -> Any:
    """Return the package escnn with its sub-packages group, gspaces and nn loaded.

    Raises ModelError where escnn, or something that it needs, is not installed.
    """
    try:
        importlib.import_module("joblib")
        _forget_failed_import()
        _stand_in_for_lie_learn()
        escnn = _import_quietly()
    except ImportError as error:
        if error.name == "escnn":
            raise ModelError(f"the escnn backend needs escnn, which is not installed: {INSTALL}") from None
        raise ModelError(f"the escnn backend cannot import what escnn needs: {error}; {REMEDY}") from error
    _give_own_constants(escnn)
    return escnn


def _import_quietly() -> Any:
    with _nothing_kept_on_disk(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`py3nj` package not found")
        for name in ("escnn.group", "escnn.gspaces", "escnn.nn"):
            importlib.import_module(name)
    return sys.modules["escnn"]


def _forget_failed_import() -> None:
    """Drop what an earlier `import escnn`, stopped by its missing dependencies, left behind: half of its modules, which
    the next import would find and not bind to their packages."""
    if "escnn.nn" not in sys.modules:
        ours = [name for name, module in sys.modules.items() if module is not None]  # None: not to be imported
        for name in [name for name in ours if name.partition(".")[0] == "escnn"]:
            del sys.modules[name]


def _stand_in_for_lie_learn() -> None:
    name = "lie_learn.representations.SO3.wigner_d"
    try:
        importlib.import_module(name)
    except ImportError:  # missing, or built for NumPy 1
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            module = ".".join(parts[:length])
            sys.modules[module] = ModuleType(module, "Stand-in, see bench_core.models.stock.wigner.")
        vars(sys.modules[name])["wigner_D_matrix"] = wigner_D_matrix


@contextmanager
def _nothing_kept_on_disk() -> Iterator[None]:
    """Make the disk caches that escnn creates at import, in its own folder, into none.

    The folder may not be writable, and what is slow enough to be worth keeping comes from the shipped constants.
    """
    import joblib

    Memory = joblib.Memory
    joblib.Memory = lambda *arguments, **options: Memory(None, verbose=0)
    try:
        yield
    finally:
        joblib.Memory = Memory


def _give_own_constants(escnn: Any) -> None:
    tensors = escnn.group._clebsh_gordan
    tensors._clebsh_gordan_tensor = _own_first(tensors._clebsh_gordan_tensor, _own_clebsch_gordan)
    grids: Any = importlib.import_module("escnn.group.groups.so3_utils")
    grids.thomson_cube_so3 = _own_first(grids.thomson_cube_so3, _own_thomson_cube)


def _own_first(compute: Callable[..., Array], own: Callable[..., Array | None]) -> Callable[..., Array]:
    """Return `compute` answering with an array of our own where there is one; the original stays at `__wrapped__`."""

    @wraps(compute)
    def answer(*arguments: Any, **options: Any) -> Array:
        array = own(*arguments, **options)
        return compute(*arguments, **options) if array is None else array

    return answer


def _own_clebsch_gordan(m: Any, n: Any, j: Any, group_class: str, **group: Any) -> Array | None:
    """Return (2m+1, 2n+1, multiplicity, 2j+1): escnn counts how often degree j is in m times n, which is 0 or 1."""
    if group_class != "SO3":
        return None
    (m,), (n,), (j,) = m, n, j
    if not abs(m - n) <= j <= m + n:
        return np.zeros((2 * m + 1, 2 * n + 1, 0, 2 * j + 1))
    return clebsch_gordan(m, n, j)[:, :, np.newaxis]


def _own_thomson_cube(N: int) -> Array | None:
    return thomson_cube_grid(N) if N in BLOCKS else None
