"""Voxelization as it began: a Python loop over atoms, a candidate list per atom, one overlap per candidate voxel.

The overlap shares nothing with the closed form in C: the box is cut into slices across x, the area that a slice
(a circle) shares with a rectangle is elementary, and tanh-sinh quadrature between the points where that area has a kink
adds the slices up. Its error is below 1e-14 of a sphere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from bench_core.grid import Grid
from bench_core.voxel_inputs import FloatArray, Spheres, bad_atom_error, checked_spheres, image_array

Floats = NDArray[np.float64]

SPHERE_VOLUME = 4.0 / 3.0 * np.pi
"""Volume of a sphere of radius 1."""

# Tanh-sinh nodes on [-1, 1]: they crowd at the ends, where the area behaves like (x - x0)^(3/2), and still converge
# when the next kink lies just outside.
_STEPS = np.arange(-26, 27) / 8
_NODES = np.tanh(np.pi / 2 * np.sinh(_STEPS))
_WEIGHTS = np.pi / 16 * np.cosh(_STEPS) / np.cosh(np.pi / 2 * np.sinh(_STEPS)) ** 2


def voxelize_atoms_naive(
    coords_A: ArrayLike,
    radii_A: ArrayLike,
    channel_masks: ArrayLike,
    grid: Grid,
    n_channels: int,
    *,
    occupancies: ArrayLike | None = None,
    fill: str = "fraction_atom",
    aggregate: str = "sum",
    dtype: DTypeLike = np.float32,
    out: FloatArray | None = None,
) -> FloatArray:
    """`bench_core.voxels.voxelize_atoms`, trying every atom; same arguments, result and errors."""
    target = image_array((n_channels, *(grid.length_voxels,) * 3), dtype, out)
    spheres = checked_spheres(coords_A, radii_A, channel_masks, grid, n_channels, occupancies, fill, aggregate)
    fill_naive(spheres, target)
    return target


def voxelize_atoms_filtered(
    coords_A: ArrayLike,
    radii_A: ArrayLike,
    channel_masks: ArrayLike,
    grid: Grid,
    n_channels: int,
    *,
    occupancies: ArrayLike | None = None,
    fill: str = "fraction_atom",
    aggregate: str = "sum",
    dtype: DTypeLike = np.float32,
    out: FloatArray | None = None,
) -> FloatArray:
    """`voxelize_atoms_naive`, leaving out early the atoms that cannot reach the image; the same result bit for bit, but
    for spheres that by rounding alone touch the image or do not (1e-32 of a sphere).
    """
    target = image_array((n_channels, *(grid.length_voxels,) * 3), dtype, out)
    spheres = checked_spheres(coords_A, radii_A, channel_masks, grid, n_channels, occupancies, fill, aggregate)
    fill_filtered(spheres, target)
    return target


def fill_naive(spheres: Spheres, out: FloatArray) -> None:
    """Zero `out`, then draw every sphere."""
    check_values(spheres)
    out[...] = 0
    for atom in range(len(spheres.radii_A)):
        _add_atom(spheres, atom, out)


def fill_filtered(spheres: Spheres, out: FloatArray) -> None:
    """Zero `out`, then draw the spheres that `near_image` keeps."""
    check_values(spheres)
    out[...] = 0
    for atom in np.flatnonzero(near_image(spheres.coords_A, spheres.radii_A, spheres.grid)):
        _add_atom(spheres, int(atom), out)


def near_image(coords_A: Floats, radii_A: Floats, grid: Grid) -> NDArray[np.bool_]:
    """The early filter, (N,) bool: is the centre within length_A / 2 + the largest radius of the image's, per axis?"""
    reach_A = grid.length_A / 2 + radii_A.max(initial=0.0)
    near: NDArray[np.bool_] = (np.abs(coords_A - np.array(grid.center_A)) < reach_A).all(axis=1)
    return near


def check_values(spheres: Spheres) -> None:
    """Raise VoxelError for the first sphere that cannot be drawn; the C code does the same on its own."""
    bad = ~np.isfinite(spheres.coords_A).all(axis=1) | ~np.isfinite(spheres.radii_A) | (spheres.radii_A <= 0.0)
    bad |= spheres.channel_masks.astype(np.uint64) >> np.uint64(spheres.n_channels) != 0
    if spheres.occupancies is not None:
        bad |= ~np.isfinite(spheres.occupancies)
        bad |= (spheres.occupancies < 0.0) & (spheres.aggregate == "max")
    if bad.any():
        raise bad_atom_error(spheres, int(bad.argmax()))


def _add_atom(spheres: Spheres, atom: int, out: FloatArray) -> None:
    center_A, radius_A, grid = spheres.coords_A[atom], float(spheres.radii_A[atom]), spheres.grid
    voxels = _discard_voxels_outside_image(_find_voxels_possibly_contacting(center_A, radius_A, grid), grid)
    if not len(voxels):
        return
    values = _values(voxels, center_A, radius_A, grid, spheres.fill)
    if spheres.occupancies is not None:
        values *= spheres.occupancies[atom]
    x, y, z = voxels.T
    for channel in range(spheres.n_channels):
        if int(spheres.channel_masks[atom]) >> channel & 1:
            present = out[channel, x, y, z]
            out[channel, x, y, z] = (
                present + values if spheres.aggregate == "sum" else np.maximum(present, values.astype(out.dtype))
            )


def _find_voxels_possibly_contacting(center_A: Floats, radius_A: float, grid: Grid) -> NDArray[np.int64]:
    """Indices (M, 3) of all voxels in the sphere's bounding box, up to one voxel outside the image.

    Without that limit the list of a sphere much larger than the image would not fit in memory.
    """
    first, last = grid.voxels_contacting_sphere(center_A, radius_A)
    starts = np.clip(first, -1, grid.length_voxels)
    stops = np.clip(last, -1, grid.length_voxels) + 1
    axes = np.meshgrid(*(np.arange(start, stop) for start, stop in zip(starts, stops, strict=True)), indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=1)


def _discard_voxels_outside_image(voxels: NDArray[np.int64], grid: Grid) -> NDArray[np.int64]:
    return voxels[((voxels >= 0) & (voxels < grid.length_voxels)).all(axis=1)]


def _values(voxels: NDArray[np.int64], center_A: Floats, radius_A: float, grid: Grid, fill: str) -> Floats:
    """Value that the sphere adds to each voxel at occupancy 1, (M,)."""
    h = grid.resolution_A
    offsets_A = center_A - np.array(grid.center_A)
    with np.errstate(over="ignore", invalid="ignore"):
        lower = ((voxels - grid.length_voxels / 2) * h - offsets_A) / radius_A
        upper = ((voxels + 1 - grid.length_voxels / 2) * h - offsets_A) / radius_A
        nearest2 = (np.maximum(0.0, np.maximum(lower, -upper)) ** 2).sum(axis=1)
        farthest2 = (np.maximum(-lower, upper) ** 2).sum(axis=1)
        sphere, voxel = _volumes(np.float64(radius_A), np.float64(h), fill)
    cut = (nearest2 < 1.0) & (farthest2 > 1.0)
    values: Floats = np.where(farthest2 <= 1.0, voxel, 0.0)
    overlaps = _overlaps(np.clip(lower[cut], -1.0, 1.0), np.clip(upper[cut], -1.0, 1.0))
    values[cut] = np.minimum(overlaps / SPHERE_VOLUME * min(sphere, np.float64(1e300)), voxel)
    return values


def _volumes(radius_A: np.float64, h: np.float64, fill: str) -> tuple[np.float64, np.float64]:
    """Volumes of the sphere and of a voxel in units of the fill."""
    if fill == "fraction_atom":
        return np.float64(1.0), (h / radius_A) ** 3 / SPHERE_VOLUME
    if fill == "overlap_A3":
        return SPHERE_VOLUME * radius_A**3, h**3
    return SPHERE_VOLUME * (radius_A / h) ** 3, np.float64(1.0)


def _overlaps(lower: Floats, upper: Floats) -> Floats:
    """Volumes that boxes with these corners, (M, 3) within [-1, 1], share with the unit sphere, (M,)."""
    (x0, y0, z0), (x1, y1, z1) = lower.T, upper.T
    # The area of a slice has kinks where its radius passes an edge or a corner of the rectangle.
    edges2 = [y0**2, y1**2, z0**2, z1**2]
    corners2 = [y**2 + z**2 for y in (y0, y1) for z in (z0, z1)]
    kinks = np.sqrt(np.maximum(0.0, 1.0 - np.stack(edges2 + corners2, axis=1)))
    breaks = np.concatenate([-kinks, kinks, x0[:, np.newaxis], x1[:, np.newaxis]], axis=1)
    breaks = np.sort(np.clip(breaks, x0[:, np.newaxis], x1[:, np.newaxis]), axis=1)
    box, piece = np.nonzero(breaks[:, 1:] > breaks[:, :-1])
    start, end = breaks[box, piece, np.newaxis], breaks[box, piece + 1, np.newaxis]
    half = (end - start) / 2
    x = (start + end) / 2 + half * _NODES
    radii = np.sqrt(np.maximum(0.0, (1.0 - x) * (1.0 + x)))
    y0, y1, z0, z1 = (edge[box, np.newaxis] for edge in (y0, y1, z0, z1))
    areas = (_quarter_area(radii, y1, z1) - _quarter_area(radii, y0, z1)) - (
        _quarter_area(radii, y1, z0) - _quarter_area(radii, y0, z0)
    )
    pieces = (areas * half * _WEIGHTS).sum(axis=1)
    return np.maximum(np.bincount(box, pieces, minlength=len(lower)), 0.0)


def _quarter_area(radii: Floats, y: Floats, z: Floats) -> Floats:
    """Area that circles around 0 share with the rectangle from (0, 0) to (y, z), negative if one of them is.

    The integral of min(z, sqrt(radius^2 - t^2)) over t from 0 to y.
    """
    u = np.minimum(np.abs(y), radii)
    v = np.minimum(np.abs(z), radii)
    height_at_u = np.sqrt((radii - u) * (radii + u))
    arc_starts_at = np.sqrt((radii - v) * (radii + v))
    angles = np.arctan2(u, height_at_u) - np.arctan2(arc_starts_at, v)
    beyond = (v * arc_starts_at + u * height_at_u + radii**2 * angles) / 2
    area: Floats = np.sign(y) * np.sign(z) * np.where(u <= arc_starts_at, u * v, beyond)
    return area
