"""The constants of SO(3)-steerable networks: harmonics, coupling coefficients, kernel bases, Fourier matrices, grids.

NumPy only. The irrep of degree l has 2 l + 1 real dimensions in the order m = -l .. l: Y_m goes with cos(m phi), Y_-m
with sin(m phi), none has the Condon-Shortley sign, and degree 1 is (y, z, x). These are the conventions of escnn
1.0.11, so that weights mean the same in both. All but the grids is computed when it is asked for, in milliseconds.
"""
