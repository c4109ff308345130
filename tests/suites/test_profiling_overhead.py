"""benchmarks/profiling_overhead.py and docs/make/profiling_overhead.py, on a script of milliseconds."""

from __future__ import annotations

import ast
import importlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
TELLS = 'import sys\nprint("other output")\nprint(\'{"wall_s": 2.0, "cpu_s": \' + sys.argv[2] + "}")\n'


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """docs/make/profiling_overhead.py, which finds the suite by itself."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "make"))
    yield importlib.import_module("profiling_overhead")
    sys.path.remove(str(ROOT))
    del sys.modules["profiling_overhead"]


@pytest.fixture
def script(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script that says what it was told with --batches is what it took, in place of the real one."""
    path = tmp_path / "tells.py"
    path.write_text(TELLS)
    monkeypatch.setattr(make.overhead, "SCRIPT", path)
    return path


def rounds_of(make: Any, *pairs: tuple[float, float]) -> Any:
    times, pair = make.overhead.Times, make.overhead.Pair
    return [{"none": pair(times(b, 2 * b, b, b), times(a, a, a, a))} for a, b in pairs]


def test_a_ratio_is_taken_within_a_round(make: Any) -> None:
    """A machine that is twice as slow in one round changes nothing."""
    found = make.overhead.ratio(rounds_of(make, (1, 1.1), (2, 2.2), (4, 4.4)), "none", "cpu")
    assert found == pytest.approx((1.1, 1.1, 1.1, 1.1))
    assert make.overhead.ratio(rounds_of(make, (1, 1.1)), "none", "wall").median == pytest.approx(2.2)


def test_the_interval_is_that_of_students_t_of_the_logarithms(make: Any) -> None:
    from scipy import stats

    found = make.overhead.ratio(rounds_of(make, (1, 1.0), (1, 1.1), (1, 1.3)), "none", "cpu")
    expected = stats.ttest_1samp([0.0, math.log(1.1), math.log(1.3)], 0).confidence_interval(0.95)
    assert found[2:] == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert found.median == pytest.approx(1.1)
    assert found.low < found.mean < found.high


def test_a_single_round_has_no_interval(make: Any) -> None:
    found = make.overhead.ratio(rounds_of(make, (1, 1.5)), "none", "cpu")
    assert found.mean == pytest.approx(1.5)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def told_orders(order: list[str], each: int) -> list[list[str]]:
    told = [line.split(", ")[1].partition(":")[0] for line in order]
    return [told[begin : begin + each] for begin in range(0, len(told), each)]


@pytest.mark.parametrize("abreast", [False, True])
def test_every_contender_runs_once_per_round_in_an_order_that_changes(make: Any, script: Path, abreast: bool) -> None:
    names = ["plain", "a", "b", "c"]
    order: list[str] = []
    contenders = {name: [sys.executable, "-S", "-E"] for name in names}
    rounds = make.overhead.measure(contenders, make.overhead.Amount(3, 7), abreast=abreast, progress=order.append)
    assert [list(taken) for taken in rounds] == [names[1:]] * 3
    assert {times.cpu for taken in rounds for pair in taken.values() for times in pair} == {7.0}
    ran = names[1:] if abreast else names
    orders = told_orders(order, len(ran))
    assert len(orders) == 3
    assert all(sorted(each) == sorted(ran) for each in orders)
    assert len({tuple(each) for each in orders}) > 1


def test_abreast_both_run_at_once_on_one_core(make: Any, script: Path) -> None:
    """Each waits for the other to appear, which it would in vain if they ran one after another."""
    here = str(script.parent)
    script.write_text(
        "import os, sys, time\n"
        f"open(os.path.join({here!r}, str(os.getpid())), 'w').close()\n"
        "deadline_s = time.monotonic() + 30\n"
        f"while sum(name.isdigit() for name in os.listdir({here!r})) < 2 and time.monotonic() < deadline_s:\n"
        "    time.sleep(0.01)\n"
        "late, cores = time.monotonic() > deadline_s, os.sched_getaffinity(0)\n"
        'print(\'{"wall_s": %d, "cpu_s": %d}\' % (1 + late, 1 + min(cores) if len(cores) == 1 else -1))\n'
    )
    contenders = {name: [sys.executable, "-S", "-E"] for name in ("plain", "a")}
    ((pair,),) = (
        taken.values() for taken in make.overhead.measure(contenders, make.overhead.Amount(1, 7), abreast=True)
    )
    assert pair.own.cpu == pair.base.cpu > 0
    assert pair.own.wall == pair.base.wall == 1


def test_one_contenders_ratio_over_anothers(make: Any) -> None:
    times, pair = make.overhead.Times, make.overhead.Pair
    rounds = [
        {"none": pair(times(*[2.0] * 4), times(*[1.0] * 4)), "memory": pair(times(*[9.0] * 4), times(*[3.0] * 4))}
    ]
    assert make.overhead.ratio(rounds, "memory", "cpu", over="none").mean == pytest.approx(1.5)


def test_it_measures_bench_profile(
    make: Any, script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engines really run, the target's line is found in what `bench profile` prints, and all is kept."""
    kept = tmp_path / "kept.json"
    monkeypatch.setattr(make, "calls_per_cpu_s", lambda: 1e6)
    arguments = ["--rounds", "1", "--batches", "5", "--engines", "none", "cprofile", "--apart", "--json", str(kept)]
    assert make.main(arguments) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[2:4]] == ["none", "cprofile"]
    document = json.loads(kept.read_text())
    (taken,) = document["rounds"]
    assert set(taken) == {"none", "cprofile"}
    assert taken["cprofile"]["own"]["cpu"] == taken["cprofile"]["base"]["cpu"] == 5.0
    assert taken["cprofile"]["own"]["whole_cpu"] > taken["cprofile"]["base"]["whole_cpu"] > 0
    assert document["ratios"]["none"]["cpu"]["median"] == 1.0


def test_a_run_that_fails_is_named(make: Any, script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text("raise SystemExit('no luck')")
    assert make.main(["--rounds", "1", "--engines", "none"]) == 3
    assert "ended with 1: no luck" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--rounds", "0"], "--rounds must be at least 1, not 0"),
        (["--batches", "1"], "--batches must be at least 2, not 1"),
        (["--traceml", "no/such"], "--traceml: there is no no/such"),
    ],
)
def test_bad_input_is_told_in_one_line(
    make: Any, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make.main(arguments) == 2
    assert complaint in capsys.readouterr().err


def test_traceml_is_put_around_each_step_of_the_real_script(make: Any) -> None:
    text = make.traced(make.overhead.SCRIPT.read_text())
    loops = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.For)]
    (loop,) = [node for node in loops if ast.unparse(node.iter) == "loader"]
    (step,) = loop.body
    assert isinstance(step, ast.With)
    assert ast.unparse(step.items[0]) == "traceml.trace_step(model)"
    assert ast.unparse(step.body[-1]) == "optimizer.step()"
    assert text.index("traceml.init(") < text.index("begin_s, begin_cpu_s =")


def test_an_engine_that_was_not_measured_is_skipped(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from asv_runner.benchmarks.mark import SkipNotImplemented

    monkeypatch.setattr(make.overhead.importlib.util, "find_spec", lambda name: None)
    measured = make.overhead.Overhead().setup_cache()
    assert measured == {}
    with pytest.raises(SkipNotImplemented, match="py-spy is not installed"):
        make.overhead.Overhead().setup(measured, "py-spy")
