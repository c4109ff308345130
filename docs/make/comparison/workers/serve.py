"""What every worker of the comparison does: load views, draw them when asked, answer with the CPU time it took.

A worker runs in the environment of one peer: this file imports numpy and nothing else. Requests come as JSON objects,
one a line, on stdin; replies go to the file descriptor in argv[1], because libraries print what they like on stdout.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
LONG_NS = 5_000_000
"""A draw that takes longer than this, in ns, is timed once: neither clock nor caches matter to it."""

TIMED_NS = 1_000_000
"""Shorter ones are repeated until about this much, in ns, is timed: one of them is too short for the clock."""


@dataclass(frozen=True)
class View:
    """The atoms around one view; the image is centred at the origin of their coordinates."""

    coords_A: FloatArray
    radii_A: FloatArray
    channels: npt.NDArray[np.int64]
    occupancies: FloatArray
    elements: npt.NDArray[np.str_]


@dataclass(frozen=True)
class Case:
    """A grid, and views of it."""

    length_voxels: int
    resolution_A: float
    groups: list[list[str]]
    views: list[View]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of an image: channels, x, y, z."""
        return (len(self.groups), *(self.length_voxels,) * 3)

    @property
    def max_radius_A(self) -> float:
        """Largest radius in any view."""
        return max(float(view.radii_A.max(initial=0.0)) for view in self.views)

    def voxel_centers_A(self) -> FloatArray:
        """Centres of the voxels of one axis, (L,)."""
        return (np.arange(self.length_voxels) - (self.length_voxels - 1) / 2) * self.resolution_A


class Drawing(NamedTuple):
    """One view, ready to be drawn: `draw` is what is timed, `image` gives its result as (C, L, L, L)."""

    draw: Callable[[], object]
    image: Callable[[], npt.NDArray[Any]]


Arm = Callable[[View], Drawing]
"""Converts a view to what a library takes, untimed."""


def read_case(file: str) -> Case:
    """Read what `comparison.cases` wrote."""
    with np.load(file) as npz:
        data = {name: npz[name] for name in npz.files}
    columns = [data[name] for name in ("coords_A", "radii_A", "channels", "occupancies", "elements")]
    ranges = zip(data["starts"][:-1], data["starts"][1:], strict=True)
    views = [View(*(np.ascontiguousarray(column[start:end]) for column in columns)) for start, end in ranges]
    return Case(int(data["length_voxels"]), float(data["resolution_A"]), json.loads(str(data["groups"])), views)


def cpu_ns(draw: Callable[[], object]) -> float:
    """CPU time of this process per call, ns. The first call of a short draw warms the caches and is not counted."""
    first_ns = _timed_ns(draw, 1)
    if first_ns > LONG_NS:
        return first_ns
    calls = math.ceil(TIMED_NS / max(first_ns, 10_000))
    return _timed_ns(draw, calls) / calls


def _timed_ns(draw: Callable[[], object], calls: int) -> int:
    start_ns = time.process_time_ns()
    for _ in range(calls):
        draw()
    return time.process_time_ns() - start_ns


class Session:
    """Answers requests; its methods are their names."""

    def __init__(self, arms_of: Callable[[Case], dict[str, Arm]]) -> None:
        self._arms_of = arms_of

    def load(self, file: str) -> dict[str, Any]:
        """Read a case and make its arms."""
        self._case = read_case(file)
        self._arms = self._arms_of(self._case)
        return {"arms": list(self._arms)}

    def time(self, arm: str, view: int) -> dict[str, Any]:
        """CPU time of one draw."""
        return {"cpu_ns": cpu_ns(self._drawing(arm, view).draw)}

    def slice(self, arm: str, view: int, channel: int, index: int, file: str) -> dict[str, Any]:
        """Write one slice (x, y) of one channel as a .npy file."""
        np.save(file, self._drawn(arm, view)[channel, :, :, index].astype(np.float64))
        return {}

    def differences(self, reference: str, arms: list[str], view: int) -> dict[str, Any]:
        """Largest difference of any voxel between the image of `reference` and that of each arm."""
        expected = self._drawn(reference, view).copy()
        return {"largest": {arm: float(np.abs(self._drawn(arm, view) - expected).max()) for arm in arms}}

    def _drawing(self, arm: str, view: int) -> Drawing:
        return self._arms[arm](self._case.views[view])

    def _drawn(self, arm: str, view: int) -> npt.NDArray[Any]:
        drawing = self._drawing(arm, view)
        drawing.draw()
        return drawing.image()


def versions_of(*packages: str) -> dict[str, str]:
    """Versions of the installed ones among these distributions, and of Python."""
    found = {"python": platform.python_version()}
    for package in (*packages, "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def serve(arms_of: Callable[[Case], dict[str, Arm]], **about: Any) -> None:
    """Say what this worker is, then answer until stdin ends."""
    gc.disable()
    session = Session(arms_of)
    with os.fdopen(int(sys.argv[1]), "w") as replies:
        print(json.dumps({"about": about}), file=replies, flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            try:
                reply = getattr(session, request.pop("do"))(**request)
            except Exception as error:
                reply = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]}
            print(json.dumps(reply), file=replies, flush=True)
