"""escnn is imported whatever is missing around it, leaves nothing behind on disk, and says so where it is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench_core.models.stock.importing import import_escnn

BLOCK = """
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
"""


def run_python(code: str, missing: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error::UserWarning", "-c", BLOCK.format(missing=missing) + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_import_without_the_dependencies_that_do_not_install() -> None:
    code = "from bench_core.models.stock.importing import import_escnn; print(import_escnn().nn.R3Conv.__name__)"
    result = run_python(code, missing=("lie_learn", "py3nj", "pymanopt", "autograd"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "R3Conv\n", "")


def test_lie_learn_itself_is_used_where_it_can_be_imported(tmp_path: Path) -> None:
    package = tmp_path / "lie_learn" / "representations" / "SO3"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "wigner_d.py").write_text("wigner_D_matrix = 'the real one'\n")
    code = f"""
sys.path.insert(0, {str(tmp_path)!r})
from bench_core.models.stock.importing import import_escnn
import_escnn()
from escnn.group.groups import so3_utils
print(so3_utils.wigner_D_matrix)
"""
    result = run_python(code)
    assert result.stdout == "the real one\n", result.stderr


def test_nothing_is_kept_in_the_folder_of_escnn() -> None:
    """Which may be read-only; joblib's Memory is itself again afterwards."""
    code = """
import joblib
before = joblib.Memory
from bench_core.models.stock.importing import import_escnn
escnn = import_escnn()
assert joblib.Memory is before
from escnn.group.groups import _numerical_thomson
print(_numerical_thomson.cache.store_backend, escnn.group._clebsh_gordan.cache.store_backend)
"""
    result = run_python(code)
    assert result.stdout == "None None\n", result.stderr


def test_importing_bench_core_imports_neither_torch_nor_escnn() -> None:
    code = "import bench_core.models.so3.grids; print({'torch', 'escnn', 'joblib'} & set(sys.modules))"
    result = run_python(code)
    assert result.stdout == "set()\n", result.stderr


@pytest.mark.parametrize(
    ("missing", "message"),
    [("escnn", "pip install --no-deps escnn==1.0.11"), ("joblib", "No module named 'joblib'; pip install joblib")],
)
def test_what_is_missing_is_named(missing: str, message: str) -> None:
    code = """
from bench_core.errors import ModelError
from bench_core.models.stock.importing import import_escnn
try:
    import_escnn()
except ModelError as error:
    print(error)
"""
    result = run_python(code, missing=(missing,))
    assert message in result.stdout, result.stderr
    assert result.stdout.count("\n") == 1


def test_imported_once() -> None:
    assert import_escnn() is import_escnn()


def test_an_import_that_failed_before_does_no_harm() -> None:
    code = """
try:
    import escnn.group
except ImportError:
    pass
from bench_core.models import build
from bench_core.models.tables import Architecture, SteerableConv
build(Architecture("one", (SteerableConv(1, 3),), 1, 3), backend="escnn")
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)
