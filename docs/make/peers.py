"""The C voxelizer against macromol-voxelize's C++ core: the same views, interleaved, CPU time, in one process.

The peer is GPL-3.0 and no dependency of this project: run this in an environment to throw away.

    python -m venv /tmp/peers
    /tmp/peers/bin/pip install . macromol-voxelize==0.10.0
    /tmp/peers/bin/python docs/make/peers.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench_core import Grid, ImageSpec, read_embedded, voxelize_atoms
from bench_core.frames import random_rotation, view_frame
from bench_core.origins.neighbours import origins_among
from bench_core.voxels import transform_coords

STRUCTURES = ("3kpr", "3o21", "2xhe", "1bd2")
CHANNELS = [["C"], ["N"], ["O"], ["S", "SE"], ["P"], ["*"]]
VIEWS_PER_STRUCTURE = 50
REPEATS = 5
"""Calls of ours per call of the peer's: one of them is too short for the clock."""


def views(image: ImageSpec) -> Iterator[tuple[Any, ...]]:
    """Yield coords_A, radii_A, channel numbers and occupancies of the atoms in the box around each view."""
    rng = np.random.default_rng(0)
    reach_A = image.grid.length_A / 2 + image.max_radius_A
    for name in STRUCTURES:
        atoms = read_embedded(name)
        origins_A = origins_among(atoms)
        for _ in range(VIEWS_PER_STRUCTURE):
            frame = view_frame(random_rotation(rng), origins_A[rng.integers(len(origins_A))])
            coords_A = transform_coords(atoms.coords_A, frame)
            near = (np.abs(coords_A) < reach_A).all(axis=1)
            elements = atoms.elements[near]
            channels = np.log2(image.channel_masks(elements)).astype(np.int64)
            yield coords_A[near], image.radii_A(elements), channels, atoms.occupancies[near].astype(np.float64)


def measure(peer: Any, length_voxels: int, resolution_A: float, radius_A: float) -> str:
    """Return one row: medians over the views, their ratio, and the largest difference of the images."""
    image = ImageSpec(Grid(length_voxels, resolution_A), CHANNELS, radius_A=radius_A)
    peer_grid = peer.Grid(length_voxels=length_voxels, resolution_A=resolution_A, center_A=np.zeros(3))
    theirs, ours = np.zeros(image.shape, np.float32), np.zeros(image.shape, np.float32)
    peer_ns, our_ns, n_atoms, difference = [], [], [], 0.0
    for coords_A, radii_A, channels, occupancies in views(image):
        columns = [np.ascontiguousarray(column) for column in coords_A.T]
        masks = np.left_shift(1, channels).astype(np.uint32)
        one_each = np.ones(len(channels), np.uint32)
        kinds = peer.FillAlgorithm.FractionAtom, peer.AggAlgorithm.Sum
        start = time.process_time_ns()
        theirs[...] = 0
        peer._add_atoms_to_image(theirs, peer_grid, *columns, radii_A, channels, one_each, occupancies, *kinds)
        between = time.process_time_ns()
        for _ in range(REPEATS):
            voxelize_atoms(coords_A, radii_A, masks, image.grid, image.n_channels, occupancies=occupancies, out=ours)
        our_ns.append((time.process_time_ns() - between) / REPEATS)
        peer_ns.append(between - start)
        n_atoms.append(len(channels))
        difference = max(difference, float(np.abs(theirs - ours).max()))
    peer_us, our_us = np.median(peer_ns) / 1e3, np.median(our_ns) / 1e3
    return (
        f"{length_voxels}^3 x {resolution_A} A, r = {radius_A:5.3f} A, {np.mean(n_atoms):4.0f} atoms/view: "
        f"peer's core {peer_us:8.0f} us, voxelize_atoms {our_us:6.1f} us, {peer_us / our_us:4.0f}x, "
        f"largest difference {difference:.0e}"
    )


def main() -> int:
    try:
        from macromol_voxelize import _voxelize as peer
    except ImportError:
        print("macromol_voxelize is not installed: see the head of this file", file=sys.stderr)
        return 2
    for length_voxels, resolution_A in ((21, 0.75), (24, 1.0)):
        for radius_A in (resolution_A / 2, 1.7):
            print(measure(peer, length_voxels, resolution_A, radius_A), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
