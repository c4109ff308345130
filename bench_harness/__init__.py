"""Instruments that measure a program and leave versioned records behind. Knows nothing of the program measured."""

__version__ = "0.1.0"
