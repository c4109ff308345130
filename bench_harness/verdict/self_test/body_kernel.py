"""A workload of compiled code: python body_kernel.py EXTRA inflates 1 + EXTRA times the blocks, and tells its seconds.

The kernel is zlib's, which every Python has; the loop around it takes a hundredth of the time.
"""

import os
import sys
import time
import zlib

_BLOCKS = 800
_SAMPLES = 3


def text(size: int) -> bytes:
    """Return bytes that compress about as well as source code does; the same each time."""
    state, out = 1, bytearray()
    while len(out) < size:
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        out += b"for name in (alpha, beta, gamma_%d): total += weight[%d]\n" % (state % 50, state >> 20)
    return bytes(out[:size])


def work(block: bytes, blocks: int) -> int:
    """Inflate a block many times."""
    return sum(len(zlib.decompress(block)) for _ in range(blocks))


def main() -> None:
    """Work a little to get warm, then three times by the clock."""
    blocks, block = round(_BLOCKS * (1 + float(sys.argv[1]))), zlib.compress(text(8192))
    begin_s = time.perf_counter()
    work(block, blocks // 4)
    warm_s, warm_cpu_s = time.perf_counter(), time.process_time()
    for _ in range(_SAMPLES):
        work(block, blocks)
    cpu_s, end_s = time.process_time() - warm_cpu_s, time.perf_counter()
    path = os.environ.get("BENCH_COMPARE_REPORT")
    if path:  # not where instructions are counted: numbers of other lengths are other work
        told = f'{{"body_s": {end_s - begin_s}}}\n{{"metric": "cpu_s", "value": {cpu_s}}}\n'
        told += f'{{"metric": "wall_s", "value": {end_s - warm_s}}}\n'
        with open(path, "a") as file:  # noqa: PTH123 pathlib takes longer than the start
            file.write(told)


if __name__ == "__main__":
    main()
