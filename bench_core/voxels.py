"""Atoms to images: the share of each sphere that lies in each voxel, exactly.

The fraction of a sphere inside a voxel has a closed form (csrc/sphere.h), so an image holds no sampling error. Here are
the checks of the arguments, the steps from a structure to a view of it, and one call into C, which releases the GIL.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from bench_core._voxelizer import ffi, lib
from bench_core.grid import FILLS, Grid, ImageSpec
from bench_core.simd import check_chosen, simd_variant, simd_variants, use_simd_variant
from bench_core.voxel_inputs import (
    AtomArrays,
    FloatArray,
    Spheres,
    bad_atom_error,
    check_atom_arrays,
    check_finite_coords,
    check_frame,
    checked_spheres,
    image_array,
    overlap_error,
)

__all__ = [
    "cull_atoms",
    "describe",
    "simd_variant",
    "simd_variants",
    "transform_coords",
    "use_simd_variant",
    "view_spheres",
    "voxelize_atoms",
    "voxelize_view",
    "voxelize_views",
]

_FLOAT64 = np.dtype(np.float64)
_FILL_NUMBERS = {fill: number for number, fill in enumerate(FILLS)}
# Looked up once: types by name and attributes of modules cost more than the pointers themselves.
_buffer, _NULL, _FINE = ffi.from_buffer, ffi.NULL, lib.VOXELIZER_FINE
_DOUBLES, _MASKS, _CHARS = ffi.typeof("double[]"), ffi.typeof("uint32_t[]"), ffi.typeof("char[]")
_CULL_SLACK = 1e-5
"""Added to the culling distance, as a share of all lengths involved: more than float32 and `_MAX_FRAME_ERROR` cost."""


def voxelize_atoms(
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
    precision: str = "float64",
    out: FloatArray | None = None,
) -> FloatArray:
    """Draw spheres into an image.

    Args:
        coords_A: centres, (N, 3), Å. Spheres outside the image add nothing; parts outside it are lost.
        radii_A: radii, (N,), Å.
        channel_masks: channels of each atom, (N,) integers: bit c set = drawn in channel c, 0 = not drawn.
        grid: where the voxels lie.
        n_channels: C, 1 to 32.
        occupancies: factor of each atom, (N,); None: 1.
        fill: value of a voxel, times the occupancy: `fraction_atom`, `overlap_A3` or `fraction_voxel`.
        aggregate: `sum`, or `max` (starts from 0; occupancies must not be negative).
        dtype: float32 or float64, of the image; each addition is rounded to this type.
        precision: of the maths. `float64`, or `float32` for spheres of at most half a voxel in radius (larger ones are
            always computed in float64): quicker, and off by at most 2e-7 of a sphere.
        out: C-contiguous array of that shape and dtype to overwrite, for instance `batch[i]`.

    Returns:
        `out`, or a new array, (C, L, L, L), x before y before z. Voxels that a sphere only touches stay exactly 0.
        The error is a few 1e-16 of a sphere; of a voxel that is some 1e-16 (r / h)**3.

    Raises:
        VoxelError: names the argument, or the atom and its value; raised before anything is written.
    """
    target = image_array((n_channels, *(grid.length_voxels,) * 3), dtype, out)
    spheres = checked_spheres(
        coords_A, radii_A, channel_masks, grid, n_channels, occupancies, fill, aggregate, precision
    )
    _fill(spheres, target)
    return target


def voxelize_view(
    atoms: AtomArrays,
    image: ImageSpec,
    frame: ArrayLike | None = None,
    *,
    dtype: DTypeLike = np.float32,
    precision: str = "float64",
    out: FloatArray | None = None,
) -> FloatArray:
    """Draw what an image shows of a structure that is rotated and moved into its frame.

    Args:
        atoms: the structure.
        image: grid, channels, radii and fill.
        frame: (4, 4) rigid transform, column vectors: x_view = R x + t; None: the identity.
        dtype, precision, out: as for `voxelize_atoms`.

    Returns:
        `out`, or a new array, (C, L, L, L).

    Raises:
        VoxelError: as `voxelize_atoms`; a frame that is not rigid; atoms near the view of which `image` knows no
            channel or radius; any coordinate that is not finite. Names atoms by their index in `atoms`.
    """
    target = image_array(image.shape, dtype, out)
    _fill(view_spheres(atoms, image, frame, precision), target)
    return target


def voxelize_views(
    atoms_and_frames: Iterable[tuple[AtomArrays, ArrayLike | None]],
    image: ImageSpec,
    *,
    dtype: DTypeLike = np.float32,
    precision: str = "float64",
    out: FloatArray | None = None,
) -> FloatArray:
    """Draw several views into one batch: `voxelize_view` of each pair of structure and frame.

    Returns:
        `out`, or a new array, (V, C, L, L, L).

    Raises:
        VoxelError: as `voxelize_view`, for any of the views, before any of them is drawn.
    """
    views = [view_spheres(atoms, image, frame, precision) for atoms, frame in atoms_and_frames]
    target = image_array((len(views), *image.shape), dtype, out)
    for spheres in views:
        _check_values(spheres)
    for spheres, view in zip(views, target, strict=True):
        _fill(spheres, view)
    return target


def view_spheres(
    atoms: AtomArrays, image: ImageSpec, frame: ArrayLike | None = None, precision: str = "float64"
) -> Spheres:
    """All of `voxelize_view` that comes before the drawing: cull, transform, look up channels and radii."""
    check_atom_arrays(atoms)
    rigid = check_frame(frame)
    atom_ids = cull_atoms(atoms, image, rigid)
    elements = atoms.elements.take(atom_ids)
    return Spheres(
        transform_coords(atoms.coords_A.take(atom_ids, axis=0), rigid),
        image.radii_A(elements),
        image.channel_masks(elements),
        atoms.occupancies.take(atom_ids).astype(np.float64),
        image.grid,
        image.n_channels,
        image.fill,
        image.aggregate,
        precision,
        atom_ids,
    )


def cull_atoms(atoms: AtomArrays, image: ImageSpec, frame: NDArray[np.float64] | None) -> NDArray[np.intp]:
    """Indices of the atoms that may reach into the image, (n,) intp, ascending.

    Works in the frame of the atoms, so that only the few that stay need be rotated: those within
    sqrt(3) L h / 2 + the largest radius of the image's centre, a superset of those that touch it.

    Args:
        frame: as `check_frame` returned it; not checked again.

    Raises:
        VoxelError: a coordinate, near the view or not, is NaN or infinite.
    """
    center_A = np.array(image.grid.center_A)
    if frame is not None:
        center_A = (center_A - frame[:3, 3]) @ frame[:3, :3]
    reach_A = math.sqrt(3.0) / 2.0 * image.grid.length_A + image.max_radius_A
    coords_A = atoms.coords_A
    limit_A = reach_A + _CULL_SLACK * (reach_A + float(np.abs(center_A).max()))
    # Distances are computed in the type of the coordinates: float32 takes three quarters of the time of float64.
    working = np.dtype(np.float32) if coords_A.dtype == np.float32 else _FLOAT64
    with np.errstate(over="ignore", invalid="ignore"):
        # Column by column: a quarter of the time of broadcasting over (N, 3) and einsum.
        center = center_A.astype(working)
        distances_A2 = np.square(coords_A[:, 0] - center[0])
        for axis in (1, 2):
            distances_A2 += np.square(coords_A[:, axis] - center[axis])
        near = distances_A2 <= limit_A * limit_A
    if distances_A2.size and not distances_A2.max() < math.inf:
        check_finite_coords(coords_A)
    return np.flatnonzero(near)


def transform_coords(coords_A: FloatArray, frame: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """R x + t of each row, (n, 3) -> (n, 3) float64, C-contiguous, Å; `frame` as `check_frame` returned it."""
    coords = np.ascontiguousarray(coords_A, dtype=np.float64)
    if frame is None:
        return coords
    moved: NDArray[np.float64] = coords @ frame[:3, :3].T
    moved += frame[:3, 3]
    return moved


def describe() -> dict[str, str]:
    """What of this package decides how fast it is, for the conditions of a measurement."""
    return {"simd": simd_variant()}


def _fill(spheres: Spheres, out: FloatArray) -> None:
    """Zero `out`, then draw: the backend. Raises VoxelError before it writes."""
    coords_A, radii_A, masks, shares, grid, n_channels, fill, aggregate, precision, _ = spheres
    failure = lib.voxelizer_fill(
        len(radii_A),
        _buffer(_DOUBLES, coords_A),
        _buffer(_DOUBLES, radii_A),
        _buffer(_MASKS, masks),
        _NULL if shares is None else _buffer(_DOUBLES, shares),
        n_channels,
        aggregate == "max",
        grid.length_voxels,
        grid.resolution_A,
        *grid.center_A,
        _FILL_NUMBERS[fill],
        precision == "float32",
        _buffer(_CHARS, out, True),
        out.dtype == _FLOAT64,
    )
    if failure != _FINE:
        _raise_failure(failure, spheres, out)


def _raise_failure(failure: int, spheres: Spheres, out: FloatArray) -> NoReturn:
    """Say why the C code refused."""
    if failure == lib.VOXELIZER_NO_KERNEL:
        check_chosen()
    if failure == lib.VOXELIZER_NO_MEMORY:
        raise MemoryError(f"no memory for the work arrays of an image {out.shape}")
    if failure == lib.VOXELIZER_OVERLAP:
        raise overlap_error(spheres, out)
    raise bad_atom_error(spheres, failure)


def _check_values(spheres: Spheres) -> None:
    """The checks of `_fill` alone."""
    bad = lib.voxelizer_first_bad_atom(*_sphere_arguments(spheres))
    if bad != lib.VOXELIZER_FINE:
        raise bad_atom_error(spheres, bad)


def _sphere_arguments(spheres: Spheres) -> tuple[int, Any, Any, Any, Any, int, bool]:
    """The arguments that both C functions begin with."""
    shares = spheres.occupancies
    return (
        len(spheres.radii_A),
        _buffer(_DOUBLES, spheres.coords_A),
        _buffer(_DOUBLES, spheres.radii_A),
        _buffer(_MASKS, spheres.channel_masks),
        _NULL if shares is None else _buffer(_DOUBLES, shares),
        spheres.n_channels,
        spheres.aggregate == "max",
    )
