"""A workload of pure Python: python body_python.py EXTRA does 1 + EXTRA times the work and tells its CPU seconds.

Standard library only, and little of it: it runs with -I -S, so that a process begins in 10 ms.
"""

import os
import sys
import time

_UNITS = 450
_SAMPLES = 3


def unit(seed: int) -> int:
    """Do about 25 us of what Python programs do: dictionaries, lists, strings, calls."""
    words = {f"w{(seed * number) % 97}": number for number in range(40)}
    order = sorted(words, key=lambda word: (len(word), words[word]))
    return sum(words[word] for word in order if word[-1] != "7") + len("-".join(order))


def work(units: int) -> int:
    """Do many units."""
    return sum(unit(seed) for seed in range(units))


def main() -> None:
    """Work a little to get warm, then three times by the clock."""
    units = round(_UNITS * (1 + float(sys.argv[1])))
    begin_s = time.perf_counter()
    work(units // 4)
    warm_s, warm_cpu_s = time.perf_counter(), time.process_time()
    for _ in range(_SAMPLES):
        work(units)
    cpu_s, end_s = time.process_time() - warm_cpu_s, time.perf_counter()
    path = os.environ.get("BENCH_COMPARE_REPORT")
    if path:  # not where instructions are counted: numbers of other lengths are other work
        told = f'{{"body_s": {end_s - begin_s}}}\n{{"metric": "cpu_s", "value": {cpu_s}}}\n'
        told += f'{{"metric": "wall_s", "value": {end_s - warm_s}}}\n'
        with open(path, "a") as file:  # noqa: PTH123 pathlib takes longer than the start
            file.write(told)


if __name__ == "__main__":
    main()
