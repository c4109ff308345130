"""The slow ancestors that the notebooks describe: what tests compare with, and benchmarks start from."""
