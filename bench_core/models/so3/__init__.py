"""The constants of SO(3)-steerable networks: harmonics, coupling coefficients, kernel bases, Fourier matrices.

NumPy only. Degrees are called l; a degree's space has 2 l + 1 real dimensions in the order m = -l .. l, which is
(y, z, x) for l = 1. These are the conventions of escnn 1.0.11, so that weights mean the same in both.
"""
