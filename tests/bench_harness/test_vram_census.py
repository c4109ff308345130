"""The counting, apart from models: the census, the search, the arithmetic of oneDNN's copies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_harness.errors import UsageError
from bench_harness.vram.census import Census, totals
from bench_harness.vram.devices import cuda_block_bytes
from bench_harness.vram.onednn_convolution import (
    Convolution,
    filter_gradient_bytes,
    forward_bytes,
    input_gradient_bytes,
)
from bench_harness.vram.search import largest_that_fits
from bench_harness.vram.target import parse_argument, parse_input, parse_size, parse_sweep


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1000), st.integers(0, 500)), max_size=40))
def test_the_peak_is_the_largest_moment(events: list[tuple[bool, int, int]]) -> None:
    census, living, highest = Census(), [], 0
    for frees, size_bytes, workspace_bytes in events:
        if frees and living:
            census.death(living.pop(0))
        else:
            living.append(census.birth(size_bytes, "module", "op", (size_bytes,), "uint8"))
        census.after_op("op", "module", "forward", 1, workspace_bytes)
        highest = max(highest, sum(item.size_bytes for item in living) + workspace_bytes)
    assert census.peak.total_bytes == highest
    alive = census.alive_at(census.peak)
    assert sum(totals(alive, lambda item: item.kind).values()) == highest


def test_a_storage_is_the_first_of_its_kinds() -> None:
    storage = Census().birth(4, "conv", "zeros", (1,), "float32")
    for kind, expected in [
        ("saved activations", "saved activations"),
        ("gradients", "gradients"),
        ("saved activations", "gradients"),
    ]:
        storage.claim(kind)
        assert storage.kind == expected


@given(st.integers(1, 5000), st.integers(1, 300), st.integers(0, 10**6))
def test_the_search_finds_the_boundary(boundary: int, slope: int, offset: int) -> None:
    tried: list[int] = []

    def predict(value: int) -> dict[str, Any]:
        tried.append(value)
        return {"peak_bytes": offset + slope * value * value}

    limit = offset + slope * boundary * boundary
    solution = largest_that_fits(predict, limit, "width")
    assert solution.value == boundary
    assert len(tried) == len(set(tried)) <= 40


def test_a_value_that_changes_nothing_is_said_to() -> None:
    with pytest.raises(UsageError, match="does the callable use unused at all"):
        largest_that_fits(lambda _: {"peak_bytes": 5}, 10, "unused")


# Sizes as torch.profiler saw them, beside arguments and results: forward, gradient of the input, of the filter.
PLAIN = Convolution(4, 35, 70, (20, 20), (18, 18), (3, 3), (1, 1), 1, 4)


@pytest.mark.parametrize(
    ("changes", "forward", "input_gradient", "filter_gradient"),
    [
        ({}, 414720 + 307200 + 138240 - 362880, 414720 + 138240 + 307200, 414720 + 307200 + 138240),
        ({"channels_in": 4, "channels_out": 24}, 165888, 165888 + 18432 + 102400, 124416 + 51200 + 6912),
        ({"kernel": (1, 1), "result": (20, 20)}, 0, 224000, 35 * 70 * 4),
        ({"batch": 1, "plain_sides": True}, 35 * 9 * 324 * 4, 35 * 9 * 324 * 4 + 56000, 35 * 9 * 324 * 4 + 88200),
    ],
    ids=["padded", "few channels", "pointwise", "columns"],
)
def test_copies_of_a_convolution(
    changes: dict[str, Any], forward: int, input_gradient: int, filter_gradient: int
) -> None:
    conv = replace(PLAIN, **changes)
    assert forward_bytes(conv) == forward
    assert input_gradient_bytes(conv) == input_gradient
    assert filter_gradient_bytes(conv) == filter_gradient


def test_a_strided_gradient_of_the_image_is_held_three_times() -> None:
    conv = replace(PLAIN, image=(40, 40), stride=(2, 2))
    assert input_gradient_bytes(conv) == 3 * conv.input_bytes()


@pytest.mark.parametrize(("size", "block"), [(0, 0), (1, 512), (512, 512), (513, 1024)])
def test_cuda_blocks(size: int, block: int) -> None:
    assert cuda_block_bytes(size) == block


def test_words_of_the_command_line() -> None:
    assert (parse_input("3,224,224").shape, parse_input("512:int64").dtype) == ((3, 224, 224), "int64")
    assert parse_input(":float32").shape == ()
    assert (parse_size("16GB"), parse_size("1.5MiB"), parse_size("700")) == (16 * 10**9, 1572864, 700)
    assert parse_argument("name=arch_0") == ("name", "arch_0")
    assert parse_sweep("width=7,14,29") == ("width", [7, 14, 29])
    assert parse_sweep("width=7") == ("width", [7])
    assert parse_sweep("name=a,b") == ("name", ["a", "b"])
