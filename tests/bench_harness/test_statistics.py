"""The distributions against SciPy, the intervals against SciPy and against what defines them."""

from __future__ import annotations

import math

import numpy
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from bench_harness.statistics.beta import incomplete_beta
from bench_harness.statistics.intervals import (
    difference,
    mean_interval,
    paired_ratio,
    proportion_interval,
    proportion_upper_bound,
    sd,
    trimmed_center,
    welch_ratio,
)
from bench_harness.statistics.multiplicity import holm
from bench_harness.statistics.student import t_cdf, t_quantile, t_tail

degrees_of_freedom = st.floats(0.5, 5000)
positive = st.floats(1e-6, 1e6)


@given(st.floats(-60, 60), degrees_of_freedom)
def test_student_is_that_of_scipy(t: float, degrees: float) -> None:
    assert t_cdf(t, degrees) == pytest.approx(scipy.stats.t.cdf(t, degrees), rel=1e-9, abs=1e-300)


def test_a_small_tail_keeps_its_precision() -> None:
    assert t_tail(40.0, 30) == pytest.approx(scipy.stats.t.sf(40.0, 30), rel=1e-9)
    assert t_tail(math.inf, 3) == 0
    assert t_cdf(math.inf, 3) == 1


@given(st.floats(1e-9, 1 - 1e-9), degrees_of_freedom)
def test_quantiles_are_those_of_scipy(p: float, degrees: float) -> None:
    assert t_quantile(p, degrees) == pytest.approx(scipy.stats.t.ppf(p, degrees), rel=1e-6, abs=1e-9)


def test_infinite_degrees_are_the_normal_distribution() -> None:
    assert t_quantile(0.975, math.inf) == pytest.approx(1.959963984540054, rel=1e-12)


@given(st.floats(0.1, 3000), st.floats(0.1, 3000), st.floats(0, 1))
def test_incomplete_beta_is_that_of_scipy(a: float, b: float, x: float) -> None:
    assert incomplete_beta(a, b, x) == pytest.approx(scipy.special.betainc(a, b, x), rel=1e-8, abs=1e-13)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.floats(0.5, 0.999))
def test_interval_of_the_mean_is_that_of_scipy(values: list[float], confidence: float) -> None:
    found = mean_interval(values, confidence)
    error = scipy.stats.sem(values)
    low, high = scipy.stats.t.interval(confidence, len(values) - 1, numpy.mean(values), error or 1e-300)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-6 * (1 + max(map(abs, values))))


def test_one_value_leaves_the_mean_open() -> None:
    assert mean_interval([3.0], 0.95).high == math.inf
    assert math.isnan(sd([3.0]))


@given(st.lists(st.tuples(positive, positive), min_size=3, max_size=20), st.floats(0.01, 100))
def test_paired_ratio_cancels_what_a_round_shares(pairs: list[tuple[float, float]], factor: float) -> None:
    a, b = [list(side) for side in zip(*pairs, strict=True)]
    shared = [factor ** (index % 3) for index in range(len(a))]
    plain = paired_ratio(a, b, 0.9)
    scaled = paired_ratio(
        [x * y for x, y in zip(a, shared, strict=True)], [x * y for x, y in zip(b, shared, strict=True)], 0.9
    )
    assert (scaled.ratio, scaled.low) == pytest.approx((plain.ratio, plain.low), rel=1e-6)
    swapped = paired_ratio(b, a, 0.9)
    assert (1 / swapped.ratio, 1 / swapped.high) == pytest.approx((plain.ratio, plain.low), rel=1e-6)


def test_welch_ratio_is_that_of_scipy() -> None:
    rng = numpy.random.default_rng(1)
    a, b = rng.lognormal(0, 0.1, 7), rng.lognormal(0.05, 0.3, 11)
    span = scipy.stats.ttest_ind(numpy.log(b), numpy.log(a), equal_var=False).confidence_interval(0.95)
    found = welch_ratio(list(a), list(b), 0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(span.low), math.exp(span.high)), rel=1e-9)
    assert found.n == 7


@pytest.mark.parametrize("bad", [[1.0, 0.0], [1.0, -1.0], [1.0, math.nan], [math.inf, 1.0]])
def test_a_ratio_that_cannot_be_taken_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        paired_ratio([1.0, 1.0], bad, 0.95)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.99))
def test_proportions_are_those_of_scipy(counted: tuple[int, int], confidence: float) -> None:
    successes, n = counted
    expected = scipy.stats.binomtest(successes, n).proportion_ci(confidence, "exact")
    found = proportion_interval(successes, n, confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-7, abs=1e-12)


def test_no_false_alarm_in_600_is_half_a_percent_at_most() -> None:
    assert proportion_upper_bound(0, 600, 0.95) == pytest.approx(1 - 0.05 ** (1 / 600), rel=1e-9)
    assert proportion_upper_bound(600, 600, 0.95) == 1


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_lies_between_each_and_bonferroni(p_values: list[float]) -> None:
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p <= adjusted <= min(1.0, p * len(p_values))


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=40), st.sampled_from([0.0, 0.1, 0.15, 0.25]))
def test_trimmed_mean_is_that_of_scipy(values: list[float], share: float) -> None:
    center = trimmed_center(values, share)
    assert center.value == pytest.approx(scipy.stats.trim_mean(values, share), rel=1e-9, abs=1e-9)
    assert min(values) <= center.value <= max(values) or center.value == pytest.approx(values[0])


def test_trimmed_standard_error_is_that_of_yuens_test() -> None:
    a, b = numpy.random.default_rng(2).standard_t(2, (2, 24))
    theirs = scipy.stats.ttest_ind(a, b, equal_var=False, trim=0.15)
    ours = difference(trimmed_center(list(b), 0.15), trimmed_center(list(a), 0.15))
    assert ours.value / ours.standard_error == pytest.approx(theirs.statistic, rel=1e-9)
    assert ours.degrees == pytest.approx(theirs.df, rel=1e-9)
