"""torch data sets of view pairs.

An example is two voxelized views of one structure and what relates them. It is a pure function of (seed, index): the
same whichever worker makes it, under every start method.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from bench_core.atoms import Atoms
from bench_core.errors import MissingOriginError, VoxelError
from bench_core.frames import CUBE_FACES, Frame, invert, random_rotation, translation, view_frame
from bench_core.grid import ImageSpec
from bench_core.origins import OriginStore
from bench_core.origins.neighbours import crowded_places
from bench_core.voxel_inputs import PRECISIONS
from bench_core.voxels import voxelize_views

MODES = ("direction", "frame")


class Pair(NamedTuple):
    """Where the two views of an example look, and its target."""

    tag: str
    frame_a: Frame
    frame_b: Frame
    y: Any
    """direction: int label 0..5; frame: (4, 4) float32, frame_b @ inv(frame_a)."""


class OriginPairs(Dataset[tuple[torch.Tensor, Any]]):
    """View pairs centred on the origins of a store.

    mode="direction": the second view lies one image edge and `view_padding_A` from the first, in one of the six
    directions of `frames.CUBE_FACES`, in the same orientation; y is the direction's number (int, 0..5). A direction
    is allowed where its centre is as crowded as an origin (`origins.neighbours`).

    mode="frame": the second view is centred on another origin of the structure, so far away that the two images do
    not overlap and at most `distance_slack_A` further, in an orientation of its own; y is the (4, 4) float32 frame
    from the first view's coordinates to the second's.

    `skipped` counts, by tag, how often a structure was drawn in this process and had no valid pair.
    """

    def __init__(
        self,
        store: OriginStore,
        image: ImageSpec,
        mode: str = "direction",
        size: int | None = None,
        seed: int = 0,
        *,
        precision: str = "float64",
        view_padding_A: float = 1.0,
        distance_slack_A: float = 10.0,
        max_tries: int = 10,
        max_structures: int = 100,
    ) -> None:
        """Make a data set of `size` examples (default: as many as the store has origins).

        Args:
            precision: of the voxelizer's maths, see `voxelize_views`.
            max_tries: origins tried per drawn structure.
            max_structures: structures drawn per example before giving up.

        Raises:
            VoxelError: unknown mode or precision, a grid that is not centred at 0, a distance that is not finite and
                positive, or a size, seed or number of tries that is no positive integer.
        """
        if mode not in MODES:
            raise VoxelError(f"mode {mode!r} is unknown: choose one of {', '.join(MODES)}")
        if precision not in PRECISIONS:
            raise VoxelError(f"precision {precision!r} is unknown: choose one of {', '.join(PRECISIONS)}")
        self.store = store
        self.image = image
        self.mode = mode
        self.precision = precision
        self.size = len(store) if size is None else _positive("size", size, least=0)
        self.seed = _positive("seed", seed, least=0)
        if any(image.grid.center_A):
            raise VoxelError(f"views are centred by their frames: give a grid centred at 0, not {image.grid.center_A}")
        self.view_padding_A = _distance("view_padding_A", view_padding_A)
        self.distance_slack_A = _distance("distance_slack_A", distance_slack_A)
        self.max_tries = _positive("max_tries", max_tries)
        self.max_structures = _positive("max_structures", max_structures)
        self.skipped: Counter[str] = Counter()

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        """Return (x, y): x (2, C, L, L, L) float32, y as the mode says.

        Raises:
            IndexError: the index is not within 0..len-1.
            MissingOriginError: no valid pair was found within the bounds on retries.
        """
        pair = self.draw(index)
        return self.voxelize(self.store.atoms_of(pair.tag), pair), pair.y

    def draw(self, index: int) -> Pair:
        """Choose the structure, the two views and the target of an example."""
        if not 0 <= operator.index(index) < self.size:
            raise IndexError(f"no example {index}: indices run from 0 to {self.size - 1}")
        rng = np.random.default_rng((self.seed, operator.index(index)))
        draw_in = self._draw_direction if self.mode == "direction" else self._draw_frame
        for _ in range(self.max_structures):
            tag = self.store.sample(rng).tag
            atoms, origins_A = self.store.atoms_of(tag), self.store.origins_of(tag)
            for _ in range(self.max_tries):
                pair = draw_in(rng, tag, atoms, origins_A)
                if pair is not None:
                    return pair
            self.skipped[tag] += 1
        raise MissingOriginError(
            f"no valid pair for example {index} of 0..{self.size - 1} after {self.max_structures} structures with "
            f"{self.max_tries} origins each: the structures are too small for this image; use a smaller grid"
        )

    def voxelize(self, atoms: Atoms, pair: Pair) -> torch.Tensor:
        """Return both views of a pair: (2, C, L, L, L) float32."""
        views = [(atoms, pair.frame_a), (atoms, pair.frame_b)]
        return torch.from_numpy(voxelize_views(views, self.image, dtype=np.float32, precision=self.precision))

    def _draw_direction(
        self, rng: np.random.Generator, tag: str, atoms: Atoms, origins_A: npt.NDArray[np.float32]
    ) -> Pair | None:
        origin_A = origins_A[int(rng.integers(len(origins_A)))].astype(np.float64)
        rotation = random_rotation(rng)
        offsets_A = CUBE_FACES * (self.image.grid.length_A + self.view_padding_A)
        allowed = np.flatnonzero(crowded_places(atoms, origin_A + offsets_A @ rotation))
        if not len(allowed):
            return None
        label = int(allowed[int(rng.integers(len(allowed)))])
        frame_a = view_frame(rotation, origin_A)
        return Pair(tag, frame_a, translation(-offsets_A[label]) @ frame_a, label)

    def _draw_frame(
        self, rng: np.random.Generator, tag: str, atoms: Atoms, origins_A: npt.NDArray[np.float32]
    ) -> Pair | None:
        origin_A = origins_A[int(rng.integers(len(origins_A)))].astype(np.float64)
        distances_A = np.linalg.norm(origins_A - origin_A, axis=1)
        nearest_A = self.min_distance_A
        far_enough = np.flatnonzero((distances_A >= nearest_A) & (distances_A <= nearest_A + self.distance_slack_A))
        if not len(far_enough):
            return None
        other_A = origins_A[int(far_enough[int(rng.integers(len(far_enough)))])]
        frame_a = view_frame(random_rotation(rng), origin_A)
        frame_b = view_frame(random_rotation(rng), other_A)
        return Pair(tag, frame_a, frame_b, (frame_b @ invert(frame_a)).astype(np.float32))

    @property
    def min_distance_A(self) -> float:
        """Distance of two origins at which their images share no atom in any orientation: twice the half diagonal
        of the image plus the largest radius."""
        return math.sqrt(3.0) * self.image.grid.length_A + 2.0 * self.image.max_radius_A


class OriginLookups(Dataset[torch.Tensor]):
    """A store's look-ups alone, without voxels: for measuring what a store costs.

    Example i touches every origin of tag i // repeats, and the table of origins by id. Loaded in order with as many
    workers as `repeats`, in batches of one, every worker comes to touch every tag.
    """

    def __init__(self, store: OriginStore, repeats: int = 1) -> None:
        self.store = store
        self.repeats = _positive("repeats", repeats)
        self._tags = store.tags

    def __len__(self) -> int:
        return len(self._tags) * self.repeats

    def __getitem__(self, i: int) -> torch.Tensor:
        """Return the mean place of the tag's origins: (3,) float32, Å; NaN where it has none."""
        if not 0 <= i < len(self):
            raise IndexError(f"no example {i}: indices run from 0 to {len(self) - 1}")
        self.store.origin(i * len(self.store) // len(self))
        places_A = self.store.origins_of(self._tags[i // self.repeats])
        return torch.from_numpy(places_A.mean(axis=0)) if len(places_A) else torch.full((3,), torch.nan)


def _positive(name: str, value: int, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise VoxelError(f"{name} must be an integer of at least {least}, not {value!r}")
    return int(value)


def _distance(name: str, value_A: float) -> float:
    if isinstance(value_A, (int, float, np.number)) and 0 <= value_A < math.inf:
        return float(value_A)
    raise VoxelError(f"{name} must be a finite number of at least 0, not {value_A!r}")
