"""Atoms to images: the share of each sphere that lies in each voxel, exactly.

The fraction of a sphere inside a voxel has a closed form (csrc/sphere.h), so an image holds no sampling error. Each of
the functions checks its arguments and makes one call into C, which releases the GIL; a batch of views is one call too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from bench_core._voxelizer import ffi, lib
from bench_core.c_structures import CStructures
from bench_core.errors import VoxelError
from bench_core.grid import FILLS, Grid, ImageSpec
from bench_core.simd import not_chosen_error, simd_variant, simd_variants, use_simd_variant
from bench_core.voxel_inputs import (
    AtomArrays,
    FloatArray,
    Spheres,
    bad_atom_error,
    bad_view_error,
    check_rules,
    checked_columns,
    image_array,
    overlap_error,
)

__all__ = [
    "describe",
    "simd_variant",
    "simd_variants",
    "use_simd_variant",
    "voxelize_atoms",
    "voxelize_view",
    "voxelize_views",
]

_FLOAT64 = np.dtype(np.float64)
_FILL_NUMBERS = {fill: number for number, fill in enumerate(FILLS)}
# Looked up once: types by name and attributes of modules cost more than the pointers themselves.
_buffer, _NULL, _FINE, _fill_image = ffi.from_buffer, ffi.NULL, lib.VOXELIZER_FINE, lib.voxelizer_fill
_DOUBLES, _MASKS, _CHARS = ffi.typeof("double[]"), ffi.typeof("uint32_t[]"), ffi.typeof("char[]")


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
    check_rules(fill, aggregate, precision)
    coords, radii, masks, shares = checked_columns(coords_A, radii_A, channel_masks, occupancies)
    x_A, y_A, z_A = grid.center_A
    failure = _fill_image(
        len(radii),
        _buffer(_DOUBLES, coords),
        _buffer(_DOUBLES, radii),
        _buffer(_MASKS, masks),
        _NULL if shares is None else _buffer(_DOUBLES, shares),
        n_channels,
        aggregate == "max",
        grid.length_voxels,
        grid.resolution_A,
        x_A,
        y_A,
        z_A,
        _FILL_NUMBERS[fill],
        precision == "float32",
        _buffer(_CHARS, target, True),
        target.dtype == _FLOAT64,
    )
    if failure != _FINE:
        spheres = Spheres(coords, radii, masks, shares, grid, n_channels, fill, aggregate)
        _raise_failure(failure, spheres, target)
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
    _fill_views([(atoms, frame)], image, precision, target)
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
        VoxelError: as `voxelize_view`, for any of the views, before any of them is drawn; names the view.
    """
    views = list(atoms_and_frames)
    target = image_array((len(views), *image.shape), dtype, out)
    _fill_views(views, image, precision, target)
    return target


def describe() -> dict[str, str]:
    """What of this package decides how fast it is, for the conditions of a measurement."""
    return {"simd": simd_variant()}


def _raise_failure(failure: int, spheres: Spheres, out: FloatArray) -> NoReturn:
    """Say why the C code refused."""
    if failure == lib.VOXELIZER_NO_KERNEL:
        raise not_chosen_error()
    if failure == lib.VOXELIZER_NO_MEMORY:
        raise MemoryError(f"no memory for the work arrays of an image {out.shape}")
    if failure == lib.VOXELIZER_OVERLAP:
        raise overlap_error(spheres, out)
    raise bad_atom_error(spheres, failure)


def _fill_views(
    views: Sequence[tuple[AtomArrays, ArrayLike | None]], image: ImageSpec, precision: str, out: FloatArray
) -> None:
    """Zero `out`, then draw all views of a batch, in one call of C. Raises VoxelError before it writes."""
    check_rules(image.fill, image.aggregate, precision)
    structures, grid = CStructures(len(views)), image.grid
    for atoms, frame in views:
        structures.append(atoms, frame)
    failure = lib.voxelizer_fill_views(
        len(views),
        structures.array,
        _buffer(_MASKS, image.mask_table),
        _buffer(_DOUBLES, image.radius_table_A),
        image.all_matched,
        image.max_radius_A,
        image.n_channels,
        image.aggregate == "max",
        grid.length_voxels,
        grid.resolution_A,
        *grid.center_A,
        _FILL_NUMBERS[image.fill],
        precision == "float32",
        _buffer(_CHARS, out, True),
        out.dtype == _FLOAT64,
    )
    if failure != _FINE:
        _raise_view_failure(failure, structures, image, out)


def _raise_view_failure(failure: int, structures: CStructures, image: ImageSpec, out: FloatArray) -> NoReturn:
    """Say why the C code refused."""
    if failure == lib.VOXELIZER_NO_KERNEL:
        raise not_chosen_error()
    if failure == lib.VOXELIZER_NO_MEMORY:
        raise MemoryError(f"no memory for the spheres and work arrays of images {out.shape}")
    error = bad_view_error(structures.columns[failure], structures.array[failure].bad_atom, image)
    raise VoxelError(f"view {failure}, {error}") if len(structures.columns) > 1 else error
