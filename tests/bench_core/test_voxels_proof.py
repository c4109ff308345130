"""Every kernel against an independent integral of 40 digits, degenerate spheres included.

The reference cuts a voxel into slices across x: what a slice of the sphere, a disc, shares with a rectangle is
elementary, and mpmath adds the slices up, piece by piece between the points where that area has a kink. It takes some
30 ms per voxel, so golden/overlaps.jsonl keeps the values (`python tests/bench_core/test_voxels_proof.py` writes it),
and a test computes a sample of them anew.
"""

import functools
import itertools
import json
import math
import random
from pathlib import Path

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from bench_core.grid import Grid
from bench_core.voxels import voxelize_atoms

GOLDEN = Path(__file__).parent / "golden" / "overlaps.jsonl"
ULP = 2.0**-52

every_variant = pytest.mark.usefixtures("variant")


# The reference


def in_quadrant(radius, y, z):
    """Area that a disc around 0 shares with the rectangle from (0, 0) to (y, z); odd in y and in z."""
    sign = mpmath.sign(y) * mpmath.sign(z)
    u, v = min(abs(y), radius), min(abs(z), radius)
    if u * u + v * v <= radius * radius:
        return sign * u * v
    over_u, over_v = mpmath.sqrt(radius**2 - u**2), mpmath.sqrt(radius**2 - v**2)
    sector = radius**2 * (mpmath.asin(u / radius) - mpmath.asin(over_v / radius))
    return sign * (u * over_u + v * over_v + sector) / 2


def slice_area(x, low, high):
    """Area that the unit sphere's slice at x shares with the y-z rectangle of a box."""
    radius = mpmath.sqrt((1 - x) * (1 + x))
    corners = itertools.product((low[1], high[1]), (low[2], high[2]))
    (y0z0, y0z1, y1z0, y1z1) = (in_quadrant(radius, y, z) for y, z in corners)
    return y1z1 - y0z1 - y1z0 + y0z0


@mp.workdps(40)
def overlap(low, high):
    """Share of the unit sphere around 0 in the box between two corners."""
    low, high = [max(mpf(x), mpf(-1)) for x in low], [min(mpf(x), mpf(1)) for x in high]
    if any(x0 >= x1 for x0, x1 in zip(low, high, strict=True)):
        return mpf(0)
    sides = [(low[1], high[1]), (low[2], high[2])]
    lengths2 = [y * y for y in itertools.chain(*sides)] + [y * y + z * z for y, z in itertools.product(*sides)]
    kinks = [sign * mpmath.sqrt(1 - length2) for length2 in lengths2 if length2 < 1 for sign in (1, -1)]
    breaks = sorted({low[0], high[0], *(x for x in kinks if low[0] < x < high[0])})
    volume, error = mpmath.quad(lambda x: slice_area(x, low, high), breaks, error=True)
    assert error < mpf("1e-20")
    return volume / (4 * mp.pi / 3)


def voxel_share(sphere, voxel):
    """Share of a sphere in one voxel, all of it from the exact values of the floats."""
    with mp.workdps(40):
        half, h, radius = mpf(sphere["length"]) / 2, mpf(sphere["h"]), mpf(sphere["radius"])
        # Each plane for itself: from the lower ones the upper ones do not follow, where the sphere is of 1e-300.
        low, high = (
            [((i + step - half) * h - mpf(x)) / radius for i, x in zip(voxel, sphere["center"], strict=True)]
            for step in (0, 1)
        )
        return float(overlap(low, high))


# The spheres


def sphere(length, h, radius, center):
    return {"length": length, "h": h, "radius": radius, "center": list(center)}


def random_spheres():
    draw = random.Random(0)
    for ratio, h in itertools.product((0.3, 0.5, 0.9, 1.0, 1.7), (1.0, 0.75)):
        length = 2 if ratio <= 0.5 else 4
        for _ in range(6):
            # Some reach beyond the image, and some have their centre outside.
            yield sphere(length, h, ratio * h, [draw.uniform(-0.7, 0.7) * length * h for _ in range(3)])


def degenerate_spheres():
    corner, edge, face, middle = (0.0, 0.0, 0.0), (0.0, 0.5, 0.0), (0.5, 0.5, 0.0), (0.5, 0.5, 0.5)
    # Touching faces, edges and corners, as exactly as float64 can, and one ulp to either side.
    for touching, ulps in itertools.product((0.5, math.sqrt(0.5), math.sqrt(3) / 2, 1.0), (-1, 0, 1)):
        for center in (corner, edge, face, middle):
            yield sphere(4, 1.0, touching * (1 + ulps * ULP), center)
    # The centre one ulp beside a plane, an edge, a corner.
    for ulps, n in itertools.product((-1, 1), (1, 2, 3)):
        yield sphere(3, 1.0, 0.5, [0.5 * (1 + ulps * ULP)] * n + [0.25] * (3 - n))
        yield sphere(3, 1.0, 0.9, [0.5 * (1 + ulps * ULP)] * n + [0.25] * (3 - n))
    for radius in (1e-12, 1e-300):
        for center in (corner, edge, face, middle, (0.3 * radius, -0.8 * radius, 0.0), (0.5, -0.6 * radius, 0.7)):
            yield sphere(2, 1.0, radius, center)
    # A plane that is 1e-300, or 1 - 1e-16, radii away.
    for center in ((1e-300, 0.2, -0.1), (1e-300, -1e-300, 0.1), (-1e-300, 1e-300, 1e-300)):
        yield from (sphere(4, 1.0, radius, center) for radius in (0.5, 0.9))
    near_one = 0.5 - 2.0**-54
    for center in ((near_one, 0.5, 0.5), (near_one, -near_one, 0.4), (near_one, near_one, -near_one)):
        yield from (sphere(4, 1.0, radius, center) for radius in (0.5, 0.5 - 2.0**-54, 0.5 + ULP))
    # An edge and a corner of a voxel on the surface.
    for scale in (1 - ULP, 1.0, 1 + ULP):
        yield sphere(4, 1.0, 0.5 * scale, (0.3, 0.4, 0.1))
        yield sphere(4, 1.0, 0.375 * scale, (0.125, 0.25, 0.25))
        yield sphere(4, 1.0, 0.75 * scale, (0.25, 0.5, -0.5))

    # Among the worst for float32 maths, found by search: nearly all of the sphere is in one octant.
    yield sphere(2, 1.0, 0.5, (-0.49264313284212635, 0.47535918658311555, -0.499741170564449))
    yield sphere(2, 1.0, 0.5, (-0.4803631160407962, 0.48777709931023605, -0.49478657888939935))
    yield sphere(2, 1.0, 0.5, (0.4944327652917218, 0.475404756222728, -0.4887166892279885))


def shares(sphere):
    """Share in each voxel that is not 0."""
    voxels = itertools.product(range(sphere["length"]), repeat=3)
    found = {voxel: voxel_share(sphere, voxel) for voxel in voxels}
    # Below, nobody can tell; a touch that is off by an ulp gives 1e-32.
    return [[*voxel, share] for voxel, share in found.items() if share > 1e-25]


@functools.cache
def golden():
    return [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]


def expected_image(case):
    image = np.zeros((case["length"],) * 3)
    for x, y, z, share in case["shares"]:
        image[x, y, z] = share
    return image


# The reference is right


@pytest.mark.parametrize("a", [-1, -0.9, -0.25, 0, 0.5, 0.999])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_reference_gives_caps(a, axis):
    low = [-1] * 3
    low[axis] = a
    assert float(overlap(low, (1, 1, 1))) == pytest.approx((2 + a) * (1 - a) ** 2 / 4, abs=1e-15)


def test_the_reference_gives_the_whole_its_octants_and_boxes_inside():
    assert float(overlap((-1, -1, -1), (1, 1, 1))) == pytest.approx(1, abs=1e-16)
    assert float(overlap((-9, -9, -9), (9, 9, 0))) == pytest.approx(1 / 2, abs=1e-16)
    assert float(overlap((0, -9, -9), (9, 0, 9))) == pytest.approx(1 / 4, abs=1e-16)
    for low in itertools.product((0, -1), repeat=3):
        assert float(overlap(low, [x + 1 for x in low])) == pytest.approx(1 / 8, abs=1e-16)
    inside = float(overlap((-0.1, 0.2, -0.3), (0.4, 0.5, 0.1)))
    assert inside == pytest.approx(0.5 * 0.3 * 0.4 / (4 / 3 * math.pi), abs=1e-16)
    assert abs(overlap((0.6, 0.6, 0.6), (1, 1, 1))) < 1e-30


def test_the_reference_adds_up_over_boxes():
    planes = [(-1, -0.31, 0.17, 1), (-1, 0.55, 1), (-1, -0.77, 0.2, 1)]
    boxes = itertools.product(*(itertools.pairwise(axis) for axis in planes))
    with mp.workdps(40):
        assert abs(sum(overlap(*zip(*box, strict=True)) for box in boxes) - 1) < mpf("1e-20")


def test_the_golden_values_are_those_of_the_reference():
    written = [{key: value for key, value in case.items() if key != "shares"} for case in golden()]
    assert written == [*random_spheres(), *degenerate_spheres()]
    touching = [case for case in golden() if case["shares"]]
    assert len(touching) > 140
    for case in touching[::3]:
        x, y, z, share = case["shares"][len(case["shares"]) // 2]
        assert share == pytest.approx(voxel_share(case, (x, y, z)), rel=1e-16)
    for case in golden()[::20]:
        untouched = np.argwhere(expected_image(case) == 0)[:3].tolist()
        assert all(voxel_share(case, voxel) < 1e-25 for voxel in untouched)


# The kernels are right


def largest_error(cases, **rules):
    """Over the images of many spheres, drawn together as the kernels like them: each has a channel of its own."""
    worst = 0.0
    by_grid = sorted(cases, key=lambda case: (case["length"], case["h"]))
    for (length, h), same_grid in itertools.groupby(by_grid, key=lambda case: (case["length"], case["h"])):
        waiting = iter(same_grid)
        while batch := list(itertools.islice(waiting, 32)):
            images = voxelize_atoms(
                [case["center"] for case in batch],
                [case["radius"] for case in batch],
                [1 << channel for channel in range(len(batch))],
                Grid(length, h),
                len(batch),
                dtype=np.float64,
                **rules,
            )
            assert (images >= 0).all()
            expected = np.stack([expected_image(case) for case in batch])
            worst = max(worst, float(np.abs(images - expected).max()))
    return worst


def small_spheres():
    return [case for case in golden() if case["radius"] <= case["h"] / 2]


@every_variant
@pytest.mark.parametrize("kind", ["random", "degenerate"])
def test_every_kernel_is_exact(kind):
    n_random = len(list(random_spheres()))
    assert largest_error(golden()[:n_random] if kind == "random" else golden()[n_random:]) <= 1e-14


@every_variant
def test_float32_maths_is_off_by_no_more_than_it_promises():
    error = largest_error(small_spheres(), precision="float32")
    assert 1e-10 < error <= 2e-7  # else it was not float32
    assert largest_error(golden(), precision="float32") == pytest.approx(error, rel=1e-6)  # the others stay exact


@every_variant
def test_small_spheres_are_exact_in_images_of_one_voxel_too():
    # There the code for spheres of any radius draws them.
    # Not the tiniest: moving the image rounds the positions.
    for case in (case for case in small_spheres() if case["radius"] > 1e-3):
        for x, y, z, share in case["shares"]:
            center_A = [(i - (case["length"] - 1) / 2) * case["h"] for i in (x, y, z)]
            alone = voxelize_atoms(
                [case["center"]], [case["radius"]], [1], Grid(1, case["h"], center_A), 1, dtype=np.float64
            )
            assert alone.item() == pytest.approx(share, rel=0, abs=1e-14)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    lines = [json.dumps({**case, "shares": shares(case)}) for case in (*random_spheres(), *degenerate_spheres())]
    GOLDEN.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
