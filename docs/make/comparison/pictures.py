"""A slice of an image as a small PNG, without a plotting library."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

PIXELS_PER_VOXEL = 8
SCALE = np.array([[255, 255, 255], [190, 215, 238], [94, 154, 206], [27, 88, 160], [6, 24, 66]], dtype=np.float64)
"""Colours from 0 to the maximum, red green blue, at even steps."""

FRAME = 64
"""Level of the line around a picture: on a white page its edges would not show."""


def png(values: npt.NDArray[np.float64]) -> bytes:
    """Draw (x, y) with x to the right and y upwards, from white at 0 to dark blue at the largest value."""
    peak = float(values.max(initial=0.0))
    levels = np.rint(255 * np.clip(values / peak if peak > 0 else values, 0.0, 1.0)).astype(np.uint8)
    pixels = np.kron(levels.T[::-1], np.ones((PIXELS_PER_VOXEL,) * 2, dtype=np.uint8))
    pixels = np.pad(pixels, 1, constant_values=FRAME)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 3, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", palette()), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)


def palette() -> bytes:
    """The 256 colours, as PNG holds them."""
    steps = np.linspace(0, len(SCALE) - 1, 256)
    channels = [np.interp(steps, np.arange(len(SCALE)), SCALE[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8).tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Length, kind, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
