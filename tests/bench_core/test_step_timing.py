"""Which steps are measured, which extrapolated and which scaled."""

import pytest
from torch import nn

from bench_core.models.step_timing import Candidate, _line, available_bytes, time_steps

FIXED = 1e6


class Counted(nn.Module):
    """A small network that notes the batches that go through it."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches
        self.layer = nn.Linear(64, 64)

    def forward(self, x):
        self.batches.append(len(x))
        for _ in range(len(x)):
            x = self.layer(x)
        return x


def candidate(name, batches, backend="plain", flops=1e6, peak_bytes=lambda batch: 0):
    return Candidate(name, backend, lambda: Counted(batches), (64,), FIXED, flops, peak_bytes)


def never(name, **changes):
    """A candidate that must not be built."""
    return candidate(name, None, **changes)


def test_steps_in_turns_the_least_work_first():
    batches = []
    same = [candidate("small", batches), candidate("small", batches, backend="other")]
    times = time_steps([candidate("large", batches, flops=2e6), *same], 16, seconds=60)
    assert list(times) == [("large", "plain"), ("small", "plain"), ("small", "other")]
    assert {time.how for time in times.values()} == {"measured"}
    assert all(0 < time.seconds < 5 for time in times.values())
    assert batches == ([2, 2, 6] * 2 + [16] * 10) + ([2, 2, 6] + [16] * 5)


def test_each_backend_has_its_turn_before_the_others():
    order = []
    plain = [candidate(str(work), [], flops=work) for work in (3e6, 1e6, 2e6)]
    other = [candidate(f"other {work}", [], backend="other", flops=work) for work in (9e6, 8e6)]
    time_steps([*plain, *other], 2, seconds=60, say=order.append)
    names = [text.removeprefix("timing ").rpartition(",")[0] for text in order]
    assert names == ["1000000.0", "other 8000000.0", "2000000.0", "3000000.0", "other 9000000.0"]


def test_what_takes_too_long_is_scaled_and_not_built():
    batches = []
    times = time_steps([never("huge", flops=1e18), candidate("small", batches)], 16, seconds=20)
    assert times["small", "plain"].how == "measured"
    huge, small = times["huge", "plain"], times["small", "plain"]
    assert huge.how == "scaled"
    assert huge.seconds > 1e6 * small.seconds


def test_a_whole_batch_that_does_not_fit_is_extrapolated():
    batches = []
    times = time_steps([candidate("wide", batches, peak_bytes=lambda batch: 1e18 if batch > 6 else 0)], 16, seconds=20)
    assert times["wide", "plain"].how == "extrapolated"
    assert batches == [2, 2, 6]


def test_nothing_is_measured_without_memory_or_time():
    assert time_steps([never("wide", peak_bytes=lambda batch: 1e18)], 16, seconds=60) == {}
    assert time_steps([never("small")], 16, seconds=0) == {}


def test_other_backends_say_nothing():
    times = time_steps([candidate("one", []), never("two", backend="other", flops=1e18)], 16, seconds=20)
    assert list(times) == [("one", "plain")]


@pytest.mark.parametrize("batch", [1, 3])
def test_a_small_minibatch(batch):
    batches = []
    assert time_steps([candidate("small", batches)], batch, seconds=20)["small", "plain"].how == "measured"
    assert max(batches) == batch


def test_a_line_through_two_batches():
    assert _line({1: 3.0, 4: 9.0}) == (1.0, 2.0)
    assert _line({1: 1.0, 4: 9.0}) == (0.0, 8 / 3)  # nothing takes less than no time


def test_available_memory():
    assert 1e7 < available_bytes() < 1e14
