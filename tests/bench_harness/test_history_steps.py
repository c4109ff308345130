"""The detector of steps on planted series: found where they are, as large as they are, and nowhere else."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_harness.history.noise import fold_outliers, noise_of_differences
from bench_harness.history.segmentation import critical_z, p_value_of_largest, seeded_intervals
from bench_harness.history.series import Point, Series
from bench_harness.history.steps import Found, StepRule, find_steps, steps_of

RULE = StepRule()


def noisy(seed: int, count: int, sd: float, correlation: float = 0.0) -> list[float]:
    """Normal noise around 1, each value following the last one by `correlation`."""
    source = random.Random(seed)
    level, values = source.gauss(0, sd), []
    for _ in range(count):
        values.append(math.exp(level))
        level = correlation * level + source.gauss(0, sd * math.sqrt(1 - correlation**2))
    return values


def planted(values: list[float], *steps: tuple[int, float]) -> list[float]:
    return [value * math.prod(ratio for at, ratio in steps if index >= at) for index, value in enumerate(values)]


def places(values: list[float], rule: StepRule = RULE) -> list[int]:
    return [step.index for step in find_steps(values, rule)]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("at", "ratio"), [(40, 1.1), (10, 0.9), (115, 1.1), (60, 30.0)])
def test_a_planted_step_is_found_with_its_size(seed: int, at: int, ratio: float) -> None:
    (step,) = find_steps(planted(noisy(seed, 120, 0.01), (at, ratio)), RULE)
    assert step.index == at
    # Wider than the 95 % interval, which may miss in 1 of 20 seeds.
    assert step.ratio == pytest.approx(ratio, rel=0.03)
    assert step.low < step.ratio < step.high
    assert step.after / step.before == pytest.approx(step.ratio)
    assert (step.count_before, step.count_after) == (at, 120 - at)


def test_two_steps_that_cancel_are_both_found() -> None:
    assert places(planted(noisy(1, 120, 0.01), (50, 1.1), (62, 1 / 1.1))) == [50, 62]


def test_a_staircase_is_not_taken_for_a_slope() -> None:
    assert places(planted(noisy(2, 120, 0.01), (30, 1.1), (60, 1.1), (90, 1.1))) == [30, 60, 90]


def test_a_slope_is_no_step() -> None:
    for seed in range(10):
        slope = [value * (1 + 0.1 * index / 120) for index, value in enumerate(noisy(seed, 120, 0.01))]
        assert places(slope) == []


@pytest.mark.parametrize(("sd", "correlation"), [(0.01, 0.0), (0.03, 0.0), (0.03, 0.6), (0.03, 0.8)])
def test_noise_and_drift_alone_give_hardly_a_step(sd: float, correlation: float) -> None:
    found = sum(len(places(noisy(seed, 120, sd, correlation))) for seed in range(30))
    assert found <= (1 if correlation == 0 else 5)


@settings(max_examples=25)
@given(
    st.integers(0, 1000),
    st.floats(1e-9, 1e9),
    st.sampled_from([((40, 1.1),), ((30, 1.2), (70, 0.8)), ()]),
)
def test_the_unit_does_not_matter(seed: int, scale: float, steps: tuple[tuple[int, float], ...]) -> None:
    values = planted(noisy(seed, 100, 0.02), *steps)
    one, other = find_steps(values, RULE), find_steps([value * scale for value in values], RULE)
    assert [step.index for step in one] == [step.index for step in other]
    for a, b in zip(one, other, strict=True):
        assert b.ratio == pytest.approx(a.ratio, rel=1e-6)
        assert b.before == pytest.approx(a.before * scale, rel=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_time_reversed_gives_the_reverse(seed: int) -> None:
    values = planted(noisy(seed, 100, 0.01), (35, 1.2))
    assert [100 - index for index in places(values[::-1])] == places(values) == [35]


@settings(max_examples=25)
@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_the_order_far_from_a_step_does_not_move_it(seed: int, source: random.Random) -> None:
    values = planted(noisy(seed, 100, 0.01), (50, 1.15))
    early, late = values[:40], values[60:]
    source.shuffle(early)
    source.shuffle(late)
    assert places(early + values[40:60] + late) == [50]


@settings(max_examples=25)
@given(st.floats(1e-12, 1e12), st.integers(0, 200))
def test_constants_have_no_steps(value: float, count: int) -> None:
    assert find_steps([value] * count, RULE) == []


def test_exact_counters_step_without_noise() -> None:
    (step,) = find_steps([100.0] * 6 + [110.0] * 5, RULE)
    assert (step.index, round(step.ratio, 9)) == (6, 1.1)
    assert step.p_value < 1e-9
    assert find_steps([100.0] * 6 + [101.0] * 5, RULE) == []  # below the minimum of 2 %
    assert places([100.0] * 6 + [101.0] * 5, StepRule(minimum=0.005)) == [6]


def test_outliers_up_to_three_in_a_row_are_no_step() -> None:
    values = noisy(3, 120, 0.01)
    for at in (0, 20, 50, 90, 117):
        for offset in range(3):
            values[at + offset] *= 1.5
    assert places(values) == []
    assert places(planted(values, (70, 1.05))) == [70]


def test_four_values_at_the_end_are_a_step() -> None:
    values = noisy(4, 60, 0.01)
    assert places(planted(values, (57, 1.2))) == []
    assert places(planted(values, (56, 1.2))) == [56]


@pytest.mark.parametrize("values", [[], [1.0] * 7, [0.0] * 50, [-1.0] * 20 + [1.0] * 20, [math.nan] * 20])
def test_what_has_no_ratio_has_no_steps(values: list[float]) -> None:
    assert find_steps(values, RULE) == []


@pytest.mark.parametrize("wrong", [{"minimum": -1}, {"alpha": 0}, {"shortest": 3}, {"confidence": 1.0}])
def test_a_rule_that_means_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected minimum"):
        StepRule(**wrong)  # type: ignore[arg-type]


def test_commits_are_named_the_unmeasured_ones_too() -> None:
    line = tuple(f"{index:040x}" for index in range(60))
    values = planted(noisy(5, 60, 0.005), (30, 1.1))
    measured = [index for index in range(60) if index not in (28, 29, 30, 31, 45)]
    points = tuple(Point(line[index], index, values[index]) for index in measured)
    gap = Point(line[45], 45, None, why="failed")
    series = Series("b", (), "m", "e", "1", "seconds", (*points[:41], gap, *points[41:]), line=line)
    (step,) = steps_of(series)
    assert (step.last_good, step.first_bad) == (line[27], line[32])
    assert step.commits_between == line[28:32]
    assert step.count_before == 28


def test_intervals_hold_the_planted_size() -> None:
    held = [planted_size_is_held(seed) for seed in range(60)]
    assert sum(held) >= 52  # 95 % of 60 is 57; 51 or fewer has a probability below 1 %


def planted_size_is_held(seed: int) -> bool:
    steps: list[Found] = find_steps(planted(noisy(seed, 80, 0.02), (40, 1.15)), RULE)
    return len(steps) == 1 and steps[0].low <= 1.15 <= steps[0].high


def test_outliers_are_folded_and_steps_kept() -> None:
    values = [1.0, 1.1, 0.9, 9.0, 1.0, 1.1, 0.9, 1.0, 5.0, 5.1, 4.9, 5.0, 5.1, 4.9, 5.0]
    folded = fold_outliers(values)
    assert folded[3] == 1.0
    assert folded[:3] + folded[4:] == values[:3] + values[4:]


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_noise_is_estimated_beside_steps(correlation: float) -> None:
    values = [math.log(value) for value in planted(noisy(6, 2000, 0.02, correlation), (700, 1.3), (1400, 0.7))]
    noise = noise_of_differences([values])
    assert noise.sd == pytest.approx(0.02, rel=0.1)
    assert noise.correlation == pytest.approx(correlation, abs=0.08)
    means = [sum(values[start : start + 10]) / 10 for start in range(0, 700, 10)]
    spread = sum((mean - sum(means) / 70) ** 2 for mean in means) / 69
    assert noise.variance_of_mean(10) == pytest.approx(spread, rel=0.5)


def test_p_value_bounds_the_simulated_largest_difference() -> None:
    count, shortest, z = 60, 4, critical_z(0.05, 60, 4)
    assert p_value_of_largest(z, count, shortest) == pytest.approx(0.05, rel=1e-6)
    source, above = random.Random(7), 0
    for _ in range(400):
        above += largest([source.gauss(0, 1) for _ in range(count)], shortest) >= z
    assert 2 <= above <= 30  # 20 expected at most, the formula is a little too careful


def largest(values: list[float], shortest: int) -> float:
    def at(cut: int) -> float:
        before, after = values[:cut], values[cut:]
        distance = sum(after) / len(after) - sum(before) / len(before)
        return abs(distance) / math.sqrt(1 / len(before) + 1 / len(after))

    return max(map(at, range(shortest, len(values) - shortest + 1)))


@given(st.integers(8, 400))
def test_intervals_cover_the_series_at_every_length(count: int) -> None:
    intervals = seeded_intervals(count, 8)
    assert intervals[0] == (0, count)
    assert all(0 <= low < high <= count for low, high in intervals)
    lengths: dict[int, list[int]] = {}
    for low, high in intervals:
        lengths.setdefault(high - low, []).append(low)
    for length, lows in lengths.items():
        assert (min(lows), max(lows)) == (0, count - length)
        assert all(later - earlier <= length / 2 + 1 for earlier, later in itertools.pairwise(lows))
