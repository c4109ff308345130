"""Copies that a convolution makes on the CPU: oneDNN computes on blocked layouts, torch hands it plain ones.

Arithmetic only. Source: the allocator events (torch.profiler, profile_memory) of single convolutions, torch 2.13,
oneDNN with AVX-512 (and limited to AVX2), 1 thread: 1D, 2D and 3D, strides 1 to 3, groups, depthwise, transposed,
float32 and bfloat16, 1 to 256 channels. What was seen:

- channels are padded to blocks of 16 (AVX2: 8), images and filters alike; input and filter are copied, the result
  is made blocked and then copied to the plain result.
- fewer input channels than a block: the input is read as it is. Its filter gradient uses blocks of 8 (1 to 3: no copy).
- a strided gradient of the input, and so a strided transposed convolution, is computed channels last, without padding,
  and copied twice on its way out: three of them at once.
- 1x1 with stride 1 is a matrix product and copies nothing, but one image gradient in 3D.
- bfloat16 sums the filter's gradient in float32, on a scratchpad with transposed images of one example.
- AVX2 has no kernel for the filter's gradient of padded 3D images: per thread, one plane is unrolled, beside four
  filters.
- one small example without strides on one thread, float64, and float16 where the CPU has none, are done by torch
  itself: all examples unrolled into columns, in the backward pass of a transposed convolution one at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Convolution:
    """The sizes of one convolution, seen as a plain one: `image` is its input's side lengths, `result` its output's.

    For a transposed convolution, exchange channels and sides: its forward is the input gradient of that plain one.
    """

    batch: int
    channels_in: int
    channels_out: int
    image: tuple[int, ...]
    result: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    groups: int
    item_bytes: int
    plain_sides: bool = True  # stride 1, dilation 1, kernel of at most 3
    padded: bool = False  # whether the image has a margin of zeros
    supported: bool = True  # whether oneDNN computes this dtype on this CPU
    block: int = 16  # channels that oneDNN keeps together: 16 with AVX-512, else 8
    unrolled: int | None = None  # how many examples torch unrolls at once, where it does (None: all)

    @property
    def strided(self) -> bool:
        """Whether any stride is above 1."""
        return max(self.stride) > 1

    @property
    def pointwise(self) -> bool:
        """Whether it is a matrix product: 1x1, stride 1, one group."""
        return max(self.kernel) == 1 and not self.strided and self.groups == 1

    @property
    def depthwise(self) -> bool:
        """Whether every channel has a filter of its own."""
        return self.groups > 1 and self.groups == self.channels_in == self.channels_out

    @property
    def few_channels(self) -> bool:
        """Whether the input is read as it is."""
        return self.channels_in < self.block and self.groups == 1

    def input_bytes(self, block: int = 1) -> int:
        """Return the bytes of the input, channels padded to a block."""
        return self.batch * _padded(self.channels_in, block) * math.prod(self.image) * self.item_bytes

    def result_bytes(self, block: int = 1) -> int:
        """Return the bytes of the output, channels padded to a block."""
        return self.batch * _padded(self.channels_out, block) * math.prod(self.result) * self.item_bytes

    def filter_bytes(self, block_in: int = 1, block_out: int = 1) -> int:
        """Return the bytes of the filter; of groups, the channels of one group are not padded."""
        taps = math.prod(self.kernel) * self.item_bytes
        if self.depthwise:
            return _padded(self.channels_in, block_out) * taps
        if self.groups > 1:
            return self.channels_in // self.groups * self.channels_out * taps
        return _padded(self.channels_in, block_in) * _padded(self.channels_out, block_out) * taps

    def by_columns(self, threads: int) -> bool:
        """Tell whether torch unrolls it into columns itself, without oneDNN."""
        small = self.batch == 1 and self.plain_sides and threads == 1 and self.groups == 1
        return not self.supported or (small and self.item_bytes == 4)

    def columns_bytes(self) -> int:
        """Return the bytes of the input unrolled: every tap of every place."""
        taps = self.channels_in // self.groups * math.prod(self.kernel)
        examples = self.batch if self.unrolled is None else self.unrolled
        return examples * taps * math.prod(self.result) * self.item_bytes


def forward_bytes(conv: Convolution, threads: int = 1) -> int:
    """Return the most that a convolution holds beside its arguments and its result."""
    if conv.pointwise:
        return 0
    if conv.by_columns(threads):
        return conv.columns_bytes()
    if conv.depthwise and len(conv.kernel) == 3:
        return 2 * conv.result_bytes()
    blocked = conv.result_bytes(conv.block)
    source = 0 if conv.few_channels else conv.input_bytes(conv.block)
    weights = conv.filter_bytes(1 if conv.few_channels else conv.block, conv.block)
    gathered = _one_stride_bytes(conv, threads)
    return max(source + weights + blocked + gathered - conv.result_bytes(), blocked)


def input_gradient_bytes(conv: Convolution, threads: int = 1) -> int:
    """Return the most that the gradient of the input holds, that gradient included."""
    plain = conv.input_bytes()
    if conv.pointwise:
        return 2 * plain if len(conv.kernel) == 3 else plain
    if conv.by_columns(threads):
        return plain + conv.columns_bytes()
    if conv.depthwise and len(conv.kernel) == 3:
        return 2 * plain
    if conv.strided and not conv.depthwise:
        weights = conv.filter_bytes(_matrix_block(conv), 1)
        return max(conv.result_bytes() + weights + plain, 3 * plain)
    blocked = conv.input_bytes(conv.block)
    weights = conv.filter_bytes(conv.block, conv.block)
    return max(conv.result_bytes(conv.block) + weights + blocked, blocked + plain)


def filter_gradient_bytes(conv: Convolution, threads: int = 1) -> int:
    """Return the most that the gradient of the filter holds, that gradient included."""
    plain = conv.filter_bytes()
    if conv.pointwise:
        return plain
    if conv.by_columns(threads):
        return plain + conv.columns_bytes()
    if conv.item_bytes < 4 and conv.few_channels and len(conv.kernel) == 3:
        return plain
    if conv.block == 8 and len(conv.kernel) == 3 and conv.padded and not conv.depthwise:
        plane = conv.columns_bytes() // conv.batch // conv.result[0]
        return plain + threads * (plane + 4 * plain)
    block = 8 if conv.few_channels and conv.item_bytes == 4 and conv.channels_in > 3 else conv.block
    unpadded = conv.few_channels and conv.channels_in <= 3
    source = 0 if unpadded else conv.input_bytes(block)
    blocked = conv.filter_bytes(1 if unpadded else block, block)
    scratch = 0
    if conv.item_bytes < 4:
        one_example = (conv.input_bytes(conv.block) + conv.result_bytes(conv.block)) // conv.batch
        scratch = blocked * 4 // conv.item_bytes + one_example
    return max(source + conv.result_bytes(block) + blocked + scratch, blocked + plain)


def _one_stride_bytes(conv: Convolution, threads: int) -> int:
    # A strided 1x1 convolution first gathers the places it uses, one example per thread.
    if max(conv.kernel) > 1 or not conv.strided:
        return 0
    return conv.channels_in * math.prod(conv.result) * conv.item_bytes * threads


def _padded(channels: int, block: int) -> int:
    return -(-channels // block) * block


def _matrix_block(conv: Convolution) -> int:
    widest = 64 if conv.block == 16 else 16
    return next((block for block in (16, 32) if conv.channels_in <= block < widest), widest)


def sides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the side lengths of an image batch or of a filter."""
    return tuple(shape[2:])
