"""docs/make/sampler_overhead.py, on made-up windows and for two seconds."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The script, which finds the packages by itself; it leaves a core to what it starts."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "make"))
    cores = os.sched_getaffinity(0)
    yield importlib.import_module("sampler_overhead")
    os.sched_setaffinity(0, cores)
    sys.path.remove(str(ROOT))
    del sys.modules["sampler_overhead"]


def test_neither_the_copy_nor_the_moment_counts(make: Any) -> None:
    """One copy needs twice the CPU time, the second window is three times as slow, and looks cost a tenth."""

    def taken(copy: int, moment: int, looked_at: bool) -> Any:
        return make.Window((1 + copy) * (1 + 2 * moment) * (1.1 if looked_at else 1.0), 10, 2.0)

    pairs = [
        [(taken(1 - copy, moment, False), taken(copy, moment, True)) for moment, copy in enumerate(order)]
        for order in ((0, 1), (1, 0), (1, 0))
    ]
    found = make.over_pairs(pairs, make.Window.cpu_s_per_batch)
    assert (found.ratio, found.low, found.high) == pytest.approx((1.1, 1.1, 1.1))
    assert make.over_pairs(pairs, make.Window.batches_per_s).ratio == pytest.approx(1.0)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs a core for the programs and one for the sampler")
def test_it_looks_at_each_copy_in_turn(make: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    arguments = ["--seconds", "4", "--window", "1", "--held", "1", "--workers", "1"]
    assert make.main(arguments) == 0, capsys.readouterr().err
    first, cpu, rate, own = capsys.readouterr().out.splitlines()
    assert first.startswith("2 pairs of windows of 1 s, 1 workers")
    assert cpu.startswith("CPU of the program per batch")
    assert rate.startswith("batches per second")
    assert float(own.split()[4]) > 0


def test_one_core_is_not_enough(make: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(make.os, "sched_getaffinity", lambda pid: {0})
    assert make.main(["--seconds", "4"]) == 3
    assert "there is one core alone" in capsys.readouterr().err
