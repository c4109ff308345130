"""The image: where its voxels lie (Grid), and what each channel holds (ImageSpec).

Pure arithmetic. Both are frozen, hashable and cheap to pickle: they travel into DataLoader workers.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench_core.elements import ATOMIC_NUMBERS, SYMBOLS
from bench_core.errors import VoxelError

FILLS: tuple[str, ...] = ("fraction_atom", "overlap_A3", "fraction_voxel")
AGGREGATES: tuple[str, ...] = ("sum", "max")
MAX_LENGTH_VOXELS = 65_536
"""Beyond what fits into memory, and small enough that its cube counts in 64 bits."""

MAX_CHANNELS = 32
"""One bit of a uint32 mask per channel."""

ANY_ELEMENT = "*"


@dataclass(frozen=True)
class Grid:
    """A cube of cubic voxels.

    Voxel i of an axis is centred at `center_A + (i - (length_voxels - 1) / 2) * resolution_A`; the image spans
    `center_A -+ length_A / 2`.

    Args:
        length_voxels: voxels along each axis, at least 1.
        resolution_A: edge of a voxel, Å.
        center_A: centre of the image, Å.

    Raises:
        VoxelError: a length below 1 or not an integer, a resolution that is not positive and finite, a centre that
            is not three finite numbers.
    """

    length_voxels: int
    resolution_A: float
    center_A: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length_voxels", _checked_length_voxels(self.length_voxels))
        object.__setattr__(self, "resolution_A", _positive("resolution_A", self.resolution_A))
        object.__setattr__(self, "center_A", _checked_center_A(self.center_A))
        if not math.isfinite(self.length_A):
            raise VoxelError(f"length_voxels * resolution_A = {self.length_A} A: the image must have a finite length")

    @property
    def length_A(self) -> float:
        """Edge of the whole image, Å."""
        return self.length_voxels * self.resolution_A

    def axis_centers_A(self) -> NDArray[np.float64]:
        """Voxel centres of each axis, (3, L) float64, Å."""
        steps = np.arange(self.length_voxels) - (self.length_voxels - 1) / 2
        centers_A: NDArray[np.float64] = np.array(self.center_A)[:, np.newaxis] + steps * self.resolution_A
        return centers_A

    def voxel_centers_A(self, indices: ArrayLike) -> NDArray[np.float64]:
        """Centres of the voxels with these indices, (..., 3) -> (..., 3) float64, Å; inside the image or not."""
        steps = np.asarray(indices, dtype=np.float64) - (self.length_voxels - 1) / 2
        centers_A: NDArray[np.float64] = np.array(self.center_A) + steps * self.resolution_A
        return centers_A

    def indices_of(self, coords_A: ArrayLike) -> NDArray[np.int64]:
        """Indices of the voxels that contain these points, (..., 3) -> (..., 3) int64.

        `rint((x - c) / h + (L - 1) / 2)`, ties to even. Indices outside the image are returned as they are; beyond
        the range of int64 they saturate.

        Raises:
            VoxelError: a coordinate is NaN.
        """
        return _saturated(np.rint(self._steps(coords_A) + (self.length_voxels - 1) / 2))

    def voxels_contacting_sphere(
        self, center_A: ArrayLike, radius_A: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last voxel index, (3,) int64 each and both inclusive, of the box of voxels a sphere may touch.

        Not cut to the image. A voxel of which the sphere only touches a face counts: however small the sphere, one on
        a face is in the voxels on both sides.
        """
        center, half_length = np.asarray(center_A, dtype=np.float64), self.length_voxels / 2
        first = np.ceil(self._steps(center - radius_A) + half_length) - 1
        return _saturated(first), _saturated(np.floor(self._steps(center + radius_A) + half_length))

    def occupied_slices(self, center_A: ArrayLike, radius_A: float) -> tuple[slice, slice, slice]:
        """`voxels_contacting_sphere` cut to the image, as slices: every voxel outside them stays exactly 0."""
        first, last = self.voxels_contacting_sphere(center_A, radius_A)
        starts = np.clip(first, 0, self.length_voxels).tolist()
        stops = (np.clip(last, -1, self.length_voxels - 1) + 1).tolist()
        return slice(starts[0], stops[0]), slice(starts[1], stops[1]), slice(starts[2], stops[2])

    def _steps(self, coords_A: ArrayLike) -> NDArray[np.float64]:
        """Positions relative to the centre, in voxels."""
        coords = np.asarray(coords_A, dtype=np.float64)
        with np.errstate(over="ignore"):
            steps: NDArray[np.float64] = (coords - np.array(self.center_A)) / self.resolution_A
        if np.isnan(steps).any():
            raise VoxelError(f"coordinates {coords.tolist()} A hold NaN: no voxel contains it")
        return steps


RadiusRule = float | Mapping[str, float] | tuple[tuple[str, float], ...] | None


@dataclass(frozen=True)
class ImageSpec:
    """A grid and what is drawn in it: channels by element, radii, value of a voxel.

    Args:
        grid: where the voxels lie.
        channels: one group of element symbols per channel, e.g. `[["C"], ["S", "SE"], ["*"]]`. Whole symbols in any
            case; `"*"` is every element that no group names; an element may be in several groups.
        radius_A: radius of the spheres, Å: None (half the resolution), a number, or {symbol: radius} in which `"*"`
            is the radius of all others.
        fill: value of a voxel, times the occupancy: `fraction_atom` = overlap / sphere volume, `overlap_A3`,
            `fraction_voxel` = overlap / voxel volume.
        aggregate: how atoms that share a voxel combine: `sum`, or `max` (never below 0).
        drop_unmatched: leave atoms out whose element is in no group, instead of raising.

    Raises:
        VoxelError: names the argument, what was given and what would do.
    """

    grid: Grid
    channels: Sequence[Sequence[str]]
    radius_A: RadiusRule = None
    fill: str = "fraction_atom"
    aggregate: str = "sum"
    drop_unmatched: bool = field(default=False, kw_only=True)
    max_radius_A: float = field(init=False, repr=False, compare=False)
    mask_table: NDArray[np.uint32] = field(init=False, repr=False, compare=False)
    radius_table_A: NDArray[np.float64] = field(init=False, repr=False, compare=False)
    all_matched: bool = field(init=False, repr=False, compare=False)
    _all_radii_known: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.grid, Grid):
            raise VoxelError(f"grid must be a Grid, not {self.grid!r}")
        _check_choice("fill", self.fill, FILLS)
        _check_choice("aggregate", self.aggregate, AGGREGATES)
        channels = _checked_channels(self.channels)
        radius_A = _checked_radius_rule(self.radius_A)
        masks = _mask_table(channels)
        radii_A = _radius_table_A(radius_A, self.grid.resolution_A / 2)
        drawn_radii_A = radii_A[(masks != 0) & ~np.isnan(radii_A)]
        computed: dict[str, Any] = {
            "channels": channels,
            "radius_A": radius_A,
            "max_radius_A": float(drawn_radii_A.max(initial=0.0)),
            "mask_table": masks,
            # Elements that are never drawn need no radius: any will do.
            "radius_table_A": np.where((masks == 0) & np.isnan(radii_A), self.grid.resolution_A / 2, radii_A),
            "all_matched": bool(self.drop_unmatched or masks.all()),
        }
        computed["_all_radii_known"] = not np.isnan(computed["radius_table_A"]).any()
        for name, value in computed.items():
            object.__setattr__(self, name, value)

    @property
    def n_channels(self) -> int:
        """Number of channels, C."""
        return len(self.channels)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of one image: (C, L, L, L), x before y before z."""
        return (len(self.channels), *(self.grid.length_voxels,) * 3)

    def channel_masks(self, elements: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """Channels of each atom, (N,) uint8 atomic numbers -> (N,) uint32; bit c set = channel c.

        Raises:
            VoxelError: an element is in no group, unless `drop_unmatched`: then its mask is 0.
        """
        masks = self.mask_table.take(elements)
        if not self.all_matched and not masks.all():
            missing = _names(elements[masks == 0])
            raise VoxelError(
                f"elements {missing} are in none of the channels {[list(group) for group in self.channels]}: "
                f'name them, add a ["*"] channel, or set drop_unmatched=True'
            )
        return masks

    def radii_A(self, elements: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Radius of each atom, (N,) uint8 atomic numbers -> (N,) float64, Å.

        Raises:
            VoxelError: `radius_A` names some elements, but not one that is drawn.
        """
        radii = self.radius_table_A.take(elements)
        if not self._all_radii_known and np.isnan(radii).any():
            missing = _names(elements[np.isnan(radii)])
            raise VoxelError(f'radius_A has no radius for the elements {missing}: name them, or add a "*" default')
        return radii


def _saturated(indices: NDArray[np.float64]) -> NDArray[np.int64]:
    # Compared as doubles, before the cast: the largest double below 2**63 is 2**63 - 1024.
    return np.clip(indices, -(2.0**63), 2.0**63 - 1024).astype(np.int64)


def _checked_length_voxels(value: object) -> int:
    try:
        length = -1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        length = -1
    if not 1 <= length <= MAX_LENGTH_VOXELS:
        raise VoxelError(f"length_voxels must be an integer from 1 to {MAX_LENGTH_VOXELS}, not {value!r:.40}")
    return length


def _positive(name: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, str) or not (0.0 < number < math.inf):
        raise VoxelError(f"{name} must be a positive finite number of angstroms, not {value!r}")
    return number


def _checked_center_A(value: Iterable[float]) -> tuple[float, float, float]:
    try:
        x, y, z = (float(coordinate) for coordinate in value)
    except (TypeError, ValueError):
        raise VoxelError(f"center_A must be three numbers, not {value!r}") from None
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        raise VoxelError(f"center_A must be finite, not {(x, y, z)}")
    return x, y, z


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise VoxelError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def _checked_channels(channels: Iterable[Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    """Groups of upper-case symbols, all known."""
    if isinstance(channels, str) or not isinstance(channels, Iterable):
        raise VoxelError(
            f'channels must be a list of lists of element symbols such as [["C"], ["N"]], not {channels!r}'
        )
    groups = tuple(_checked_group(group) for group in channels)
    if not 1 <= len(groups) <= MAX_CHANNELS:
        raise VoxelError(f"channels must hold 1 to {MAX_CHANNELS} groups, not {len(groups)}")
    return groups


def _checked_group(group: Iterable[str]) -> tuple[str, ...]:
    if isinstance(group, str) or not isinstance(group, Iterable):
        raise VoxelError(f'each channel must be a list of element symbols such as ["S", "SE"], not {group!r}')
    symbols = tuple(_checked_symbol("channels", symbol) for symbol in group)
    if not symbols:
        raise VoxelError('a channel without element symbols would stay empty: name some, or ["*"]')
    return symbols


def _checked_symbol(name: str, symbol: object) -> str:
    upper = symbol.upper() if isinstance(symbol, str) else ""
    if upper != ANY_ELEMENT and upper not in ATOMIC_NUMBERS:
        raise VoxelError(f'{name} names {symbol!r}, which is neither an element symbol nor "*"')
    return upper


def _checked_radius_rule(rule: RadiusRule) -> float | tuple[tuple[str, float], ...] | None:
    """The rule in a hashable form: a mapping becomes sorted pairs."""
    if rule is None:
        return None
    if isinstance(rule, (Mapping, tuple)):
        try:
            pairs = dict(rule).items()
        except (TypeError, ValueError):
            raise VoxelError(f"radius_A must be None, a number or {{symbol: radius}}, not {rule!r}") from None
        return tuple(sorted((_checked_symbol("radius_A", s), _positive(f"radius_A[{s!r}]", r)) for s, r in pairs))
    return _positive("radius_A", rule)


def _mask_table(channels: tuple[tuple[str, ...], ...]) -> NDArray[np.uint32]:
    """Mask of each of the 256 possible atomic numbers."""
    table = np.zeros(256, dtype=np.uint32)
    rest = np.uint32(0)
    for channel, group in enumerate(channels):
        bit = np.uint32(1 << channel)
        for symbol in group:
            if symbol == ANY_ELEMENT:
                rest |= bit
            else:
                table[ATOMIC_NUMBERS[symbol]] |= bit
    table[table == 0] = rest
    return table


def _radius_table_A(rule: float | tuple[tuple[str, float], ...] | None, default_A: float) -> NDArray[np.float64]:
    """Radius of each of the 256 possible atomic numbers; NaN where the rule gives none."""
    if not isinstance(rule, tuple):
        return np.full(256, default_A if rule is None else rule)
    radii_A = dict(rule)
    table = np.full(256, radii_A.pop(ANY_ELEMENT, math.nan))
    for symbol, radius_A in radii_A.items():
        table[ATOMIC_NUMBERS[symbol]] = radius_A
    return table


def _names(elements: NDArray[np.uint8]) -> list[str]:
    """Symbols of the distinct elements; the number where there is no symbol."""
    return [SYMBOLS[number] if number < len(SYMBOLS) else str(number) for number in np.unique(elements).tolist()]
