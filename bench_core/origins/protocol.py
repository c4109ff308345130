"""What every origin store offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from bench_core.atoms import Atoms
from bench_core.errors import MissingOriginError


class Origin(NamedTuple):
    """One place where a view may be centred."""

    id: int
    tag: str
    """Name of the structure the origin lies in."""
    coords_A: npt.NDArray[np.float32]
    """(3,) float32, Å, in the structure's coordinates."""


@runtime_checkable
class OriginStore(Protocol):
    """Origins by id and by tag, and the atoms of each tag. Ids run from 0 to len(store) - 1, sorted by tag.

    A store travels into DataLoader workers of any start method: pickling one carries its path, not its data.
    """

    def __len__(self) -> int:
        """Number of origins."""
        ...

    @property
    def tags(self) -> Sequence[str]:
        """Names of all structures of the store, also of those without origins."""
        ...

    def origin(self, i: int) -> Origin:
        """Return origin `i`; MissingOriginError where there is none."""
        ...

    def origins_of(self, tag: str) -> npt.NDArray[np.float32]:
        """Return the places of all origins of a tag: (n, 3) float32, Å; MissingOriginError for an unknown tag."""
        ...

    def atoms_of(self, tag: str) -> Atoms:
        """Return the atoms of a tag; MissingOriginError for an unknown tag."""
        ...

    def sample(self, rng: np.random.Generator) -> Origin:
        """Draw an origin, every one of the store being as likely."""
        ...


def checked_origin_id(i: int, n_origins: int, path: object) -> int:
    """Return `i` as a Python int, or say which ids there are.

    Python integers and NumPy integers are ids; -1 is not the last one: an id is a key, not a position, and a store
    that answers to ids off its ends hides off-by-one errors.

    Raises:
        MissingOriginError: `i` is no integer within 0..n_origins-1.
    """
    if isinstance(i, (int, np.integer)) and not isinstance(i, (bool, np.bool_)) and 0 <= i < n_origins:
        return int(i)
    have = f"ids run from 0 to {n_origins - 1}" if n_origins else "it holds no origins"
    raise MissingOriginError(f"no origin {i!r} in {path}: {have}")
