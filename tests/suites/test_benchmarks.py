"""The asv suites: every one is found, runs here, and is skipped at a commit that lacks its subject."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import itertools
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.timeout(250)

PREFIXES = ("time_", "track_", "peakmem_", "mem_", "timeraw_")


@pytest.fixture(scope="module")
def suites() -> Iterator[dict[str, Any]]:
    """All modules of benchmarks/, imported as asv does: found in the repository, which is not on the path else."""
    root = str(Path(__file__).parents[2])
    sys.path.insert(0, root)
    try:
        package = importlib.import_module("benchmarks")
        yield {
            info.name: importlib.import_module(f"benchmarks.{info.name}")
            for info in pkgutil.iter_modules(package.__path__)
        }
    finally:
        sys.path.remove(root)


def benchmark_classes(suites: dict[str, Any]) -> list[type]:
    return [
        cls
        for module in suites.values()
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__ and any(name.startswith(PREFIXES) for name in dir(cls))
    ]


def test_every_benchmark_carries_the_version_of_the_instruments(suites: dict[str, Any]) -> None:
    import bench_harness

    classes = benchmark_classes(suites)
    assert len(classes) >= 9
    for cls in classes:
        assert cls.version.endswith(f".{bench_harness.__version__}"), cls


def test_no_helper_is_taken_for_a_benchmark(suites: dict[str, Any]) -> None:
    """asv runs every function of that name, at module level too."""
    for module in suites.values():
        stray = [name for name, _ in inspect.getmembers(module, inspect.isfunction) if name.startswith(PREFIXES)]
        assert not stray, (module.__name__, stray)


def test_missing_subjects_skip(suites: dict[str, Any]) -> None:
    from asv_runner.benchmarks.mark import SkipNotImplemented

    for missing in (("bench_core.no_such_module", "x"), ("bench_core.voxels", "no_such_function")):
        with pytest.raises(SkipNotImplemented, match="this commit has no"):
            suites["base"].subject(*missing)


def test_long_benchmarks_wait_to_be_asked_for(suites: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from asv_runner.benchmarks.mark import SkipNotImplemented

    monkeypatch.delenv("BENCH_CORE_LONG", raising=False)
    suite = suites["models_in_training"].StepRatio()
    measured = suite.setup_cache()
    assert measured == {}
    with pytest.raises(SkipNotImplemented, match="BENCH_CORE_LONG=1"):
        suite.setup(measured, "arch_0", 4, "dense")


@pytest.mark.parametrize("missing", ["bench_core.models", "escnn"])
def test_models_that_cannot_be_built_skip(
    suites: dict[str, Any], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """At a commit without models, and where escnn is not installed; in `setup_cache`, nothing is measured."""
    from asv_runner.benchmarks.mark import SkipNotImplemented

    from bench_core.models.stock import importing

    # As in a process that has not imported escnn yet.
    monkeypatch.setattr(importing, "import_escnn", importing.import_escnn.__wrapped__)
    monkeypatch.setattr(importing, "_import_quietly", lambda: importlib.import_module("escnn"))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SkipNotImplemented, match=missing):
        suites["models"].Construction().setup("escnn")
    training = suites["models_in_training"]
    assert training.measured_in(training.measure_steps, [("arch_0", "escnn")]) == {}


@pytest.mark.usefixtures("small_networks")
def test_networks_of_a_ratio_compute_the_same(suites: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("joblib")
    if importlib.util.find_spec("escnn") is None:
        pytest.skip("escnn is not installed")
    networks = suites["models_in_training"].equal_networks("arch_0", 3)
    outputs = {name: network.model(networks["escnn"].views).detach() for name, network in networks.items()}
    scale = float(outputs["escnn"].abs().max())
    torch.testing.assert_close(outputs["dense"], outputs["escnn"], rtol=0, atol=1e-4 * scale)


def run_once(cls: type, method: str, parameters: tuple[Any, ...], cache: dict[type, Any]) -> Any:
    instance = cls()
    if hasattr(instance, "setup_cache"):
        if cls not in cache:
            cache[cls] = instance.setup_cache()
        parameters = (cache[cls], *parameters)
    instance.setup(*parameters)
    return getattr(instance, method)(*parameters)


@pytest.fixture
def small_networks(suites: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever architecture is asked for, the suites of models get a small one with arch_0's first layer.

    They compute in one thread, and leave torch as many as it had: in more, they mostly wait on a busy machine.
    """
    import torch

    import bench_core.models
    from bench_core.models import Architecture, SteerableConv, build

    layers = (SteerableConv(10, 5, stride=4), SteerableConv(2, 5))
    table = Architecture("small", layers, 4, 21)
    monkeypatch.setattr(bench_core.models, "build", lambda architecture, **options: build(table, **options))
    monkeypatch.setattr(suites["models"], "THREADS", 1)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def taken_for_granted(contenders: Iterable[str], *_: object, **__: object) -> list[dict[str, Any]]:
    """What runs of a minute each would tell; tests/suites/test_profiling_overhead.py has shorter ones."""
    from benchmarks.profiling_overhead import Pair, Times

    return [
        {name: Pair(Times(1.0 + n, 2.0, 3.0, 4.0), Times(1.0, 2.0, 3.0, 4.0)) for name in contenders} for n in range(2)
    ]


def may_skip(cls: type, parameters: tuple[Any, ...]) -> bool:
    """Whether this machine may lack what a benchmark needs: an instruction set, or escnn."""
    if cls.__name__ == "Variant":
        return not {"baseline", "float64"} <= set(parameters)
    if parameters in (("py-spy",), ("pyinstrument",)):  # extras of the harness
        return True
    if importlib.util.find_spec("escnn") is None and (cls.__name__ == "StepRatio" or "escnn" in parameters):
        return True
    return "dense bf16" in parameters


@pytest.mark.slow
@pytest.mark.usefixtures("small_networks")
def test_every_benchmark_runs(suites: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every combination of parameters but the slowest ones; `track_` must return one finite number.

    asv drops a benchmark that fails from its tables without a word, and a non-scalar breaks `asv publish`.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CORE_LONG", "1")
    monkeypatch.setattr(suites["models"], "DEEPEST", suites["models"].SMALLEST)
    monkeypatch.setattr(suites["profiling_overhead"], "measure", taken_for_granted)
    training = suites["models_in_training"]
    monkeypatch.setattr(training, "measure_ratios", functools.partial(training.measure_ratios, pairs=1))
    # Both would be the same small network; PredictedMemory takes their names too.
    monkeypatch.setattr(training, "ARCHITECTURES", training.ARCHITECTURES[:1])
    for cls in (training.Step, training.StepRatio):
        monkeypatch.setattr(cls, "params", (training.ARCHITECTURES, *cls.params[1:]))
    # The figure takes a million origins of a thousand structures; that there is one does not.
    for name, count in (("N_ORIGINS", 20_000), ("N_TAGS", 20)):
        monkeypatch.setattr(suites["worker_memory"], name, count)
    # tests/suites/test_storages.py reads all of them.
    monkeypatch.setattr(suites["storages"], "KINDS", ["nothing", "list of str"])
    monkeypatch.setattr(suites["storages"].TreePss, "params", (["nothing", "list of str"],))
    from asv_runner.benchmarks.mark import SkipNotImplemented

    cache: dict[type, Any] = {}
    for cls in benchmark_classes(suites):
        combinations = itertools.product(*getattr(cls, "params", ()))
        for parameters in combinations:
            if {"naive", "filtered"} & set(parameters) and parameters[0] != "21^3 x 0.75 A":
                continue
            for method in (name for name in dir(cls) if name.startswith(PREFIXES)):
                try:
                    value = run_once(cls, method, parameters, cache)
                except SkipNotImplemented:
                    if may_skip(cls, parameters):
                        continue
                    raise
                if method.startswith("track_"):
                    assert isinstance(value, float), (cls, method)
                    assert np.isfinite(value)


def test_asv_finds_them(repository: Path) -> None:
    """`asv check` imports the suite in a process of its own and validates every benchmark's signature."""
    command = [sys.executable, "-m", "asv", "check", "--environment", f"existing:{sys.executable}"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
