"""Who is compared: what each package computes, under which licence, and what its environment needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

WORKERS = Path(__file__).parent / "workers"
TORCH = "torch==2.13.0"
"""As pyproject.toml pins it: an unpinned one pulls gigabytes of CUDA packages."""

OURS = "bench_core"
FLOOR = "floor"
SAME_PROCESS = "same process"
CORE = "C++ core"
"""The arm of macromol-voxelize that is the bar."""


@dataclass(frozen=True)
class Subject:
    """Something that draws views in a process of its own.

    Args:
        name: the distribution, as pip knows it.
        script: file of the worker.
        requirements: what pip installs into its environment.
        environment: name of the environment; several subjects may share one.
        needs_bench_core: build this checkout into the environment as well.
    """

    name: str
    script: str
    requirements: tuple[str, ...] = ()
    environment: str = ""
    needs_bench_core: bool = False
    version: str = ""
    licence: str = ""
    model: str = ""
    note: str = ""
    pictures: dict[str, str] = field(default_factory=dict)
    """Arm whose picture is shown, and its caption."""

    @property
    def path(self) -> Path:
        """The worker's file."""
        return WORKERS / self.script

    def picture(self, arm: str) -> str:
        """File name of the picture of an arm, without its suffix."""
        return f"{self.name}-{arm}".lower().replace(" ", "-").replace("+", "p")


BENCH_CORE = Subject(
    OURS,
    "draw_ours.py",
    ("numpy>=2", "cffi>=1.17"),
    "bench_core",
    needs_bench_core=True,
    licence="MIT",
    model="exact share of each sphere inside each voxel, by a closed form",
    note="6 channels per call here, up to 32; the GIL is released",
    pictures={"float64": "exact share of the sphere"},
)

PEERS = (
    Subject(
        "macromol-voxelize",
        "draw_macromol.py",
        ("macromol-voxelize==0.10.0", "numpy>=2", "cffi>=1.17"),
        "macromol-voxelize",
        needs_bench_core=True,
        version="0.10.0",
        licence="GPL-3.0",
        model="the same quantity: volume shared by sphere and voxel, from exact sphere/hexahedron intersections in C++",
        note="public path over polars frames; holds the GIL",
        pictures={CORE: "exact share of the sphere"},
    ),
    Subject(
        "molgrid",
        "draw_molgrid.py",
        ("molgrid==0.5.5", "numpy<2"),
        "molgrid",
        version="0.5.5",
        licence="Apache-2.0 and GPL-2.0 (it contains Open Babel)",
        model="Gaussian of the distance up to r, continued by a parabola that ends at 1.5 r; or 1 inside r (binary)",
        note="sampled at voxel centres; CUDA kernels too; built against NumPy 1",
        pictures={"Gaussian": "Gaussian with a parabolic tail", "binary": "1 inside the sphere"},
    ),
    Subject(
        "moleculekit",
        "draw_moleculekit.py",
        ("moleculekit==1.17.19",),
        "moleculekit",
        version="1.17.19",
        licence="HTMD academic licence, for non-commercial use",
        model="1 - exp(-(r/d)¹²) of the distance d, nothing beyond 5 Å; the largest of a channel's atoms",
        note="sampled at voxel centres; float64, channels last",
        pictures={"occupancy": "1 - exp(-(r/d)¹²)"},
    ),
    Subject(
        "pyuul",
        "draw_pyuul.py",
        ("pyuul==0.4.2", TORCH, "numpy>=2"),
        "pyuul",
        version="0.4.2",
        licence="LGPL-3.0 or later",
        model="sigmoid of the distance from the surface (or a Gaussian), in a neighbourhood of (2k+1)³ voxels",
        note="torch, differentiable; its grid is the bounding box of the atoms; k = ⌈r/h⌉ + 1 here",
        pictures={"sigmoid": "sigmoid, steepness 10"},
    ),
    Subject(
        "docktgrid",
        "draw_docktgrid.py",
        ("docktgrid==0.0.3", TORCH, "numpy>=2"),
        "docktgrid",
        version="0.0.3",
        licence="LGPL-3.0",
        model="1 - exp(-(r/d)¹²) of every voxel and every atom; the largest of a channel's atoms",
        note="torch; memory grows with the product of voxels and atoms",
        pictures={"occupancy": "1 - exp(-(r/d)¹²)"},
    ),
)
SUBJECTS = (BENCH_CORE, *PEERS)
FLOORS = Subject(FLOOR, "floor.py", BENCH_CORE.requirements, BENCH_CORE.environment, needs_bench_core=True)
SIDE_BY_SIDE = Subject(
    SAME_PROCESS, "same_process.py", PEERS[0].requirements, PEERS[0].environment, needs_bench_core=True
)
