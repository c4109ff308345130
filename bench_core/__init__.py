"""bench_core: mmCIF structures to voxelized view pairs, fast enough to be worth measuring."""

__version__ = "0.1.0"
