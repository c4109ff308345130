"""Extensions in C, compiled from the source at hand."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

import bench_harness

_FLAGS = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]


def compiled(name: str, folder: Path) -> ModuleType:
    """Compile bench_harness/NAME.c without a warning, and import it; skip where that cannot be."""
    library = folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    source = Path(bench_harness.__file__).with_name(f"{name}.c")
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    include = f"-I{sysconfig.get_path('include')}"
    command = [*compiler, *_FLAGS, "-shared", "-fPIC", include, str(source), "-o", str(library)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError:
        pytest.skip(f"no compiler: {compiler[0]}")
    if "Python.h" in done.stderr:
        pytest.skip("the headers of Python are not installed")
    assert done.returncode == 0, done.stderr
    spec = importlib.util.spec_from_file_location(name, library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
