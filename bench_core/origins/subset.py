"""Some structures of a store as a store of their own: what training sees and what is held out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from bench_core.atoms import Atoms
from bench_core.errors import MissingOriginError
from bench_core.origins.protocol import Origin, OriginStore, checked_origin_id


class TagSubset:
    """The origins of chosen tags. Ids run from 0 to len - 1, sorted by tag, as in every store."""

    def __init__(self, store: OriginStore, tags: Iterable[str]) -> None:
        """Choose `tags` of `store`.

        Raises:
            MissingOriginError: the store has no such tag.
        """
        self.store = store
        self._tags = tuple(sorted(set(tags)))
        self._offsets = np.concatenate([[0], np.cumsum([len(store.origins_of(tag)) for tag in self._tags])]).astype(int)

    def __len__(self) -> int:
        return int(self._offsets[-1])

    def __repr__(self) -> str:
        return f"TagSubset({len(self)} origins, {len(self._tags)} structures of {self.store!r})"

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the chosen structures, sorted."""
        return self._tags

    def origin(self, i: int) -> Origin:
        """Return origin `i` (0 to len - 1) of the subset.

        Raises:
            MissingOriginError: there is no such id.
        """
        i = checked_origin_id(i, len(self), self)
        t = int(self._offsets.searchsorted(i, side="right")) - 1
        tag = self._tags[t]
        return Origin(i, tag, self.store.origins_of(tag)[i - self._offsets[t]])

    def origins_of(self, tag: str) -> npt.NDArray[np.float32]:
        """Return the (n, 3) float32 places, Å, of a chosen tag's origins.

        Raises:
            MissingOriginError: the tag was not chosen.
        """
        return self.store.origins_of(self._chosen(tag))

    def atoms_of(self, tag: str) -> Atoms:
        """Return the atoms of a chosen tag.

        Raises:
            MissingOriginError: the tag was not chosen.
        """
        return self.store.atoms_of(self._chosen(tag))

    def sample(self, rng: np.random.Generator) -> Origin:
        """Draw an origin of the chosen structures, every one being as likely.

        Raises:
            MissingOriginError: they have no origins.
        """
        if not len(self):
            raise MissingOriginError(f"no origin to sample: the {len(self._tags)} chosen structures have none")
        return self.origin(int(rng.integers(len(self))))

    def _chosen(self, tag: str) -> str:
        if tag not in self._tags:
            raise MissingOriginError(f"structure {tag!r} is not among the {len(self._tags)} chosen ones")
        return tag
