"""The steerable networks that the review lists.

Fields are written as {degree: multiplicity}: a tensor product of representations as the irreps it consists of.
"""

from __future__ import annotations

from bench_core.models.tables import Architecture, Linear, Pool, ResidualBlock, SteerableConv


def _scalars_vectors_tensors(scalars: int) -> dict[int, int]:
    """Half as many vectors as scalars, and a quarter of tensors of degree 2."""
    return {0: scalars, 1: scalars // 2, 2: scalars // 4}


WEILER_2018 = Architecture(
    "weiler_2018",
    (
        SteerableConv(_scalars_vectors_tensors(8), 5, stride=2, padding=4),
        SteerableConv(_scalars_vectors_tensors(8), 5, padding=4),
        SteerableConv(_scalars_vectors_tensors(16), 5, stride=2, padding=4),
        SteerableConv(_scalars_vectors_tensors(16), 5, padding=4),
        SteerableConv(_scalars_vectors_tensors(32), 5, stride=2, padding=4),
        SteerableConv(_scalars_vectors_tensors(32), 5, padding=4),
        SteerableConv(_scalars_vectors_tensors(32), 5, stride=2, padding=4),
        SteerableConv({0: 512}, 5, padding=4),
        Pool("avg", 16),
        Linear(55),
    ),
    input_channels=1,
    input_side=64,
    off_centre=True,
    notes=(
        "3D model classification with gated nonlinearities; 142 K parameters are published. Its strides leave "
        "remainders (64 and 38 voxels), which take the grid off its centre by half a voxel."
    ),
)

WEILER_2018_TORNG = Architecture(
    "weiler_2018_torng",
    (
        SteerableConv({0: 34, 1: 33, 2: 33}, 3),
        SteerableConv({0: 67, 1: 67, 2: 66}, 3),
        Pool("avg", 2),
        SteerableConv({0: 134, 1: 133, 2: 133}, 3),
        Pool("avg", 2),
        Pool("avg", 3),
        Linear(6),
    ),
    input_channels=4,
    input_side=20,
    completed=True,
    added_head=True,
    notes=(
        "torng_2017 with a field for each channel; 32.6 M parameters are published. Filled in: the fields are shared "
        "out evenly over the degrees 0, 1 and 2; maxima do not rotate with a field, so the pools average; the last "
        "three voxels are averaged, because flattening them is not equivariant. The convolutions hold 0.3 M "
        "parameters, so nearly all of the published count lies in rows that the review does not list."
    ),
)


def _polynomials(copies: int, degree: int) -> dict[int, int]:
    """Copies of 1 + v + v x v (+ v x v x v) for a vector v, up to this degree: 13 or 40 channels each."""
    one = {2: {0: 2, 1: 2, 2: 1}, 3: {0: 3, 1: 5, 2: 3, 3: 1}}[degree]
    return {order: copies * count for order, count in one.items()}


CESA_2022 = Architecture(
    "cesa_2022",
    (
        SteerableConv(_polynomials(3, degree=2), 5, padding=2),
        ResidualBlock(_polynomials(2, degree=3), hidden_fields=2, stride=2),
        ResidualBlock(_polynomials(6, degree=3), hidden_fields=5, stride=2),
        ResidualBlock(_polynomials(12, degree=3), hidden_fields=5, stride=2),
        ResidualBlock(_polynomials(8, degree=3), hidden_fields=10, stride=2),
        SteerableConv({0: 128, 1: 128, 2: 128}, 3),
        Linear(256),
        Linear(128),
        Linear(10),
    ),
    input_channels=1,
    input_side=33,
    notes=(
        "The SE(3) ResNet among escnn's examples. Between blocks the fields are sums of tensor powers of a vector, "
        "inside them spectral regular ones on 96 rotations; the last 128 are functions on the sphere, of which the "
        "mean goes on. At 5^3 voxels the review prints 240 channels with 48 representations; 48 of them have 480."
    ),
)
