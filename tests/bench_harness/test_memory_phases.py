"""Phases from marks, what looks say of them, pools that stay, and the forecast: on small runs written by hand."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_harness.capture.collector import tell_first_collection
from bench_harness.capture.phase_marks import batches_in_order
from bench_harness.memory import process_memory
from bench_harness.memory.forecast import Moment, Pool, Run, fit, forecast_results, moments_of
from bench_harness.memory.kept_pools import kept_pools
from bench_harness.memory.marks import Mark, Marker, read_marks
from bench_harness.memory.phases import add_samples, phases_of
from bench_harness.memory.process_memory import Held
from bench_harness.memory.sampler import Sample, TreeSampler
from bench_harness.segments import Identity

MB = 10**6


def sample(time_s: float, **sizes_mb: int) -> Sample:
    held = {int(pid.lstrip("p")): Held(size * MB, size * MB, size * MB) for pid, size in sizes_mb.items()}
    return Sample(time_s, held, None, None)


PLAIN = [
    Mark(2.0, "pass_start", "train", 0, 2),
    Mark(2.0, "workers_start", "train", 0, 2, pss_bytes=100 * MB),
    Mark(2.5, "workers_up", "train", 0, 2),
    Mark(4.0, "pass_end", "train", 0, 2, batches=10),
    Mark(4.0, "pass_start", "val", 0, 2, batches=0),
    Mark(5.0, "pass_start", "val", 1, 2, batches=3),  # the pass before was left early
]


def test_passes_are_phases() -> None:
    phases = phases_of(PLAIN, 0.0, 8.0)
    assert [(each.name, each.start_s, each.end_s, each.batches) for each in phases] == [
        ("main before its workers", 0.0, 2.0, None),
        ("train pass 0", 2.0, 4.0, 10),
        ("val pass 0", 4.0, 5.0, 3),
        ("val pass 1", 5.0, 8.0, None),  # never exhausted: it lasts to the end, and nothing is torn down after it
    ]


def test_stages_of_lightning_go_before_passes() -> None:
    marks = [
        Mark(1.0, "stage_start", "train epoch 0", 0, batches=2),
        Mark(1.5, "pass_start", "train", 0, 2),
        Mark(2.0, "stage_start", "validation 0", 0, batches=42),
        Mark(3.0, "stage_end", "validation 0", 0, batches=47),
        Mark(4.0, "stage_end", "train epoch 0", 0, batches=47),
    ]
    phases = phases_of(marks, 0.0, 5.0)
    assert [(each.name, each.start_s, each.end_s, each.batches) for each in phases] == [
        ("main before its workers", 0.0, 1.0, None),
        ("train epoch 0", 1.0, 4.0, 40),
        ("validation 0", 2.0, 3.0, 5),
        ("teardown", 4.0, 5.0, None),
    ]


def test_without_marks_there_are_no_phases() -> None:
    assert phases_of([], 0.0, 5.0) == []


def test_growth_is_per_batch_once_all_workers_are_there() -> None:
    phases = phases_of(PLAIN[:4], 0.0, 4.5)
    samples = [sample(1.0, p1=100), sample(2.2, p1=100, p2=5), sample(3.0, p1=100, p2=10, p3=10),
               sample(4.0, p1=100, p2=20, p3=20)]  # fmt: skip
    add_samples(phases, samples)
    train = phases[1]
    assert (train.start_pss_bytes, train.end_pss_bytes, train.peak_pss_bytes) == (120 * MB, 140 * MB, 140 * MB)
    # 20 MB in the second half of a pass of ten batches.
    assert train.growth_per_batch_bytes == pytest.approx(4 * MB)
    assert train.processes == 3
    assert phases[0].peak_pss_bytes == 100 * MB


def test_a_pool_that_stays_is_told_with_its_reason() -> None:
    who = {pid: Identity(f"main.{pid}", "worker", loader="val", worker=pid - 2, epoch=0, pid=pid) for pid in (2, 3)}
    samples = [sample(4.0, p1=100, p2=20, p3=20), sample(6.5, p1=100, p2=21, p3=22)]
    for persistent, lightning, said in (
        (True, True, "persistent"),
        (False, True, "Lightning"),
        (False, False, "holds"),
    ):
        (pool,) = kept_pools(samples, who, {"val": 5.0}, 1.0, next_starts_s={}, persistent={"val": persistent},
                             lightning=lightning)  # fmt: skip
        assert (pool.workers, pool.step_bytes, pool.since_s) == (2, 43 * MB, 4.0)
        assert said in pool.reason
    busy = kept_pools(samples, who, {"val": 5.0}, 1.0, next_starts_s={"val": 6.0}, persistent={}, lightning=False)
    assert busy == []  # its second pass goes on
    gone = [sample(4.0, p1=100, p2=20, p3=20), sample(6.5, p1=100)]
    assert kept_pools(gone, who, {"val": 5.0}, 1.0, next_starts_s={}, persistent={}, lightning=False) == []


@given(st.integers(1, 10**10), st.integers(1, 10**9), st.integers(1, 16), st.integers(1, 64))
def test_a_straight_line_is_found_again(base: int, each: int, workers: int, wanted: int) -> None:
    pools = (Pool("train", workers, each),)
    peak = base + workers * each
    found = fit([Run(0, base // 2, (Moment(base // 2),)), Run(workers, peak, (Moment(base // 2), Moment(peak, pools)))])
    assert found is not None
    assert found.peak_bytes(wanted) == base + wanted * each
    most = found.most_workers(found.peak_bytes(wanted))
    assert most == wanted
    assert found.most_workers(base - 1) is None


def test_no_forecast_without_workers() -> None:
    assert fit([Run(0, 5, (Moment(5),))]) is None
    assert fit([Run(2, 5, (Moment(5),))]) is None  # no look saw them


def test_workers_divide_rows_that_are_read_in_order() -> None:
    """250 batches of 2 MB each in order, and 8 MB that each worker holds anyway: with W workers, W x 8 + 500 MB."""

    def of(workers: int) -> Moment:
        uss_mb = 8 + 500 / workers
        pool = Pool("val", workers, uss_mb * MB, first_uss_bytes=10 * MB, batches=250)
        return Moment(round(300 * MB + workers * uss_mb * MB), (pool,))

    found = fit([Run(2, of(2).pss_bytes, (of(2),))])
    assert found is not None
    for workers in (1, 2, 8, 16):
        assert found.peak_bytes(workers) == pytest.approx(of(workers).pss_bytes, abs=100)


@pytest.mark.parametrize(
    ("first_mb", "batches", "workers"),
    [(None, 250, 2), (10, None, 2), (10, 2, 2), (60, 250, 2)],
    ids=["not looked at", "shuffled", "a batch each", "shrunk"],
)
def test_other_pools_grow_by_whole_workers(first_mb: int | None, batches: int | None, workers: int) -> None:
    pool = Pool("train", workers, 50.0 * MB, None if first_mb is None else first_mb * MB, batches)
    assert pool.line() == (0, 50 * MB)


def test_the_peak_may_move_to_another_moment_with_more_workers() -> None:
    """Reading takes 3 GB once, before any worker; the workers of a later epoch take over from a certain number on."""
    later = Moment(1200 * MB, (Pool("train", 2, 100.0 * MB), Pool("val", 2, 50.0 * MB)))
    found = fit([Run(2, 3000 * MB, (Moment(3000 * MB), later))])
    assert found is not None
    assert [found.peak_bytes(workers) // MB for workers in (0, 2, 14, 15, 16)] == [3000, 3000, 3000, 3150, 3300]
    assert found.most_workers(2999 * MB) is None
    assert found.most_workers(3000 * MB) == 14
    assert found.most_workers(3299 * MB) == 15


def test_the_forecast_is_of_the_run_with_most_workers() -> None:
    """What a single worker shares with nobody counts as its own, and would be multiplied."""
    single = Run(1, 400 * MB, (Moment(400 * MB, (Pool("train", 1, 150.0 * MB),)),))
    double = Run(2, 500 * MB, (Moment(500 * MB, (Pool("train", 2, 100.0 * MB),)),))
    found = fit([single, double])
    assert found is not None
    assert found.peak_bytes(8) == 1100 * MB


def test_loaders_that_read_in_order_are_told_from_others() -> None:
    data = pytest.importorskip("torch.utils.data")

    class Stream(data.IterableDataset):  # type: ignore[name-defined,misc]
        def __iter__(self) -> Iterator[int]:
            return iter(range(3))

    rows = list(range(10))
    ranks = {"num_replicas": 2, "rank": 0}
    assert batches_in_order(data.DataLoader(rows, batch_size=4)) == 3
    assert batches_in_order(data.DataLoader(rows, batch_size=None)) == 10
    spread = data.DistributedSampler(rows, shuffle=False, **ranks)
    assert batches_in_order(data.DataLoader(rows, batch_size=4, sampler=spread)) == 2
    for others in (
        data.DataLoader(rows, shuffle=True),
        data.DataLoader(rows, batch_sampler=[[3, 1], [2]]),
        data.DataLoader(rows, sampler=data.DistributedSampler(rows, **ranks)),
        data.DataLoader(rows, sampler=[5, 4]),
        data.DataLoader(Stream()),
    ):
        assert batches_in_order(others) is None


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux alone tells")
def test_only_the_first_full_collection_is_told() -> None:
    told: list[int] = []
    callbacks = len(gc.callbacks)
    tell_first_collection(told.append)
    gc.collect(1)
    assert told == []
    gc.collect()
    gc.collect()
    assert len(told) == 1
    assert told[0] >= 0
    assert len(gc.callbacks) == callbacks


def test_moments_are_the_peaks_of_each_set_of_pools() -> None:
    train, half = Pool("train", 4, 10.0), Pool("train", 2, 80.0, whole=False)
    val = Pool("val", 4, 5.0)
    looks = [Moment(9), Moment(7), Moment(50, (train,)), Moment(55, (train,)), Moment(60, (train, val)),
             Moment(200, (half,)), Moment(40, (train, train))]  # fmt: skip
    kept = moments_of(looks)
    assert sorted(kept, key=lambda moment: moment.pss_bytes) == [looks[6], looks[3], looks[4], looks[5]]
    # Two whole pools of one loader: the old one still lives while the new one starts; the half one is not scaled.
    assert [moment.line().per_worker_bytes for moment in (looks[6], looks[5])] == [20, 0]


def test_the_forecast_says_what_the_collector_may_change() -> None:
    """It ran in all workers of train, in half of val's, and copied 40 MB in each."""
    pools = (Pool("train", 2, 100.0 * MB, collected=1.0), Pool("val", 2, 50.0 * MB, collected=0.5))
    run = Run(2, 500 * MB, (Moment(500 * MB, pools),), collected_bytes=40 * MB)
    results = forecast_results([run], 800 * MB)
    assert results is not None
    eight = next(row for row in results["rows"] if row["workers"] == 8)
    assert eight == {"workers": 8, "peak_pss_bytes": 1400 * MB, "least_pss_bytes": 1400 * MB - 8 * 60 * MB,
                     "most_pss_bytes": 1400 * MB + 8 * 20 * MB}  # fmt: skip
    assert (results["most_workers"], results["most_workers_if_collected"]) == (4, 3)


def test_marks_survive_a_cut_line(tmp_path: Path) -> None:
    marker = Marker(tmp_path / "main.marks")
    for mark in PLAIN:
        marker.mark(mark)
    with (tmp_path / "main.marks").open("a") as file:
        file.write('{"time_s": 3')
    assert read_marks(tmp_path) == {"main": PLAIN}


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux alone tells")
@pytest.mark.parametrize(("share", "looks"), [(1e-9, 1), (1e9, 2)])
def test_a_look_comes_sooner_only_as_far_as_its_cost_allows(
    share: float, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench_harness.memory.sampler._SHARE", share)
    monkeypatch.setattr("bench_harness.memory.sampler._SOON_S", 0.0)
    sampler = TreeSampler(interval_s=1000)
    sampler.look(os.getpid())
    sampler._seen = set()  # as if a process had come
    sampler.look(os.getpid())
    assert len(sampler.samples) == looks
    sampler.look(os.getpid())
    assert len(sampler.samples) == looks  # nothing has changed


def test_looks_are_paid_for_by_the_time_that_passes() -> None:
    sampler = TreeSampler(interval_s=1.0, allowance_s=3.0)
    begin_s, sampler._next_s, sampler._soonest_s = sampler._begin_s, sampler._begin_s + 7, sampler._begin_s + 6
    sampler._spent_s = 1.5  # of three seconds: as often as asked for
    assert sampler._due_s(called_for=False) == begin_s + 7
    assert sampler._due_s(called_for=True) == begin_s + 6
    sampler._spent_s = 2.5  # the last second is for looks that something calls for
    assert sampler._due_s(called_for=False) == pytest.approx(begin_s + 0.5 / 0.007)
    assert sampler._due_s(called_for=True) == begin_s + 6
    sampler._spent_s = 4.0
    assert sampler._due_s(called_for=True) == pytest.approx(begin_s + 1 / 0.007)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux alone tells")
@pytest.mark.timeout(30)
def test_a_tree_holds_its_children() -> None:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.read(read, 1)
        os._exit(0)
    try:
        assert process_memory.tree_of(os.getpid()).count(child) == 1
        held = process_memory.read_held(child)
        assert held is not None
        assert 0 < held.uss_bytes <= held.pss_bytes <= held.rss_bytes
        # statm lags behind: the kernel adds its counters of each CPU up now and then.
        assert abs((process_memory.read_rss_bytes(child) or 0) - held.rss_bytes) < 10 * MB
    finally:
        os.write(write, b"x")
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)
    assert child not in process_memory.tree_of(os.getpid())
    assert process_memory.read_held(child) is None
