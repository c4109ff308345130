"""Where does the time of one example go? Two views of 21^3 voxels of 0.75 Å in 4 channels, from the 14 structures.

Each step is timed on its own, by the very functions that `OriginPairs.__getitem__` calls, over the same 64 examples in
turn, one call a sample; `time_example` is the whole. Parsing is not part of an example any more: it is what one
example cost when each read its structure anew.
"""

from __future__ import annotations

import itertools
from typing import Any

from asv_runner.benchmarks.mark import SkipNotImplemented

from .base import PreparedSuite, needed, once, subject

N_EXAMPLES = 64


def make_pairs(folder: str, size: int = N_EXAMPLES) -> Any:
    """Return the data set that the suites measure."""
    open_origins = subject("bench_core.origins", "open_origins")
    grid, image_spec = subject("bench_core.grid", "Grid", "ImageSpec")
    origin_pairs = subject("bench_core.datasets", "OriginPairs")
    image = image_spec(grid(21, 0.75), [["C"], ["N"], ["O"], ["*"]])
    return origin_pairs(open_origins(needed(folder)), image, size=size, seed=0)


def steps_in_numpy() -> tuple[Any, Any]:
    """Return `cull_atoms` and `transform_coords`: part of the path to an image once, then kept among the ancestors."""
    try:
        return subject("bench_core.reference.views", "cull_atoms", "transform_coords")
    except SkipNotImplemented:
        return subject("bench_core.voxels", "cull_atoms", "transform_coords")


class Example(PreparedSuite):
    """The whole example at each commit, and its steps."""

    @once
    def setup(self, folder: str) -> None:
        self.pairs = make_pairs(folder)
        self.indices = itertools.cycle(range(N_EXAMPLES))

    def time_example(self, folder: str) -> None:
        self.pairs[next(self.indices)]

    def time_draw(self, folder: str) -> None:
        self.pairs.draw(next(self.indices))


class ExampleSteps(PreparedSuite):
    """The steps between drawing the places and having a batch, each over both views of an example.

    Since `voxelize_views` is one call of C, `time_views` is what an example spends; cull, rotate, channel and voxelize
    then show what the steps cost apart, the first three in NumPy.
    """

    @once
    def setup(self, folder: str) -> None:
        self.cull, self.rotate = steps_in_numpy()
        self.voxelize = subject("bench_core.voxels", "voxelize_atoms")
        self.collate, limit_threads = subject("bench_core.loaders", "default_collate", "limit_threads")
        limit_threads(1)  # as a worker has
        pairs = make_pairs(folder)
        self.image, self.pairs = pairs.image, pairs
        drawn = [pairs.draw(i) for i in range(N_EXAMPLES)]
        self.drawn = itertools.cycle([(pairs.store.atoms_of(pair.tag), pair) for pair in drawn])
        examples = [self.prepared(pairs, i) for i in range(N_EXAMPLES)]
        self.examples = itertools.cycle(examples)
        self.batch = [pairs[i] for i in range(16)]

    def prepared(self, pairs: Any, i: int) -> list[tuple[Any, ...]]:
        """Both views of an example, with what each step is given and makes."""
        pair = pairs.draw(i)
        atoms, views = pairs.store.atoms_of(pair.tag), []
        for frame in (pair.frame_a, pair.frame_b):
            near = self.cull(atoms, self.image, frame)
            coords_A, elements = atoms.coords_A[near], atoms.elements[near]
            spheres = (
                self.rotate(coords_A, frame),
                self.image.radii_A(elements),
                self.image.channel_masks(elements),
                self.image.grid,
                self.image.n_channels,
            )
            views.append((atoms, frame, coords_A, elements, spheres))
        return views

    def time_views(self, folder: str) -> None:
        self.pairs.voxelize(*next(self.drawn))

    def time_cull(self, folder: str) -> None:
        for atoms, frame, _, _, _ in next(self.examples):
            self.cull(atoms, self.image, frame)

    def time_rotate(self, folder: str) -> None:
        for _, frame, coords_A, _, _ in next(self.examples):
            self.rotate(coords_A, frame)

    def time_channel(self, folder: str) -> None:
        for _, _, _, elements, _ in next(self.examples):
            self.image.channel_masks(elements)
            self.image.radii_A(elements)

    def time_voxelize(self, folder: str) -> None:
        for _, _, _, _, spheres in next(self.examples):
            self.voxelize(*spheres)

    def time_collate_batch_of_16(self, folder: str) -> None:
        self.collate(self.batch)


class Ancestor(PreparedSuite):
    """What an example cost in the first notebook: parse the structure, try every atom, twice.

    At least 16 samples: structures differ by ten times in size, and the median of the first three says little.
    """

    repeat = (16, 64, 10.0)

    @once
    def setup(self, folder: str) -> None:
        self.read_slow = subject("bench_core.reference.mmcif", "read_atoms_slow")
        self.naive = subject("bench_core.reference.voxels", "voxelize_atoms_naive")
        _, self.rotate = steps_in_numpy()
        self.embedded = subject("bench_core.structures", "embedded_structure")
        self.pairs = make_pairs(folder)
        self.image = self.pairs.image
        self.indices = itertools.cycle(range(N_EXAMPLES))

    def time_example(self, folder: str) -> None:
        pair = self.pairs.draw(next(self.indices))
        self.example_of(pair, self.read_slow(self.embedded(pair.tag)))

    def time_parse(self, folder: str) -> None:
        pair = self.pairs.draw(next(self.indices))
        self.read_slow(self.embedded(pair.tag))

    def example_of(self, pair: Any, atoms: Any) -> list[Any]:
        image, images = self.image, []
        for frame in (pair.frame_a, pair.frame_b):
            coords_A = self.rotate(atoms.coords_A, frame)
            radii_A, masks = image.radii_A(atoms.elements), image.channel_masks(atoms.elements)
            images.append(self.naive(coords_A, radii_A, masks, image.grid, image.n_channels))
        return images
