"""The C voxelizer against the slow reference on real structures, views as the data set draws them."""

from __future__ import annotations

import numpy as np
import pytest

from bench_core import Grid, ImageSpec, read_embedded, voxelize_view
from bench_core.frames import random_rotation, view_frame
from bench_core.origins.neighbours import origins_among
from bench_core.reference.views import transform_coords
from bench_core.reference.voxels import voxelize_atoms_filtered, voxelize_atoms_naive

pytestmark = pytest.mark.usefixtures("variant")

CHANNELS = [["C"], ["N"], ["O"], ["S", "SE"], ["P"], ["*"]]


@pytest.mark.parametrize("radius_A", [None, 0.75, 1.7])
@pytest.mark.parametrize(("length_voxels", "resolution_A"), [(21, 0.75), (24, 1.0), (33, 0.5)])
@pytest.mark.parametrize("name", ["1pfe", "1gbt", "4cup"])
def test_c_equals_the_reference(name: str, length_voxels: int, resolution_A: float, radius_A: float | None) -> None:
    atoms = read_embedded(name)
    image = ImageSpec(Grid(length_voxels, resolution_A), CHANNELS, radius_A=radius_A)
    rng = np.random.default_rng((length_voxels, len(atoms)))
    origins_A = origins_among(atoms)
    frame = view_frame(random_rotation(rng), origins_A[rng.integers(len(origins_A))])
    spheres = (
        transform_coords(atoms.coords_A, frame),
        image.radii_A(atoms.elements),
        image.channel_masks(atoms.elements),
        image.grid,
        image.n_channels,
    )
    expected = voxelize_atoms_filtered(*spheres, occupancies=atoms.occupancies, dtype=np.float64)
    assert expected.sum() > 10
    drawn = voxelize_view(atoms, image, frame, dtype=np.float64)
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-12)
    single = voxelize_view(atoms, image, frame, dtype=np.float32)
    np.testing.assert_allclose(single, expected, rtol=2.0**-22, atol=2.0**-26)


def test_the_naive_reference_is_the_filtered_one() -> None:
    atoms = read_embedded("3jqh")
    image = ImageSpec(Grid(9, 1.0), CHANNELS)
    arguments = (
        atoms.coords_A - atoms.coords_A.mean(axis=0),
        image.radii_A(atoms.elements),
        image.channel_masks(atoms.elements),
        image.grid,
        image.n_channels,
    )
    naive, filtered = (voxelize(*arguments) for voxelize in (voxelize_atoms_naive, voxelize_atoms_filtered))
    np.testing.assert_array_equal(naive, filtered)
    assert naive.any()
