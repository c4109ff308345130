"""What a track_ benchmark may return."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy
import pytest

from bench_harness.verdict import asv_body


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        ({"a": 1}, "it returned a dict, {'a': 1}, expected one number"),
        (math.nan, "it returned nan, expected a finite number"),
        (-math.inf, "it returned -inf, expected a finite number"),
        ("3", "it returned a str, '3', expected one number"),
        (None, "it returned nothing, expected one number"),
        (True, "it returned a bool, True, expected one number"),
        (range(10**9), "it returned a range, range(0, 1000000000), expected one number"),
    ],
)
def test_a_track_value_is_one_finite_number(returned: object, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        asv_body.number(returned)


@pytest.mark.parametrize("returned", [3, 3.0, Fraction(3), numpy.int64(3), numpy.float32(3)])
def test_all_kinds_of_numbers_are_one(returned: object) -> None:
    assert asv_body.number(returned) == 3.0
