"""The scripts in examples/ run by themselves, import nothing of this repository, and fit on a page."""

import ast
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore")]
SMALL = {
    "futures": (("--amplitudes", "2"), "2 periods, largest error "),
    "lightning_demo": (("--workers", "1", "--epochs", "1"), "val_loss "),
    "metric_learning_digits": (("--workers", "1", "--epochs", "1"), "epoch 0: "),
    "pool": (("--texts", "2"), "bc 131, "),
    "string_rows": (("--rows", "100", "--workers", "1", "--epochs", "1"), "6000 characters"),
    "timed_loop": (("--batches", "2", "--workers", "1"), '{"wall_s": '),
    "torch_loop": (("--epochs", "1", "--examples", "64"), "epoch 0: "),
}


def imported(script: Path) -> set[str]:
    """Return the packages that a script imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(script.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_imports_nothing_of_ours_and_is_short(script: Path) -> None:
    assert not imported(script) & {"bench_core", "bench_harness", "benchmarks"}
    assert len(script.read_text().splitlines()) < 80


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_runs(script: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for package in imported(script) - set(sys.stdlib_module_names):
        pytest.importorskip(package)
    arguments, told = SMALL[script.stem]
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    # Functions of __main__ are pickled by name: it has to be the script while it runs.
    module = type(sys)("__main__")
    module.__dict__["__file__"] = str(script)
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(compile(script.read_text(), str(script), "exec"), module.__dict__)
    assert told in capfd.readouterr().out
