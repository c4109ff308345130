"""What a sweep recommends, how it and a pipeline are shown, and GPU samples from a driver that is made up."""

from __future__ import annotations

import dataclasses
import types
from pathlib import Path
from typing import Any

import pytest

from bench_harness.capture.pipeline import sweep
from bench_harness.capture.pipeline.gpu import GpuSampler
from bench_harness.capture.pipeline.sweep import Point, assess
from bench_harness.errors import MissingPackageError, UsageError
from bench_harness.report import pipeline_text
from bench_harness.report.sweep_plot import draw_sweep
from bench_harness.report.tables import render_parts

GB = 10**9


def at(workers: int, rate: float, noise: float = 0.01, **fields: Any) -> Point:
    interval = (rate * (1 - noise), rate * (1 + noise))
    memory = {"worker_uss_bytes": GB // 2, "main_pss_bytes": GB}
    return Point(workers, batches_per_s=rate, interval=interval, samples_per_s=8 * rate, **memory | fields)


@pytest.mark.parametrize(
    ("what", "rates", "noise", "knee"),
    [
        ("saturates", [(0, 100), (1, 190), (2, 360), (4, 500), (8, 505), (16, 480)], 0.01, 4),
        ("5 % do not pay", [(1, 100), (2, 104), (4, 108)], 0.001, 4),
        ("neither does noise", [(1, 100), (2, 110), (4, 115)], 0.2, 1),
        ("a dip on the way", [(1, 100), (2, 90), (4, 200)], 0.01, 4),
        ("main alone is best", [(0, 100), (1, 80), (2, 99)], 0.01, 0),
    ],
)
def test_where_more_workers_stop_paying(what: str, rates: list[tuple[int, float]], noise: float, knee: int) -> None:
    document = assess([at(workers, rate, noise) for workers, rate in reversed(rates)], limit_bytes=100 * GB)
    assert document["stops_paying_at"] == knee, what
    assert document["recommended_num_workers"] == knee
    assert [row["workers"] for row in document["rows"]] == [workers for workers, _ in rates]


def test_memory_caps_the_recommendation() -> None:
    points = [at(workers, 100 * (workers + 1)) for workers in (0, 2, 4, 8)]
    document = assess(points, limit_bytes=3 * GB)
    assert (document["stops_paying_at"], document["recommended_num_workers"]) == (8, 4)
    assert any("num_workers=8 needs 5 GB of 3 GB" in line for line in document["lines"])
    assert assess(points, limit_bytes=GB // 2)["recommended_num_workers"] is None
    unknown = [dataclasses.replace(point, main_pss_bytes=None) for point in points]
    assert assess(unknown, limit_bytes=1)["recommended_num_workers"] == 8


def test_main_does_not_shrink_with_its_workers() -> None:
    """Workers that live at its end share its pages, and each counts a part of them."""
    points = [at(workers, 100 * (workers + 1), main_pss_bytes=GB // (workers + 1)) for workers in (0, 1, 4)]
    document = assess(points, limit_bytes=2 * GB)
    assert [row["memory_bytes"] for row in document["rows"]] == [GB, 1.5 * GB, 3 * GB]
    assert document["recommended_num_workers"] == 1


def test_why_more_workers_do_not_pay_is_said() -> None:
    def line(more: float, noise: float) -> str:
        return next(line for line in assess([at(1, 100, noise), at(2, more, noise)])["lines"] if "more stops" in line)

    assert line(110, 0.2).endswith("num_workers=2 gives +10.0%, within noise")
    assert line(103, 0.001).endswith("num_workers=2 gives +3.0%, less than 5%")
    assert line(90, 0.001).endswith("num_workers=2 gives -10.0%, no faster")


def test_the_memory_that_is_there_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep.environment, "collect_memory", lambda: {"available_bytes": 10 * GB})
    monkeypatch.setattr(sweep.environment, "cgroup_limit_bytes", lambda: 4 * GB)
    document = assess([at(0, 1), at(8, 5)])
    assert document["limit_bytes"] == 3.6 * GB
    assert "control group" in document["limit_source"]
    assert document["recommended_num_workers"] == 0


def test_prefetching_is_recommended_with_the_workers() -> None:
    points = [at(2, 100, prefetch=2), at(2, 130, prefetch=4), at(2, 131, prefetch=8)]
    document = assess(points, limit_bytes=100 * GB)
    assert (document["recommended_num_workers"], document["recommended_prefetch_factor"]) == (2, 4)


def test_runs_without_numbers() -> None:
    failed = sweep.point(4, None, problem="exit code 1")
    assert assess([failed])["recommended_num_workers"] is None
    document = assess([at(1, 10), failed], limit_bytes=100 * GB)
    assert document["lines"][0] == "num_workers=4: exit code 1"
    assert document["recommended_num_workers"] == 1
    nothing = {"loader": None, "loaders": [], "verdict": "undecided", "main_wait_share": None, "lines": []}
    assert sweep.point(0, nothing).problem == "no steady batches were measured"


LOOP = {
    "name": "train", "num_workers": 2, "verdict": "loader-bound", "batches": 20, "main_wait_share": 0.5,
    "shares": {"loader_wait": 0.4, "transport_wait": 0.1, "receive": 0.05, "own": 0.01, "copy": 0.0, "step": 0.44},
    "per_batch": {
        name: {"mean": 0.01, "p50": 0.009, "p95": None}
        for name in (
            "fetch_s", "collate_s", "pickle_s", "receive_s", "own_s", "step_s", "loader_wait_s", "transport_wait_s",
        )
    },
    "steady": {"batches": 17, "warming_up_included": False},
    "batches_per_s": 40.0, "batches_per_s_interval": [38.0, 42.5], "samples_per_s": 320.0, "cpu_s_per_sample": 0.002,
    "workers_busy_share": 0.9, "workers_idle_share": 0.04, "matched_share": 0.9,
    "copy": {"measured": False, "reason": "no CUDA device"},
}  # fmt: skip


def test_a_point_is_taken_from_the_loop_that_was_judged() -> None:
    point = sweep.point(
        2,
        {"loader": "train", "loaders": [LOOP | {"name": "val"}, LOOP]},
        worker_uss_bytes=[5, None, 7],
        main_pss_bytes=9,
    )
    assert point.interval == (38.0, 42.5)
    assert (point.worker_uss_bytes, point.memory_bytes) == (7, 9 + 2 * 7)


def test_the_text() -> None:
    gpu = {"devices": None, "reason": "NVML shows no GPU"}
    pipeline = {"verdict": "loader-bound", "main_wait_share": 0.5, "lines": ["evidence"], "loaders": [LOOP], "gpu": gpu}
    text = render_parts(pipeline_text.parts({"pipeline": pipeline}))
    for words in (
        "Pipeline: loader-bound (main without a batch: 50%",
        "evidence",
        "wait: being fetched",
        "40.0%",
        "17 of 20 batches, the first ones left out; 40 batches/s (95 %: 38 to 42.5)",
        "not measured (no CUDA device)",
        "10% of the batches have no note",
        "GPU: not measured (NVML shows no GPU)",
    ):
        assert words in text
    swept = assess([at(0, 10), at(2, 20, prefetch=4), Point(4, problem="killed")], limit_bytes=100 * GB)
    text = render_parts(pipeline_text.parts({"sweep": swept}))
    assert "recommended: num_workers=2" in text
    assert "not measured" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(("main_s", "said"), [(10.0, True), (3.0, False)])
def test_a_verdict_on_little_of_the_time_says_so(main_s: float, said: bool) -> None:
    """Where each epoch starts workers anew, and has few batches, the steady ones are the smaller part."""
    loop = LOOP | {"process": "main", "steady": {"batches": 17, "warming_up_included": False, "wall_s": 2.0}}
    pipeline = {"verdict": "step-bound", "main_wait_share": 0.01, "lines": [], "loaders": [loop], "gpu": None}
    phases = [{"process": "main", "setup_s": 5.0, "first_s": 1.0, "steady_s": main_s}]
    text = render_parts(pipeline_text.parts({"pipeline": pipeline, "phases": phases}))
    assert ("steady batches took 2 s of the 10 s" in text) == said


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    swept = assess([at(0, 10), at(2, 20, cpu_s_per_sample=0.1), Point(4, problem="killed")], limit_bytes=2 * GB)
    draw_sweep(swept, "train.py", tmp_path / "new" / "sweep.png")
    assert (tmp_path / "new" / "sweep.png").stat().st_size > 5_000
    with pytest.raises(UsageError, match=r"sweep\.nothing"):
        draw_sweep(swept, "train.py", tmp_path / "sweep.nothing")
    with pytest.raises(UsageError, match="no run"):
        draw_sweep(assess([Point(1, problem="killed")]), "train.py", tmp_path / "sweep.png")


class Driver:
    """NVML in small: two GPUs, of which the first is used."""

    def __init__(self, answers: int = 1_000_000) -> None:
        self.answers = answers
        self.shut_down = False

    def nvmlInit(self) -> None:
        pass

    def nvmlShutdown(self) -> None:
        self.shut_down = True

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        return number

    def nvmlDeviceGetName(self, number: int) -> bytes:
        return b"GPU"

    def nvmlDeviceGetUtilizationRates(self, number: int) -> Any:
        self.answers -= 1
        if self.answers < 0:
            raise RuntimeError("the GPU is lost")
        return types.SimpleNamespace(gpu=0 if number else 80)

    def nvmlDeviceGetMemoryInfo(self, number: int) -> Any:
        return types.SimpleNamespace(used=3 * GB, total=8 * GB)


def sampled(driver: Any, until: int) -> dict[str, Any]:
    sampler = GpuSampler(interval_s=0.001, nvml=driver)
    sampler.start()
    while sampler._thread is not None and sampler._thread.is_alive() and len(sampler._samples[1]) < until:
        sampler._stop.wait(0.001)
    return sampler.stop()


def test_gpus_are_sampled() -> None:
    driver = Driver()
    used, idle = sampled(driver, until=3)["devices"]
    assert driver.shut_down
    assert used["utilisation_mean"] == pytest.approx(0.8)
    assert (used["idle_share"], used["memory_peak_bytes"]) == (0.0, 3 * GB)
    assert (idle["utilisation_max"], idle["idle_share"]) == (0.0, 1.0)
    assert "80% used on average" in "".join(pipeline_text._gpu({"devices": [used], "reason": None}))


def test_a_gpu_that_stops_answering() -> None:
    assert sampled(Driver(answers=0), until=1) == {
        "devices": None,
        "reason": "NVML stopped answering: the GPU is lost",
    }
    lost = sampled(Driver(answers=4), until=9)
    assert lost["devices"][0]["samples"] == 2
    assert "lost" in lost["reason"]


def test_no_gpu_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoDriver(Driver):
        def nvmlInit(self) -> None:
            raise RuntimeError("NVML Shared Library Not Found")

    assert "Not Found" in sampled(NoDriver(), until=1)["reason"]

    def missing(*_: object) -> None:
        raise MissingPackageError("pynvml is not installed")

    monkeypatch.setattr("bench_harness.capture.pipeline.gpu.require", missing)
    assert sampled(None, until=1) == {"devices": None, "reason": "pynvml is not installed"}
    assert GpuSampler().stop()["devices"] is None
