"""How long does an image take?

The atoms are made here, by NumPy alone, so that every commit is given the same: a ball of 3000 atoms at protein
density around the image, most of them outside it, as a structure has.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from asv_runner.benchmarks.mark import SkipNotImplemented

from .base import Suite, once, subject, versioned

GRIDS = {"21^3 x 0.75 A": (21, 0.75), "24^3 x 1.0 A": (24, 1.0), "33^3 x 0.5 A": (33, 0.5)}
RADII = {"h/2": None, "1.7 A": 1.7}
N_CHANNELS = 4
ATOMS_PER_A3 = 0.0575
"""Atoms in a cubic angstrom of protein."""


def ball_of_atoms(n_atoms: int = 3000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return coords_A (n, 3) float64 and one channel bit per atom, (n,) uint32."""
    rng = np.random.default_rng(seed)
    radius_A = (3 * n_atoms / (4 * np.pi * ATOMS_PER_A3)) ** (1 / 3)
    directions = rng.normal(size=(n_atoms, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    coords_A = directions * radius_A * rng.random((n_atoms, 1)) ** (1 / 3)
    return coords_A, np.left_shift(1, rng.integers(0, N_CHANNELS, n_atoms)).astype(np.uint32)


def arguments_of(grid: str, radius: str) -> tuple[Any, ...]:
    """Arguments of voxelize_atoms for one combination of parameters."""
    make_grid = subject("bench_core.grid", "Grid")
    length_voxels, resolution_A = GRIDS[grid]
    coords_A, masks = ball_of_atoms()
    radii_A = np.full(len(coords_A), RADII[radius] or resolution_A / 2)
    return coords_A, radii_A, masks, make_grid(length_voxels, resolution_A), N_CHANNELS


class Image(Suite):
    """The public function, as it was at each commit: the history of the project."""

    params = (list(GRIDS), list(RADII))
    param_names = ("grid", "radius")

    @once
    def setup(self, grid: str, radius: str) -> None:
        self.voxelize = subject("bench_core.voxels", "voxelize_atoms")
        self.arguments = arguments_of(grid, radius)

    def time_image(self, grid: str, radius: str) -> None:
        self.voxelize(*self.arguments)


class Implementation(Suite):
    """The implementations side by side, as they are in one commit; h/2 only, the slow ones take seconds."""

    params = (list(GRIDS), ["naive", "filtered", "c"])
    param_names = ("grid", "implementation")

    @once
    def setup(self, grid: str, implementation: str) -> None:
        if implementation == "c":
            subject("bench_core._voxelizer", "lib")
            self.voxelize = subject("bench_core.voxels", "voxelize_atoms")
        else:
            self.voxelize = subject("bench_core.reference.voxels", f"voxelize_atoms_{implementation}")
        self.arguments = arguments_of(grid, "h/2")

    def time_image(self, grid: str, implementation: str) -> None:
        self.voxelize(*self.arguments)


class Variant(Suite):
    """The kernel of each instruction set, in both precisions; those that this processor lacks are skipped."""

    params = (["21^3 x 0.75 A", "24^3 x 1.0 A"], list(RADII), ["baseline", "avx2", "avx512"], ["float64", "float32"])
    param_names = ("grid", "radius", "variant", "precision")

    @once
    def setup(self, grid: str, radius: str, variant: str, precision: str) -> None:
        use, variants = subject("bench_core.voxels", "use_simd_variant", "simd_variants")
        if variant not in variants():
            raise SkipNotImplemented(f"this processor or build has no {variant}")
        if precision == "float32" and RADII[radius]:
            raise SkipNotImplemented("spheres of more than half a voxel in radius are computed in float64")
        use(variant)
        self.voxelize = subject("bench_core.voxels", "voxelize_atoms")
        self.arguments = arguments_of(grid, radius)
        self.options = {"precision": precision, "out": self.voxelize(*self.arguments)}

    def time_image(self, grid: str, radius: str, variant: str, precision: str) -> None:
        self.voxelize(*self.arguments, **self.options)


class View(Suite):
    """Views of the largest embedded structure, 13,318 atoms, in turn, beside the images of the atoms in their boxes."""

    params = (["21^3 x 0.75 A", "24^3 x 1.0 A"],)
    param_names = ("grid",)
    version = versioned(3)

    @once
    def setup(self, grid: str) -> None:
        self.view, self.atoms_alone = subject("bench_core.voxels", "voxelize_view", "voxelize_atoms")
        make_grid, image_spec = subject("bench_core.grid", "Grid", "ImageSpec")
        self.structure = subject("bench_core.structures", "read_embedded")("3kpr")
        self.image = image_spec(make_grid(*GRIDS[grid]), [["C"], ["N"], ["O"], ["*"]])
        frames = self.random_frames(200)
        arguments = [self.atoms_in_view(frame) for frame in frames]
        self.out = self.atoms_alone(*arguments[0])
        self.frames, self.arguments = itertools.cycle(frames), itertools.cycle(arguments)

    def random_frames(self, n: int) -> list[np.ndarray]:
        """Frames of views in random orientations, centred on random origins of the structure."""
        random_rotation, view_frame = subject("bench_core.frames", "random_rotation", "view_frame")
        origins_A = subject("bench_core.origins.neighbours", "origins_among")(self.structure)
        rng = np.random.default_rng(0)
        return [view_frame(random_rotation(rng), origins_A[rng.integers(len(origins_A))]) for _ in range(n)]

    def atoms_in_view(self, frame: np.ndarray) -> tuple[Any, ...]:
        """Arguments of voxelize_atoms for the atoms in the box of a view."""
        coords_A = self.structure.coords_A @ frame[:3, :3].T + frame[:3, 3]
        grid = self.image.grid
        inside = (np.abs(coords_A) < grid.length_A / 2 + self.image.max_radius_A).all(axis=1)
        elements = self.structure.elements[inside]
        radii_A, masks = self.image.radii_A(elements), self.image.channel_masks(elements)
        return np.ascontiguousarray(coords_A[inside]), radii_A, masks, grid, self.image.n_channels

    def time_view(self, grid: str) -> None:
        self.view(self.structure, self.image, next(self.frames), out=self.out)

    def time_its_atoms_alone(self, grid: str) -> None:
        self.atoms_alone(*next(self.arguments), out=self.out)
