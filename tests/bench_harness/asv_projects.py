"""A small asv project for tests: a pure Python package, its suite, and environments made in a second."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

# asv's own kinds of environment fetch asv_runner from an index. This one, a plugin as a user may write it, is an
# environment of its own all the same: it only borrows the packages of the interpreter that runs the tests.
PLUGIN = """
import subprocess, sys, sysconfig
from pathlib import Path
from asv import environment

class Linked(environment.Environment):
    tool_name = "linked"

    def __init__(self, conf, python, requirements, tagged_env_vars):
        self._requirements = requirements
        super().__init__(conf, python, requirements, tagged_env_vars)

    def _setup(self):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self._path], check=True)
        inside = next(Path(self._path, "lib").glob("python*")) / "site-packages"
        (inside / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\\n")
        pip = Path(self._path, "bin", "pip")
        pip.write_text("#!/bin/sh\\nexec python -m pip \\"$@\\"\\n")
        pip.chmod(0o755)

    def run(self, args, **kwargs):
        return self.run_executable("python", args, **kwargs)
"""
CONFIG = {
    "version": 1,
    "project": "toy",
    "repo": ".",
    "branches": ["main"],
    "benchmark_dir": "benchmarks",
    "environment_type": "linked",
    "env_dir": ".asv/env",
    "plugins": [".linked_environment"],
    "build_command": ["python -m compileall -q {build_dir}/toy"],
    "install_command": [
        "python -c \"import shutil, sysconfig; shutil.copytree('toy', sysconfig.get_path('purelib') + '/toy')\""
    ],
    "uninstall_command": [
        "python -c \"import shutil, sysconfig; shutil.rmtree(sysconfig.get_path('purelib') + '/toy', True)\""
    ],
}
PACKAGE = """
SIZE = {size}
def work(factor=1):
    total = 0
    for index in range({size} * factor):
        total += index * index
    return total
"""
SUITE = """
import toy

def time_work():
    toy.work()

def time_other():
    sum(range(20000))

def track_size():
    return toy.SIZE
track_size.unit = "steps"

def time_new_call():
    toy.new()

class Factors:
    params = [1, 2]
    param_names = ["factor"]

    def setup(self, factor):
        if factor == 2 and not hasattr(toy, "new"):
            raise NotImplementedError("no factor 2 before new()")

    def time_work(self, factor):
        toy.work(factor)
"""


def git(folder: Path, *arguments: str) -> str:
    """Run git, return what it prints."""
    return subprocess.check_output(["git", "-C", str(folder), *arguments], text=True).strip()


def commit(folder: Path, subject: str, package: str) -> str:
    """Commit the package's text, return the commit."""
    (folder / "toy").mkdir(exist_ok=True)
    (folder / "toy" / "__init__.py").write_text(package)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", subject)
    return git(folder, "rev-parse", "HEAD")


def make_project(folder: Path, suite: str = SUITE, **config: object) -> Path:
    """Make a repository with a suite and no commit yet."""
    (folder / "benchmarks").mkdir(parents=True)
    (folder / "benchmarks" / "__init__.py").touch()
    (folder / "benchmarks" / "kernels.py").write_text(suite)
    (folder / "linked_environment.py").write_text(PLUGIN)
    (folder / "asv.conf.json").write_text(json.dumps({**CONFIG, **config}))
    (folder / ".gitignore").write_text(".asv/\n__pycache__/\n")
    git(folder, "init", "-q", "-b", "main")
    return folder
