"""Means by process, ratios with Fieller's interval, verdicts: on the table kept by hand, and beyond."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_harness.changelog.estimates import Estimate, estimate, process_means
from bench_harness.changelog.ratios import compare, fieller, replicates_needed
from bench_harness.history.series import Point

# (mean, sd) of five runs, as the notebook of seed 003 went on to keep them; its sd is the one with n.
PAIRWISE = [(39.1880, 0.3676), (37.0220, 0.5623), (12.0495, 0.6669), (12.7482, 1.4838)]
INTERCLUSTER = [(27.3141, 9.1206), (16.0072, 2.4126), (3.2480, 0.9302), (2.5528, 1.6093)]


def of_seed(mean: float, sd: float, n: int = 5) -> Estimate:
    return Estimate(mean, sd * math.sqrt(n / (n - 1)), n, n)


@pytest.mark.parametrize(
    ("rows", "row", "ratio", "interval", "verdict"),
    [
        (PAIRWISE, 1, 0.945, (0.925, 0.965), "probably faster, size uncertain"),
        (PAIRWISE, 2, 0.325, (0.304, 0.347), "faster"),
        (PAIRWISE, 3, 1.058, (0.892, 1.234), "inconclusive (needs n of about 76)"),
        (INTERCLUSTER, 1, 0.586, (0.381, 1.076), "inconclusive (needs n of about 605)"),
        (INTERCLUSTER, 3, 0.786, (0.186, 1.599), "inconclusive (needs n of about 2,157)"),
    ],
)
def test_the_table_kept_by_hand(
    rows: list[tuple[float, float]], row: int, ratio: float, interval: tuple[float, float], verdict: str
) -> None:
    found = compare(of_seed(*rows[row - 1]), of_seed(*rows[row]), "seconds")
    assert found.ratio == pytest.approx(ratio, abs=5e-4)
    # The intervals were computed with other degrees of freedom: those of the difference, not of b - ratio * a.
    assert (found.low, found.high) == (pytest.approx(interval[0], rel=0.12), pytest.approx(interval[1], rel=0.05))
    assert found.verdict == verdict


@given(st.floats(0.3, 3.0), st.floats(0.5, 20.0), st.integers(3, 12), st.integers(3, 12), st.integers(0, 10**6))
def test_the_interval_inverts_the_test_of_every_ratio(truth: float, scale: float, n: int, m: int, seed: int) -> None:
    """A ratio on the edge of the interval is one whose t statistic is just the quantile, by definition of Fieller."""
    source = random.Random(seed)
    a = Estimate.of_replicates([scale * (1 + source.gauss(0, 0.05)) for _ in range(n)], n)
    b = Estimate.of_replicates([scale * truth * (1 + source.gauss(0, 0.05)) for _ in range(m)], m)
    low, high = fieller(a, b, 0.95)
    assert low < b.mean / a.mean < high
    t_values = [abs(b.mean - r * a.mean) / math.hypot(sd(b), r * sd(a)) for r in (low, high)]
    assert t_values[0] == pytest.approx(t_values[1], rel=1e-6)


def sd(one: Estimate) -> float:
    assert one.sd is not None
    assert one.n is not None
    return one.sd / math.sqrt(one.n)


def test_intervals_hold_the_true_ratio() -> None:
    source, held = random.Random(1), 0
    for _round in range(400):
        a, b = ([mean * (1 + source.gauss(0, 0.1)) for _ in range(5)] for mean in (2.0, 3.0))
        low, high = fieller(Estimate.of_replicates(a, 5), Estimate.of_replicates(b, 5), 0.95)
        held += low <= 1.5 <= high
    assert 365 <= held <= 395  # 380 expected, sd 4.4


def test_without_a_lower_bound_of_the_earlier_mean_nothing_is_known() -> None:
    wild = Estimate(1.0, 5.0, 3)
    assert fieller(wild, Estimate(1.0, 0.1, 3), 0.95) == (0.0, math.inf)
    assert compare(wild, Estimate(1.0, 0.1, 3), "seconds").verdict.startswith("inconclusive (needs n of")


@pytest.mark.parametrize(
    ("after", "unit", "verdict"),
    [
        (1.0, "seconds", "no relevant difference within +-5 %"),
        (1.2, "seconds", "slower"),
        (0.8, "seconds", "faster"),
        (1.2, "bytes", "larger"),
        (0.8, "bytes", "smaller"),
        (1.2, "objects", "higher"),
        (0.8, None, "lower"),
    ],
)
def test_exact_values_and_words_of_units(after: float, unit: str | None, verdict: str) -> None:
    assert compare(Estimate(1.0, 0.0, 5), Estimate(after, 0.0, 5), unit).verdict == verdict


def test_the_margin_decides() -> None:
    a, b = Estimate(1.0, 0.002, 5), Estimate(1.03, 0.002, 5)
    assert compare(a, b, "seconds", 0.05).verdict == "no relevant difference within +-5 %"
    assert compare(a, b, "seconds", 0.02).verdict == "slower"
    assert compare(a, Estimate(1.03, 0.02, 5), "seconds", 0.02).verdict == "probably slower, size uncertain"


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (Estimate(1.0, 0.1, 5), Estimate(1.0, 0.1, 2), "n = 2, needs 3"),
        (Estimate(1.0, None, 1), Estimate(1.0, 0.1, 5), "n = 1 in the row before, needs 3"),
        (Estimate(1.0, 0.1, 5), Estimate(1.0), "asv kept no samples"),
        (Estimate(1.0), Estimate(1.0, 0.1, 5), "asv kept no samples of the row before"),
        (Estimate(0.0, 0.1, 5), Estimate(1.0, 0.1, 5), "a mean is not positive"),
    ],
)
def test_what_is_not_compared_says_why(before: Estimate, after: Estimate, reason: str) -> None:
    found = compare(before, after, "seconds")
    assert (found.verdict, found.direction, found.low) == (f"not comparable: {reason}", None, None)


@pytest.mark.parametrize(
    ("relative_sd", "margin", "n"), [(0.01, 0.05, 3), (0.02, 0.05, 4), (0.05, 0.05, 19), (0.05, 0.1, 6), (0.1, 0.1, 20)]
)
def test_replicates_needed(relative_sd: float, margin: float, n: int) -> None:
    # Simulated before for 2, 4, 20, 6 and 20; below 3 nothing is compared.
    assert replicates_needed(relative_sd * math.sqrt(2), margin) == n
    assert replicates_needed(100.0, margin) is None


def test_replicates_are_processes_and_not_samples() -> None:
    """Ten samples of two processes that differ by 10 %: their own spread says nothing of that."""
    samples = (1.0, 1.001, 0.999, 1.0, 1.0, 1.1, 1.101, 1.099, 1.1, 1.1)
    found = estimate(Point("c", 0, 1.05, samples), 2)
    assert found is not None
    assert (found.n, found.samples) == (2, 10)
    assert found.mean == pytest.approx(1.05)
    assert found.sd == pytest.approx(0.1 / math.sqrt(2))
    as_one = estimate(Point("c", 0, 1.05, samples), None)
    assert as_one is not None
    assert (as_one.n, as_one.sd, as_one.low) == (1, None, None)


def test_a_value_without_samples() -> None:
    assert estimate(Point("c", 0, 5.0), 2) == Estimate(5.0, n=None)
    assert estimate(Point("c", 0, 5.0), None) == Estimate(5.0, n=1)
    assert estimate(Point("c", 0, None, why="failed"), 2) is None


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=40), st.integers(1, 12))
def test_parts_of_samples_are_even_and_whole(samples: list[float], processes: int) -> None:
    means = process_means(samples, processes)
    assert len(means) == min(processes, len(samples))
    assert min(samples) - 1e-9 <= min(means) <= max(means) <= max(samples) + 1e-9
    if len(samples) % processes == 0:
        assert math.fsum(means) / len(means) == pytest.approx(math.fsum(samples) / len(samples))
