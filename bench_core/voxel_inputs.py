"""What the voxelizers are given: the arguments checked and brought into the form that the backends draw.

Shared by the C voxelizer and its slow ancestors, so that they differ in how they draw and in nothing else.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from bench_core.errors import VoxelError
from bench_core.grid import AGGREGATES, FILLS, MAX_CHANNELS, Grid, ImageSpec

FloatArray = NDArray[np.floating[Any]]
Columns = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint32], NDArray[np.float64] | None]
"""Coordinates (N, 3), radii, channel masks and occupancies (N,) or None: C-contiguous and aligned."""

_FLOAT32, _FLOAT64, _UINT32 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.uint32)
PRECISIONS = ("float64", "float32")
"""Of the maths, whatever the type of the image."""
_MAX_FRAME_ERROR = 1e-6
"""Largest deviation of R R^T from the identity that is taken for rounding (a frame computed in float32)."""


class AtomArrays(Protocol):
    """What `voxelize_view` reads of a structure."""

    @property
    def coords_A(self) -> FloatArray:
        """Positions, (N, 3) float32 or float64, Å."""

    @property
    def elements(self) -> NDArray[np.uint8]:
        """Atomic numbers, (N,) uint8."""

    @property
    def occupancies(self) -> FloatArray:
        """Shares in which each atom is there, (N,) float32."""


class Spheres(NamedTuple):
    """What the backends draw: C-contiguous arrays of the right types and lengths, values not yet checked."""

    coords_A: NDArray[np.float64]
    radii_A: NDArray[np.float64]
    channel_masks: NDArray[np.uint32]
    occupancies: NDArray[np.float64] | None
    grid: Grid
    n_channels: int
    fill: str
    aggregate: str


def check_frame(frame: ArrayLike | None) -> NDArray[np.float64] | None:
    """Return a frame as (4, 4) float64, or None.

    Raises:
        VoxelError: not (4, 4), not finite, a last row other than 0 0 0 1, or a block that is no rotation (scaled,
            sheared or a reflection, which would turn molecules into their mirror images).
    """
    if frame is None:
        return None
    matrix = _numbers("frame", frame)
    if matrix.shape != (4, 4):
        raise VoxelError(f"frame must be a (4, 4) matrix, not of shape {matrix.shape}")
    # Plain floats: this takes a quarter of the time of the NumPy calls.
    (a, b, c, tx), (d, e, f, ty), (g, h, i, tz), last = matrix.tolist()
    errors = (
        *(a * a + b * b + c * c - 1.0, d * d + e * e + f * f - 1.0, g * g + h * h + i * i - 1.0),
        *(a * d + b * e + c * f, a * g + b * h + c * i, d * g + e * h + f * i),
        a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g) - 1.0,
    )
    rigid = all(abs(error) < _MAX_FRAME_ERROR for error in errors)  # false for NaN
    if not (rigid and last == [0.0, 0.0, 0.0, 1.0] and math.isfinite(tx + ty + tz)):
        raise VoxelError(
            f"frame must be a finite rigid transform (a rotation and a translation, last row 0 0 0 1), "
            f"not {matrix.tolist()}"
        )
    return matrix


def check_atom_arrays(atoms: AtomArrays) -> None:
    """Raise VoxelError unless the arrays of a structure fit each other and elements are uint8."""
    shapes = atoms.coords_A.shape, atoms.elements.shape, atoms.occupancies.shape
    if shapes[0] != (*shapes[1], 3) or len(shapes[1]) != 1 or shapes[2] != shapes[1]:
        raise VoxelError(
            f"atoms must have coords_A (N, 3), elements (N,) and occupancies (N,), not {shapes[0]}, {shapes[1]} "
            f"and {shapes[2]}"
        )
    if atoms.elements.dtype != np.uint8:
        raise VoxelError(f"elements must be atomic numbers as uint8, not {atoms.elements.dtype}")


def checked_spheres(
    coords_A: ArrayLike,
    radii_A: ArrayLike,
    channel_masks: ArrayLike,
    grid: Grid,
    n_channels: int,
    occupancies: ArrayLike | None,
    fill: str,
    aggregate: str,
) -> Spheres:
    """Arguments of `voxelize_atoms` together; the values themselves are checked by the backend.

    Raises:
        VoxelError: see `check_rules` and `checked_columns`.
    """
    check_rules(fill, aggregate)
    columns = checked_columns(coords_A, radii_A, channel_masks, occupancies)
    return Spheres(*columns, grid, n_channels, fill, aggregate)


def check_rules(fill: str, aggregate: str, precision: str = "float64") -> None:
    """Raise VoxelError for a fill, aggregate or precision that does not exist."""
    if fill not in FILLS or aggregate not in AGGREGATES:
        raise VoxelError(f"fill must be one of {FILLS} and aggregate one of {AGGREGATES}, not {fill!r}, {aggregate!r}")
    if precision not in PRECISIONS:
        raise VoxelError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")


def checked_columns(
    coords_A: ArrayLike, radii_A: ArrayLike, channel_masks: ArrayLike, occupancies: ArrayLike | None
) -> Columns:
    """Coordinates, radii, masks and occupancies as arrays of the right types and lengths; copies only where it must.

    Raises:
        VoxelError: an array that holds no numbers, or lengths that do not fit each other.
    """
    coords, radii, masks, shares = _columns(coords_A, radii_A, channel_masks, occupancies)
    n_atoms = len(coords) if coords.ndim else 0
    lengths_fit = radii.shape == masks.shape == (n_atoms,) and (shares is None or shares.shape == (n_atoms,))
    if coords.shape != (n_atoms, 3) or not lengths_fit:
        raise VoxelError(
            f"expected coords_A (N, 3), radii_A, channel_masks and occupancies (N,), not {coords.shape}, "
            f"{radii.shape}, {masks.shape} and {None if shares is None else shares.shape}"
        )
    return coords, radii, masks, shares


def overlap_error(spheres: Spheres, out: FloatArray) -> VoxelError:
    """Say which input shares memory with `out`, which is zeroed before the inputs are read."""
    columns = zip(("coords_A", "radii_A", "channel_masks", "occupancies"), spheres[:4], strict=True)
    shared = [name for name, array in columns if array is not None and np.may_share_memory(array, out)]
    return VoxelError(f"out shares memory with {' and '.join(shared)}: give an array of its own")


def image_array(shape: tuple[int, ...], dtype: DTypeLike, out: FloatArray | None) -> FloatArray:
    """Return `out` if it can be drawn into, or a new array with undefined content.

    Raises:
        VoxelError: a number of channels outside 1 to 32, a dtype other than float32 and float64, an `out` of another
            shape or dtype, read-only, unaligned or not C-contiguous.
    """
    n_channels = shape[-4]
    if not (type(n_channels) is int and 1 <= n_channels <= MAX_CHANNELS):
        _check_channel_number(n_channels)
    kind = _FLOAT32 if dtype is np.float32 else _FLOAT64 if dtype is np.float64 else _image_dtype(dtype)
    if out is None:
        return _new_image(shape, kind)
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != kind or not out.flags.carray:
        given = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise VoxelError(f"out must be a writable C-contiguous {kind} array of shape {shape}, not {given}; see dtype=")
    return out


def _check_channel_number(n_channels: object) -> None:
    is_integer = isinstance(n_channels, (int, np.integer)) and not isinstance(n_channels, bool)
    if not is_integer or not 1 <= n_channels <= MAX_CHANNELS:  # type: ignore[operator]
        raise VoxelError(f"n_channels must be an integer from 1 to {MAX_CHANNELS}, not {n_channels!r}")


def _image_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    try:
        kind = np.dtype(dtype)
    except TypeError:
        raise VoxelError(f"dtype must be float32 or float64, not {dtype!r}") from None
    if kind not in (_FLOAT32, _FLOAT64):
        raise VoxelError(f"dtype must be float32 or float64, not {kind}")
    return kind


def _new_image(shape: tuple[int, ...], kind: np.dtype[Any]) -> FloatArray:
    try:
        image: FloatArray = np.empty(shape, kind)
    except ValueError as error:  # more bytes than addresses
        raise VoxelError(f"an image of shape {shape} cannot exist ({error}): use a smaller grid") from None
    return image


def bad_atom_error(spheres: Spheres, index: int, atom: int | None = None) -> VoxelError:
    """Say what is wrong with the sphere that a backend found to be invalid; `atom`: what the caller calls it."""
    atom = index if atom is None else atom
    position, radius_A = spheres.coords_A[index].tolist(), float(spheres.radii_A[index])
    mask = int(spheres.channel_masks[index])
    occupancy = 1.0 if spheres.occupancies is None else float(spheres.occupancies[index])
    if not all(map(math.isfinite, position)):
        return VoxelError(f"atom {atom}: coordinates must be finite, not {position} A")
    if not 0.0 < radius_A < math.inf:
        return VoxelError(f"atom {atom}: radius must be positive and finite, not {radius_A} A")
    if mask >> spheres.n_channels:
        return VoxelError(f"atom {atom}: channel mask {mask:#x} has a bit beyond the {spheres.n_channels} channels")
    if not math.isfinite(occupancy):
        return VoxelError(f"atom {atom}: occupancy must be finite, not {occupancy}")
    return VoxelError(f'atom {atom}: occupancy {occupancy} is negative, which aggregate="max" would ignore; use "sum"')


def bad_view_error(atoms: AtomArrays, atom: int, image: ImageSpec) -> VoxelError:
    """Say why an atom of a structure cannot be drawn in an image that it reaches."""
    row = slice(atom, atom + 1)
    coords_A, elements = np.asarray(atoms.coords_A[row], np.float64), atoms.elements[row]
    masks, radii_A = np.zeros(1, np.uint32), np.ones(1)
    if np.isfinite(coords_A).all():
        try:
            masks, radii_A = image.channel_masks(elements), image.radii_A(elements)
        except VoxelError as error:
            return VoxelError(f"atom {atom}: {error}")
    occupancies = np.asarray(atoms.occupancies[row], np.float64)
    spheres = Spheres(coords_A, radii_A, masks, occupancies, image.grid, image.n_channels, image.fill, image.aggregate)
    return bad_atom_error(spheres, 0, atom)


def check_finite_coords(coords_A: FloatArray) -> None:
    """Raise VoxelError for the first row, (N, 3), that is not finite."""
    bad = np.flatnonzero(~np.isfinite(coords_A).all(axis=1))
    if bad.size:
        position = coords_A[bad[0]].tolist()
        raise VoxelError(f"atom {bad[0]}: coordinates must be finite, not {position} A")


def _columns(
    coords_A: ArrayLike, radii_A: ArrayLike, channel_masks: ArrayLike, occupancies: ArrayLike | None
) -> Columns:
    """The columns as C reads them."""
    # Columns that need no change are told at once, in a third of the time. (Read-only ones are not: `carray` is false.)
    if (
        type(coords_A) is type(radii_A) is type(channel_masks) is np.ndarray
        and coords_A.dtype is _FLOAT64
        and radii_A.dtype is _FLOAT64
        and channel_masks.dtype is _UINT32
        and coords_A.flags.carray and radii_A.flags.carray and channel_masks.flags.carray
        and (
            occupancies is None
            or (type(occupancies) is np.ndarray and occupancies.dtype is _FLOAT64 and occupancies.flags.carray)
        )
    ):  # fmt: skip
        return coords_A, radii_A, channel_masks, occupancies
    shares = None if occupancies is None else _numbers("occupancies", occupancies)
    return _numbers("coords_A", coords_A), _numbers("radii_A", radii_A), _masks(channel_masks), shares


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Real numbers as an aligned C-contiguous float64 array."""
    try:
        given = np.asarray(values)
    except ValueError as error:
        raise VoxelError(f"{name} is no array: {error}") from None
    if given.dtype.kind not in "fiub":
        raise VoxelError(f"{name} must hold real numbers, not {given.dtype}")
    array = np.asarray(given, dtype=np.float64, order="C")
    return array if array.flags.aligned else array.copy()


def _masks(values: ArrayLike) -> NDArray[np.uint32]:
    """Channel masks as an aligned C-contiguous uint32 array."""
    given = np.asarray(values)
    if given.dtype.kind not in "iu" and given.size:
        raise VoxelError(f"channel_masks must hold integers, not {given.dtype}")
    if given.dtype != np.uint32 and given.size:
        bad = np.flatnonzero((given < 0) | (given > 0xFFFFFFFF))
        if bad.size:
            raise VoxelError(f"atom {bad[0]}: channel mask must fit in 32 bits, not {given.flat[bad[0]]}")
    array = np.asarray(given, dtype=np.uint32, order="C")
    return array if array.flags.aligned else array.copy()
