"""A pool of processes without torch: how often each letter follows another in texts that are made up.

    python examples/pool.py --processes 2

Needs the standard library only.
"""

import argparse
import collections
import itertools
import multiprocessing
import random
import string


def text(seed, length):
    """Return a text in which each letter depends on the one before."""
    rng = random.Random(seed)
    letters = [rng.choice(string.ascii_lowercase)]
    for _ in range(length):
        step = min(rng.randrange(26), rng.randrange(26))
        letters.append(chr((ord(letters[-1]) - 97 + step) % 26 + 97))
    return "".join(letters)


def pairs(seed, length=20_000):
    """Count the pairs of letters of one text."""
    counts = collections.Counter()
    made = text(seed, length)
    for first, second in itertools.pairwise(made):
        counts[first + second] += 1
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--texts", type=int, default=60)
    arguments = parser.parse_args()
    total = collections.Counter()
    with multiprocessing.Pool(arguments.processes) as pool:
        for counts in pool.imap_unordered(pairs, range(arguments.texts)):
            total.update(counts)
    print(", ".join(f"{pair} {n:,}" for pair, n in sorted(total.most_common(5))))


if __name__ == "__main__":
    main()
