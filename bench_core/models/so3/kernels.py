"""The basis of rotation-equivariant convolution kernels between fields of SO(3) irreps, sampled on a voxel grid.

A kernel from degree l to degree k is a sum over j in |k - l| .. k + l of radial profiles times the harmonics of
degree j, coupled by Clebsch-Gordan coefficients (Weiler et al. 2018, arXiv:1807.02547). Between two fields that hold
several irreps, the kernel is made of such blocks: a weight touches one block, not the whole field. Keeping the blocks
apart is why `bench_core.models.dense` needs about 1/80 of the multiplications of a basis that is padded to whole
fields, as escnn's is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench_core.models.so3.clebsch_gordan import clebsch_gordan
from bench_core.models.so3.harmonics import spherical_harmonics

Degrees = tuple[int, ...]
"""The irreps of one field, in the order of its channels."""


def regular_degrees(band_limit: int) -> Degrees:
    """Return the irreps of the spectral regular representation: degree l in 2 l + 1 copies, l = 0 .. band_limit.

    35 channels in 9 irreps for band limit 2, 84 in 16 for 3.
    """
    return tuple(degree for degree in range(band_limit + 1) for _ in range(2 * degree + 1))


def quotient_degrees(band_limit: int) -> Degrees:
    """Return the irreps of functions on the sphere, SO(3)/SO(2): each degree once; 9 channels for band limit 2."""
    return tuple(range(band_limit + 1))


def size_of(degrees: Degrees) -> int:
    """Return the number of channels of a field."""
    return sum(2 * degree + 1 for degree in degrees)


@dataclass(frozen=True)
class Block:
    """All kernels from one input degree to one output degree.

    basis: (b, 2 k + 1, 2 l + 1, S) float32, the sampled kernels.
    weights: (copies of k, copies of l, b) int64, where a weight lies in the vector of a pair of fields.
    out_channels, in_channels: (copies, 2 degree + 1) int64, the channels within the fields.
    """

    out_degree: int
    in_degree: int
    basis: npt.NDArray[np.float32]
    weights: npt.NDArray[np.int64]
    out_channels: npt.NDArray[np.int64]
    in_channels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class KernelBasis:
    """The kernels between an input field and an output field on kernel^3 voxels.

    `dimension` weights describe one pair of fields: 214 between regular fields of band limit 2 for 3^3 voxels, 393
    for 5^3, 35 for 1.
    """

    in_degrees: Degrees
    out_degrees: Degrees
    kernel: int
    dimension: int
    blocks: tuple[Block, ...]

    def padded(self) -> npt.NDArray[np.float32]:
        """Return the whole basis, (dimension, out channels, in channels, S): mostly zeros; for tests and escnn."""
        shape = (self.dimension, size_of(self.out_degrees), size_of(self.in_degrees), self.kernel**3)
        out = np.zeros(shape, dtype=np.float32)
        for block in self.blocks:
            for (copy_out, copy_in), _ in np.ndenumerate(block.weights[..., 0]):
                channels = np.ix_(
                    block.weights[copy_out, copy_in], block.out_channels[copy_out], block.in_channels[copy_in]
                )
                out[channels] = block.basis
        return out


@functools.cache
def kernel_basis(in_degrees: Degrees, out_degrees: Degrees, kernel: int) -> KernelBasis:
    """Return the basis of equivariant kernels between two fields, in the order of escnn's weights.

    That order is: degree j of the harmonic, then the irreps of the input field, then those of the output field, then
    the radial profiles. Every basis kernel has the squared norm 2 k + 1, k being its output degree.
    """
    sampled = {
        (out, into): _sample(out, into, kernel) for out in sorted(set(out_degrees)) for into in sorted(set(in_degrees))
    }
    position = _positions(in_degrees, out_degrees, {pair: counts for pair, (_, counts) in sampled.items()})
    blocks = tuple(
        Block(out, into, basis, position(out, into), _channels(out_degrees, out), _channels(in_degrees, into))
        for (out, into), (basis, _) in sampled.items()
        if len(basis)
    )
    return KernelBasis(in_degrees, out_degrees, kernel, sum(block.weights.size for block in blocks), blocks)


def _positions(
    in_degrees: Degrees, out_degrees: Degrees, counts: dict[tuple[int, int], dict[int, int]]
) -> Callable[[int, int], npt.NDArray[np.int64]]:
    """Number the weights of a pair of fields; return the function that gives a block's numbers."""
    numbers: dict[tuple[int, int], list[int]] = {}
    total = 0
    for j in range(max(in_degrees) + max(out_degrees) + 1):
        for place_in, into in enumerate(in_degrees):
            for place_out, out in enumerate(out_degrees):
                count = counts[out, into].get(j, 0)
                numbers.setdefault((place_out, place_in), []).extend(range(total, total + count))
                total += count

    def of_block(out: int, into: int) -> npt.NDArray[np.int64]:
        places_out = [place for place, degree in enumerate(out_degrees) if degree == out]
        places_in = [place for place, degree in enumerate(in_degrees) if degree == into]
        return np.array([[numbers[po, pi] for pi in places_in] for po in places_out], dtype=np.int64)

    return of_block


def _channels(degrees: Degrees, wanted: int) -> npt.NDArray[np.int64]:
    """Return the channels of all irreps of one degree: (copies, 2 degree + 1)."""
    starts = np.cumsum([0, *(2 * degree + 1 for degree in degrees)])
    copies = [np.arange(starts[place], starts[place + 1]) for place, degree in enumerate(degrees) if degree == wanted]
    return np.array(copies, dtype=np.int64)


@functools.cache
def _sample(out: int, into: int, kernel: int) -> tuple[npt.NDArray[np.float32], dict[int, int]]:
    """Return the normalised kernels (b, 2 out + 1, 2 into + 1, S) of a pair of degrees, and how many are of which j."""
    points = voxel_points(kernel)
    radii = np.linalg.norm(points, axis=1)
    directions = np.divide(points, radii[:, None], out=np.zeros_like(points), where=radii[:, None] > 0)
    found, counts = [], {}
    for j in range(abs(out - into), out + into + 1):
        angular = np.einsum("oij,sj->ois", clebsch_gordan(out, into, j), spherical_harmonics(j, directions))
        kernels = [angular * np.exp(-0.5 * ((radii - ring) / width) ** 2) for ring, width in _rings(kernel, j)]
        norms = [math.sqrt((sampled**2).sum() / (2 * out + 1)) for sampled in kernels]
        # A harmonic may vanish on every voxel of the grid (or as good as): such a kernel is no degree of freedom.
        kept = [sampled / norm for sampled, norm in zip(kernels, norms, strict=True) if norm >= _VANISHED]
        found += kept
        counts[j] = len(kept)
    shape = (len(found), 2 * out + 1, 2 * into + 1, kernel**3)
    return np.array(found, dtype=np.float32).reshape(shape), counts


_VANISHED = 1e-6


def _rings(kernel: int, j: int) -> Iterator[tuple[float, float]]:
    """Yield (radius, width) in voxels of the radial profiles for harmonics of degree j: Gaussians around shells.

    The rings, their widths and the highest degree that a ring carries are escnn's defaults for R3Conv.
    """
    radii = np.linspace(0, (kernel - 1) // 2, math.ceil(kernel / 2))
    for ring in radii:
        width = 0.005 if ring == 0 else 0.4 if ring == radii[-1] else 0.6
        if j <= min(2 * ring, kernel // 2 - ring + 2):
            yield float(ring), width


def voxel_points(kernel: int) -> npt.NDArray[np.float64]:
    """Return the centres of a kernel's voxels, (kernel^3, 3), in the order of a (D, H, W) array.

    x runs along the last axis, y against the second, z against the first, as escnn has it. Seen from an array whose
    axes are x, y, z this is an improper change of axes, which maps rotations to rotations.
    """
    steps = np.arange(kernel) - (kernel - 1) / 2
    z, y, x = np.meshgrid(-steps, -steps, steps, indexing="ij")
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)
