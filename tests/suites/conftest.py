"""What the tests of commands share: a fresh home, the working tree as a clone, and running a line of shell there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

# `make test` hands its own variables to these tests, and a user may have set some: none reaches the commands run here.
OURS = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "PYTHON", "VENV", "UV", "RUN", "RANGE", "TORCH_INDEX")
OURS += ("BENCH_CORE_DATA", "BENCH_MACHINE", "BENCH_OPTIONS", "ASV_OPTIONS", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
OURS += ("VIRTUAL_ENV", "PYTHONPATH", "PYTEST_OPTIONS")
STAMPS = (".python", ".dependencies", ".installed")


def pip_settings() -> dict[str, str]:
    """Where pip finds the user's configuration and cache: another HOME must not cost them."""
    candidates = [
        Path(platformdirs.user_config_dir("pip", appauthor=False)) / "pip.conf",
        Path.home() / ".pip/pip.conf",
    ]
    found = [str(path) for path in candidates if path.is_file()]
    settings = {"PIP_CACHE_DIR": platformdirs.user_cache_dir("pip", appauthor=False)}
    if found:
        settings["PIP_CONFIG_FILE"] = found[0]
    return {name: os.environ.get(name, value) for name, value in settings.items()}


@pytest.fixture
def fresh_home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a user who has never run anything here, but keeps the settings of pip."""
    return {**pip_settings(), "HOME": str(tmp_path_factory.mktemp("home"))}


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a line of shell as a user would; `home` holds variables, `env` more of them."""

    def run_line(line: str, cwd: Path, home: dict[str, str], **env: str) -> subprocess.CompletedProcess[str]:
        kept = {n: value for n, value in os.environ.items() if n not in OURS and not n.startswith("UV_")}
        path = f"{cwd / '.venv' / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        return subprocess.run(
            ["bash", "-c", line],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=270,
            env={**kept, "PATH": path, **home, **env},
        )

    return run_line


def link_environment(folder: Path) -> None:
    """Make `folder`/.venv of links to the running environment, with stamps of its own: make finds nothing to do."""
    (folder / ".venv").mkdir()
    for entry in Path(sys.prefix).iterdir():
        if not entry.name.startswith(".") and entry.name != "data":
            (folder / ".venv" / entry.name).symlink_to(entry)
    for stamp in STAMPS:
        (folder / ".venv" / stamp).touch()


@pytest.fixture(scope="session")
def clone_of_the_working_tree(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Return a function that makes a clone, in a folder with a blank in its name, holding the working tree's files."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("a checkout") / "bench core"
        subprocess.run(["git", "clone", "-q", str(repository), str(folder)], check=True, timeout=100)
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.check_output(listed, cwd=repository, text=True).split("\0")
        names += [str(path.relative_to(repository)) for path in (repository / "bench_core").glob("*.so")]
        for name in filter(None, names):
            copy_or_remove(repository / name, folder / name)
        link_environment(folder)
        return folder

    return make


def copy_or_remove(source: Path, target: Path) -> None:
    """Bring one file of a clone to the state it has in the working tree."""
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    else:
        target.unlink(missing_ok=True)
