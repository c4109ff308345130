"""The verdict on numbers that leave no doubt, on a published table, and the attribution of waits by timestamps."""

from __future__ import annotations

import dataclasses

import pytest

from bench_harness.capture.pipeline import aggregate
from bench_harness.capture.pipeline.attribution import split_wait
from bench_harness.capture.pipeline.verdict import WAIT_MARGIN, Evidence, decide

STEADY = {"batches": 100, "fetch_s": 0.01, "collate_s": 0.001, "step_s": 0.005, "busy_share": 0.9}
# Of 0.8 in which main unpickles, it is on the CPU for 0.05.
RECEIVING = {
    "workers": 2, "receive_share": 0.8, "receive_idle_share": 0.75, "held_up_share": 0.7, "transport_share": 0.08,
    "step_share": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("bound", "evidence"),
    [
        ("loader-bound", {"workers": 2, "loader_share": 0.6, "step_share": 0.4}),
        ("loader-bound", {"workers": 2, "loader_share": 0.08, "transport_share": 0.04, "step_share": 0.88}),
        ("transport-bound", {"workers": 2, "loader_share": 0.2, "transport_share": 0.3, "step_share": 0.5}),
        ("transport-bound", {"workers": 2, "loader_share": 0.2, "transport_share": 0.05, "receive_share": 0.3}),
        # Main waits for nobody, and unpickles longer than it steps: nothing of that overlaps.
        ("transport-bound", {"workers": 2, "receive_share": 0.5, "own_share": 0.1, "step_share": 0.4}),
        # It waits for descriptors, which busy workers are slow to hand over; those of idle workers are another matter.
        ("loader-bound", RECEIVING),
        ("loader-bound", RECEIVING | {"transport_share": 0.13}),
        ("loader-bound", RECEIVING | {"held_up_share": 0.3}),
        ("loader-bound", RECEIVING | {"busy_share": 0.1}),
        ("transport-bound", RECEIVING | {"held_up_share": 0.1, "busy_share": 0.2}),
        (
            "step-bound",
            {"workers": 2, "receive_share": 0.2, "receive_idle_share": 0.19, "held_up_share": 0.15, "step_share": 0.8},
        ),
        ("step-bound", {"workers": 2, "loader_share": 0.05, "transport_share": 0.04, "step_share": 0.91}),
        ("copy-bound", {"workers": 2, "loader_share": 0.05, "copy_share": 0.5, "step_share": 0.45}),
        ("loader-bound", {"workers": 0, "loader_share": 0.55, "step_share": 0.45}),
        ("step-bound", {"workers": 0, "loader_share": 0.45, "step_share": 0.55}),
        ("copy-bound", {"workers": 0, "loader_share": 0.3, "copy_share": 0.4, "step_share": 0.3}),
        ("undecided", {"workers": 2, "loader_share": 0.9, "batches": 4}),
    ],
)
def test_the_bound(bound: str, evidence: dict[str, float]) -> None:
    verdict = decide(Evidence(**STEADY | evidence))
    assert verdict.bound == bound
    assert verdict.lines
    assert all("\n" not in line for line in verdict.lines)


# Workers, step in ms; shares of main's wait, fetch, collate; batches/s that the workers could deliver at most, and did.
FIELDS = ("workers", "step_ms", "wait", "fetch", "collate", "bound", "got", "expected")
MEASURED_ELSEWHERE = [
    (1, 0, 0.99, 0.55, 0.20, 588, 440, "loader-bound"),
    (2, 0, 0.99, 0.50, 0.12, 1179, 727, "loader-bound"),
    (1, 2, 0.35, 0.39, 0.14, 575, 307, "transport-bound"),
    (2, 2, 0.28, 0.20, 0.05, 1354, 342, "transport-bound"),
    (2, 20, 0.07, 0.03, 0.01, 1141, 46, "step-bound"),
]


@pytest.mark.parametrize(
    ("workers", "step_ms", "wait", "fetch", "collate", "bound", "got", "expected"), MEASURED_ELSEWHERE
)
def test_waits_without_timestamps_are_judged_by_who_could_be_faster(
    workers: int, step_ms: float, wait: float, fetch: float, collate: float, bound: float, got: float, expected: str
) -> None:
    evidence = Evidence(
        batches=100,
        workers=workers,
        unknown_share=wait,
        step_share=1 - wait,
        fetch_s=fetch * workers / got,
        collate_s=collate * workers / got,
        step_s=step_ms / 1e3,
        batches_per_s=got,
        busy_share=fetch + collate,
    )
    assert evidence.workers_bound_per_s == pytest.approx(bound, rel=0.1)  # the table is rounded
    assert decide(evidence).bound == expected


def test_main_wait_share_is_all_waiting() -> None:
    evidence = Evidence(batches=9, workers=1, loader_share=0.2, transport_share=0.1, unknown_share=0.05, step_share=0.6)
    assert decide(evidence).main_wait_share == pytest.approx(0.35)
    assert decide(Evidence(batches=0, workers=1)).main_wait_share is None


def test_the_advice_follows_the_evidence() -> None:
    loading = Evidence(**STEADY | {"workers": 2, "loader_share": 0.6, "step_share": 0.4, "cpu_share": 0.3, "cpus": 8})
    assert "3 workers" in decide(loading).lines[-1]  # 1.1 * 0.011 s / 0.005 s
    saturated = dataclasses.replace(loading, cpu_share=0.95)
    assert "more workers would take turns" in decide(saturated).lines[-1]
    uneven = dataclasses.replace(loading, behind_share=0.5)
    assert any("in_order=False" in line for line in decide(uneven).lines)
    idle = {"workers": 8, "step_share": 0.95, "batches_per_s": 100.0, "loader_share": 0.01}
    assert any("2 workers would keep up" in line for line in decide(Evidence(**STEADY | idle)).lines)
    objects = {"workers": 2, "transport_share": 0.8, "message_bytes": 1e6, "busy_share": 0.1}
    lines = decide(Evidence(**STEADY | objects)).lines
    assert any("10% of their time: more of them will not help" in line for line in lines)
    assert any("large tensors" in line for line in lines)
    sampler = {"workers": 2, "transport_share": 0.12, "own_share": 0.4}
    assert any("the sampler" in line for line in decide(Evidence(**STEADY | sampler)).lines)
    pageable = {"workers": 2, "copy_share": 0.6, "step_share": 0.3, "pageable_copies": 7}
    assert any("pin_memory" in line for line in decide(Evidence(**STEADY | pageable)).lines)


def test_the_cpus_bound_how_many_workers_are_advised() -> None:
    loading = {"workers": 2, "loader_share": 0.6, "step_share": 0.01, "step_s": 1e-4, "cpu_share": 0.5, "cpus": 2}
    assert "up to 4 workers, as many as 2 CPUs can run at once" in decide(Evidence(**STEADY | loading)).lines[-1]


def test_waiting_within_unpickling_is_said() -> None:
    verdict = decide(Evidence(**STEADY | RECEIVING))
    assert verdict.main_wait_share == pytest.approx(0.83)
    assert any("70% of it while it unpickles: workers that are busy fetching" in line for line in verdict.lines)
    idle = decide(
        Evidence(
            **STEADY | RECEIVING | {"held_up_share": 0.0, "busy_share": 0.1, "receive_s": 0.02, "receive_idle_s": 0.01}
        )
    )
    assert "waits for what is fetched (8%), unpickles (80%)" in idle.lines[0]
    assert "unpickling 20 ms (of it 10 ms off the CPU)" in idle.lines[1]


def test_the_margin_is_said() -> None:
    line = decide(Evidence(**STEADY | {"workers": 2, "step_share": 0.97})).lines[0]
    assert f"under {WAIT_MARGIN:.0%}" in line


WAIT = {"sent": 0.0, "idle_s": 0.0, "fetch_start": 1.0, "fetch_end": 5.0, "stalled_s": 0.0, "unpicklings": []}


@pytest.mark.parametrize(
    ("what", "start", "end", "changes", "loader", "transport", "receive"),
    [
        ("fetched all the while", 2, 4, {}, 2, 0, 0),
        ("the worker is busy with an earlier batch", 0, 6, {}, 5, 1, 0),
        ("fetched long ago", 6, 8, {}, 0, 2, 0),
        ("fetched meanwhile, then unpickled", 4, 8, {"unpicklings": [(7, 8)]}, 1, 2, 1),
        ("another batch unpickled before it was fetched costs nothing", 2, 6, {"unpicklings": [(3, 4)]}, 3, 1, 0),
        ("an index on its way to an idle worker", 0, 6, {"idle_s": 1.0}, 4, 2, 0),
        ("an index sent late", 0, 6, {"idle_s": 1.0, "sent": 0.75}, 4.75, 1.25, 0),
        ("the worker could not run for pickling", 0, 6, {"stalled_s": 3.0}, 2, 4, 0),
        ("... of which main saw the end only", 3, 6, {"stalled_s": 3.0}, 1, 2, 0),
    ],
)
def test_a_wait_is_split_exactly(
    what: str, start: float, end: float, changes: dict[str, float], loader: float, transport: float, receive: float
) -> None:
    wait = split_wait(start, end, **WAIT | changes)
    assert wait[:3] == (loader, transport, receive), what
    assert sum(wait[:3]) == end - start


@pytest.mark.parametrize(
    ("values", "p50", "p95"), [([], None, None), ([3.0], 3.0, 3.0), ([2.0, 1.0], 1.5, 1.95), ([*range(21)], 10, 19)]
)
def test_median_and_95th_percentile_of_the_batches_that_were_kept(
    values: list[float], p50: float | None, p95: float | None
) -> None:
    of_step = aggregate._distribution("step_s", {"step_s": 6.0}, [{"step_s": value} for value in values], batches=2)
    assert of_step == pytest.approx({"mean": 3.0, "p50": p50, "p95": p95})
