"""Iterate a loader of view pairs with two forked workers, voxelized as at one of three points of the project's history.

    python docs/make/captured_loader.py initial_naive|early_filter|closed_form [--batches N] [--batch-size N]

What docs/make/captures.py profiles. initial_naive: every example reads its structures anew and tries every atom;
early_filter: atoms far from the image are left out first, structures are read once; closed_form: `OriginPairs` as it
is, one call of C.
"""

import argparse
import functools
from typing import Any

import torch

from bench_core.atoms import Atoms
from bench_core.commands.data_folder import default_folder, ensure_prepared
from bench_core.datasets import OriginPairs
from bench_core.grid import Grid, ImageSpec
from bench_core.loaders import make_loader
from bench_core.origins import open_origins
from bench_core.reference.mmcif import read_atoms_slow
from bench_core.reference.views import cull_atoms, transform_coords
from bench_core.reference.voxels import voxelize_atoms_filtered, voxelize_atoms_naive
from bench_core.structures import embedded_structure

STAGES = ("initial_naive", "early_filter", "closed_form")


class AncestralPairs(torch.utils.data.Dataset[Any]):
    """The pairs of an OriginPairs, made by its ancestors."""

    def __init__(self, pairs: OriginPairs, stage: str) -> None:
        self.pairs = pairs
        self.stage = stage

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        pair = self.pairs.draw(index)
        atoms = read_structure(pair.tag) if self.stage == "initial_naive" else read_once(pair.tag)
        images = [self.voxelize(atoms, frame) for frame in (pair.frame_a, pair.frame_b)]
        return torch.stack([torch.from_numpy(image) for image in images]), pair.y

    def voxelize(self, atoms: Atoms, frame: Any) -> Any:
        image, draw = self.pairs.image, voxelize_atoms_naive
        if self.stage == "early_filter":
            draw, atoms = voxelize_atoms_filtered, atoms[cull_atoms(atoms, image, frame)]
        spheres = transform_coords(atoms.coords_A, frame), image.radii_A(atoms.elements)
        return draw(*spheres, image.channel_masks(atoms.elements), image.grid, image.n_channels)


def read_structure(tag: str) -> Atoms:
    """Parse a structure with the first reader."""
    return read_atoms_slow(embedded_structure(tag))


@functools.cache
def read_once(tag: str) -> Atoms:
    """Parse a structure the first time that a worker needs it."""
    return read_structure(tag)


def main() -> None:
    """Iterate the loader."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=1)
    args = parser.parse_args()
    image = ImageSpec(Grid(21, 0.75), [["C"], ["N"], ["O"], ["*"]])
    ensure_prepared(default_folder())
    pairs = OriginPairs(open_origins(default_folder()), image, size=args.batches * args.batch_size, seed=0)
    dataset = pairs if args.stage == "closed_form" else AncestralPairs(pairs, args.stage)
    for views, _ in make_loader(dataset, batch_size=args.batch_size, workers=2):
        views.sum()


if __name__ == "__main__":
    main()
