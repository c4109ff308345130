"""Batches are a pure function of (seed, epoch, step), structures are held out, budgets and losses are right."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench_core import OriginStore
from bench_core.errors import MissingOriginError, RunError
from bench_core.frames import random_rotation, view_frame
from bench_core.origins.subset import TagSubset
from bench_core.training.budget import budget, seconds_per_step, table
from bench_core.training.losses import mean_squared_displacement_A2, pair_loss, wilson_interval
from bench_core.training.order import BatchOrder, held_out


def test_an_epoch_holds_each_example_at_most_once_and_epochs_differ() -> None:
    order = BatchOrder(23, 5, seed=3)
    epochs = [[i for batch in order.batches(epoch) for i in batch] for epoch in (0, 1)]
    assert [len(epoch) for epoch in epochs] == [20, 20]
    assert [len(set(epoch)) for epoch in epochs] == [20, 20]
    assert epochs[0] != epochs[1]
    assert list(order.batches(0)) != list(BatchOrder(23, 5, seed=4).batches(0))


def test_any_step_is_reached_without_those_before() -> None:
    order = BatchOrder(64, 8, seed=1)
    whole = list(order.batches(2))
    assert [list(order.batches(2, first)) for first in range(9)] == [whole[first:] for first in range(9)]


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_share_each_batch(ranks: int) -> None:
    whole = list(BatchOrder(40, 8, seed=1).batches(0))
    parts = [list(BatchOrder(40, 8, seed=1, rank=rank, ranks=ranks).batches(0)) for rank in range(ranks)]
    for step, batch in enumerate(whole):
        assert sorted(i for part in parts for i in part[step]) == sorted(batch)
        assert {len(part[step]) for part in parts} == {8 // ranks}


def test_held_out_examples_keep_their_order_and_the_last_batch_may_be_small() -> None:
    assert list(BatchOrder(7, 3, shuffle=False).batches(5)) == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.parametrize("ranks", [2, 3])
def test_held_out_examples_are_shared_whole_in_as_many_batches_by_each_rank(ranks: int) -> None:
    """A rank without a part of a batch would make none, and the others would wait for it."""
    for size in range(ranks, 26):
        orders = [BatchOrder(size, 4, shuffle=False, rank=rank, ranks=ranks) for rank in range(ranks)]
        parts = [list(order.batches(0)) for order in orders]
        assert {len(part) for part in parts} == {orders[0].steps_per_epoch}
        assert all(batch for part in parts for batch in part)
        assert sorted(i for part in parts for batch in part for i in batch) == list(range(size))


def test_batches_that_cannot_be() -> None:
    with pytest.raises(RunError, match="3 examples fill no batch of 4: use a smaller --batch-size"):
        BatchOrder(3, 4)
    with pytest.raises(RunError, match="a batch of 9 cannot be shared by 2 devices"):
        BatchOrder(30, 9, ranks=2)
    with pytest.raises(RunError, match="1 held-out examples cannot be shared by 2 devices: use a larger --val-size"):
        BatchOrder(1, 4, shuffle=False, ranks=2)


def test_structures_are_held_out_whole() -> None:
    tags = [f"s{i}" for i in range(20)]
    train, test = held_out(tags, 0.2)
    assert len(test) == 4
    assert sorted(train + test) == sorted(tags)
    assert held_out(tags[::-1], 0.2) == (train, test)
    assert held_out(tags, 0.2, seed=1) != (train, test)
    moved = set(held_out([*tags, "new"], 0.2)[1]) ^ set(test)
    assert len(moved - {"new"}) <= 2


def test_there_is_always_something_on_both_sides() -> None:
    assert [len(part) for part in held_out(["a", "b"], 0.01)] == [1, 1]
    assert [len(part) for part in held_out(["a", "b"], 0.99)] == [1, 1]
    with pytest.raises(RunError, match="1 structures with origins: holding some out takes at least two"):
        held_out(["a"], 0.2)
    with pytest.raises(RunError, match="--val-share 1"):
        held_out(["a", "b"], 1.0)


def test_a_subset_is_a_store_of_its_tags(origins: OriginStore) -> None:
    tags = [tag for tag in origins.tags if len(origins.origins_of(tag))]
    subset = TagSubset(origins, tags[1:])
    assert isinstance(subset, OriginStore)
    assert len(subset) == sum(len(origins.origins_of(tag)) for tag in tags[1:])
    rng = np.random.default_rng(0)
    assert {subset.sample(rng).tag for _ in range(50)} == set(tags[1:])
    for i in (0, len(subset) - 1):
        origin = subset.origin(i)
        assert (origin.coords_A == subset.origins_of(origin.tag)).all(axis=1).any()
    assert [subset.origin(i).tag for i in range(len(subset))] == [t for t in tags[1:] for _ in subset.origins_of(t)]
    with pytest.raises(MissingOriginError, match="is not among the"):
        subset.atoms_of(tags[0])
    with pytest.raises(MissingOriginError):
        subset.origin(len(subset))
    with pytest.raises(MissingOriginError, match="chosen structures have none"):
        TagSubset(origins, []).sample(rng)


def test_the_displacement_is_the_mean_over_a_ball() -> None:
    """Against 200,000 points of the ball: both the closed form and its radius."""
    rng = np.random.default_rng(1)
    directions = rng.standard_normal((200_000, 3))
    points = 5 * directions / np.linalg.norm(directions, axis=1)[:, None] * rng.random((200_000, 1)) ** (1 / 3)
    a, b = (view_frame(random_rotation(rng), rng.standard_normal(3)) for _ in range(2))
    moved = points @ (a[:3, :3] - b[:3, :3]).T + a[:3, 3] - b[:3, 3]
    sampled = (moved**2).sum(axis=1).mean()
    frames = torch.tensor(np.stack([a, b]))
    assert float(mean_squared_displacement_A2(frames[:1], frames[1:], 5.0)) == pytest.approx(sampled, rel=0.01)
    assert float(mean_squared_displacement_A2(frames[:1], frames[:1], 5.0)) == 0


def test_turning_by_a_known_angle() -> None:
    """||R - 1||_F^2 = 4 (1 - cos a): a half turn takes a point of the unit ball 8 / 5 Å^2 away in the mean."""
    turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0]))[None]
    assert float(mean_squared_displacement_A2(turn, torch.eye(4)[None], 1.0)) == pytest.approx(8 / 5)
    assert float(pair_loss(turn, torch.eye(4)[None], "frame", 2.0)) == pytest.approx(32 / 5)


def test_wilson() -> None:
    """Against the example of Newcombe, Stat. Med. 17, 857 (1998), table I: 81 of 263, and none of 20."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(5, 5)[1] == 1.0


def test_the_notebooks_budget() -> None:
    """96,000 examples an hour for 24 h: 2.3 M, 230 K and 23 K distinct ones for 1, 10 and 100 epochs."""
    rows = [row for row in budget(24, 0.6, 2.25, 16, parameters=1_000_000) if row.loading == "none"]
    assert [row.distinct_examples for row in rows] == [2_304_000, 230_400, 23_040]
    assert [row.steps for row in rows] == [144_000] * 3
    assert rows[0].examples_per_parameter_ratio == pytest.approx(2.304)
    assert "2.3 < 10" in table(rows)
    assert "unknown" in table(budget(1, 1.0, 0.0, 4))


def test_loading_overlaps_where_there_are_workers() -> None:
    assert seconds_per_step(1.0, 0.5, 4, workers=0) == 3.0
    assert seconds_per_step(1.0, 0.5, 4, workers=1) == 2.0
    assert seconds_per_step(1.0, 0.5, 4, workers=8) == 1.0
    assert budget(1, 1.0, 0.5, 4, 0)[0].steps == math.floor(3600 / 3)
