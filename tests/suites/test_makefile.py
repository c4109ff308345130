"""What make does, with one script in the place of python, uv and every tool: nothing is installed or measured here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("Makefile", "pyproject.toml", "setup.py", "MANIFEST.in", "bench_harness/pyproject.toml")
FILES += ("csrc/voxelizer.cdef.h", "tests/csrc/sanitize.mk", "profiles/asv/landmarks.txt")

IN_TWO_PROCESSES = "--numprocesses 2 --dist loadfile --no-loadscope-reorder"

STUB = r"""#!/bin/sh
# In the place of python, uv and the tools: notes what it was asked, and what of the environment it was given.
say() { echo "$1 $(basename "$0") $arguments" >> "$STUB_LOG"; }
arguments=$*
say begin
env | grep -E '^(UV_|PIP_|SSL_CERT_FILE|BENCH_)' >> "$STUB_LOG.env"
case "$arguments" in
*version_info*) code=${OLD:-0};;
"-m pip --version") code=${NO_PIP:-0};;
*"venv "*)
    for folder; do :; done
    mkdir -p "$folder/bin"; touch "$folder/pyvenv.cfg"
    for name in python ruff mypy lint-imports bench; do cp "$0" "$folder/bin/$name"; done;;
"-m asv run"*) echo "$ASV_SAYS"; code=${ASV_CODE:-0};;
*) sleep 0.05;;
esac
[ "$(basename "$0")" = bench ] && echo "the summary"
say end
exit ${code:-0}
"""


@dataclass
class Checkout:
    """A small checkout whose tools are the stub."""

    folder: Path
    stub: Path
    run: Callable[..., subprocess.CompletedProcess[str]]

    def make(self, arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        home = {"HOME": str(self.folder.parent), "STUB_LOG": str(self.folder.parent / "log")}
        clean = dict.fromkeys(("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT"), "")
        # Quoted once for the shell: the stub's path has a blank in it.
        return self.run(f"make PYTHON='{self.stub}' UV= {arguments}", self.folder, home | clean, **env)

    def log(self) -> list[str]:
        return (self.folder.parent / "log").read_text().splitlines()

    def asked(self, part: str) -> list[str]:
        """The commands that hold `part`, in the order they began."""
        return [line.removeprefix("begin ") for line in self.log() if line.startswith("begin ") and part in line]

    def environment(self) -> set[str]:
        """Every variable that some tool was given, NAME=VALUE."""
        return set((self.folder.parent / "log.env").read_text().splitlines())

    def venv(self) -> Path:
        return self.folder / ".venv"


def git(folder: Path, *arguments: str) -> str:
    return subprocess.check_output(["git", "-C", str(folder), *arguments], text=True).strip()


@pytest.fixture
def bare(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]) -> Checkout:
    """The files without git."""
    folder, stub = tmp_path / "a checkout", tmp_path / "the stub"
    stub.write_text(STUB)
    stub.chmod(0o755)
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return Checkout(folder, stub, run)


@pytest.fixture
def checkout(bare: Checkout) -> Checkout:
    (bare.folder / ".gitignore").write_text(".venv/\nprofiles/bench/\n")
    git(bare.folder, "init", "-q", "-b", "main")
    for message in ("first", "second"):
        git(bare.folder, "add", "-A")
        git(bare.folder, "commit", "-q", "--allow-empty", "-m", message)
    return bare


def age(folder: Path) -> None:
    """Make every file an hour old, the stamps included, in the order they have."""
    for path in folder.rglob("*"):
        moment = path.stat().st_mtime_ns - 3600 * 10**9
        os.utime(path, ns=(moment, moment))


class TestEnvironment:
    def test_parallel_make_installs_once_and_before_any_tool(self, checkout: Checkout) -> None:
        done = checkout.make("-j4 test")
        assert done.returncode == 0, done.stderr
        installs = checkout.asked("pip install")
        assert len(installs) == len(set(installs)) == 5
        assert len(checkout.asked("-m venv")) == 1
        log = checkout.log()
        last_install = max(i for i, line in enumerate(log) if line.startswith("end python -m pip install"))
        tools = ("begin ruff check .", "begin ruff format --check .", "begin mypy ", "begin lint-imports ")
        for tool in (*tools, f"begin python -m pytest {IN_TWO_PROCESSES}"):
            assert log.index(tool) > last_install

    def test_stamps(self, checkout: Checkout) -> None:
        assert checkout.make("venv").returncode == 0
        age(checkout.folder)
        assert checkout.make("-q venv").returncode == 0
        (checkout.folder / "csrc" / "voxelizer.cdef.h").touch()
        steps = checkout.make("-n venv").stdout
        assert steps.count("pip install") == 1
        assert "--no-deps" in steps
        (checkout.folder / "pyproject.toml").touch()
        assert checkout.make("-n venv").stdout.count("pip install") == 5

    def test_a_half_made_environment_is_made_anew(self, checkout: Checkout) -> None:
        checkout.venv().mkdir()
        (checkout.venv() / "pyvenv.cfg").touch()
        done = checkout.make("venv")
        assert done.returncode == 0, done.stderr
        assert ".venv is half-made" in done.stderr
        assert (checkout.venv() / ".installed").exists()

    def test_an_environment_whose_python_has_gone_is_made_anew(self, checkout: Checkout) -> None:
        assert checkout.make("venv").returncode == 0
        (checkout.venv() / "bin" / "python").unlink()
        assert checkout.make("venv").returncode == 0
        assert len(checkout.asked("-m venv")) == 2
        assert len(checkout.asked("pip install")) == 10

    def test_without_pip_it_is_removed_and_the_package_named(self, checkout: Checkout) -> None:
        done = checkout.make("venv", NO_PIP="1")
        assert done.returncode == 2
        assert "install python3-venv" in done.stderr
        assert not checkout.venv().exists()
        assert checkout.make("venv").returncode == 0

    def test_an_old_python_is_named(self, checkout: Checkout) -> None:
        done = checkout.make("venv", OLD="1")
        assert done.returncode == 2
        assert "is not Python 3.10 or newer: make venv PYTHON=" in done.stderr
        assert not checkout.venv().exists()

    def test_what_is_no_environment_is_not_removed(self, checkout: Checkout) -> None:
        checkout.venv().mkdir()
        (checkout.venv() / "thesis.txt").touch()
        done = checkout.make("venv")
        assert done.returncode == 2
        assert ".venv is in the way" in done.stderr
        assert (checkout.venv() / "thesis.txt").exists()

    @pytest.mark.slow
    def test_a_real_python_repairs_it_too(self, checkout: Checkout) -> None:
        checkout.venv().mkdir()
        (checkout.venv() / "pyvenv.cfg").touch()
        done = checkout.make(".venv/.python PYTHON=python3")
        assert done.returncode == 0, done.stderr
        version = subprocess.check_output([checkout.venv() / "bin" / "python", "-m", "pip", "--version"], text=True)
        assert version.startswith("pip ")


class TestIndexes:
    def test_pip_variables_reach_uv(self, checkout: Checkout) -> None:
        pip = {"PIP_FIND_LINKS": " /a  /b", "PIP_INDEX_URL": "file:///i", "PIP_EXTRA_INDEX_URL": "file:///x file:///y"}
        done = checkout.make(
            f"venv UV='{checkout.stub}' TORCH_INDEX=file:///cpu", **pip, PIP_CERT="/c.pem", SSL_CERT_FILE="/own.pem"
        )
        assert done.returncode == 0, done.stderr
        wanted = {"UV_FIND_LINKS=/a,/b", "UV_INDEX_URL=file:///i", "UV_EXTRA_INDEX_URL=file:///x file:///y"}
        assert wanted | {"SSL_CERT_FILE=/own.pem"} <= checkout.environment()
        assert checkout.asked("venv --quiet --seed")
        assert "--default-index file:///cpu" in checkout.asked("pip install")[0]

    def test_what_is_not_set_is_not_passed(self, checkout: Checkout) -> None:
        assert checkout.make(f"venv UV='{checkout.stub}'").returncode == 0
        names = {line.partition("=")[0] for line in checkout.environment()}
        assert not names & {"UV_FIND_LINKS", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"}

    def test_the_index_of_torch_is_remembered(self, checkout: Checkout) -> None:
        assert checkout.make("venv TORCH_INDEX=file:///cpu").returncode == 0
        assert checkout.asked("pip install")[0].endswith("--index-url file:///cpu torch==2.13.0")
        (checkout.folder.parent / "log.env").unlink()
        assert checkout.make("asv").returncode == 0
        assert "PIP_EXTRA_INDEX_URL=file:///cpu " in checkout.environment()


class TestBench:
    def test_its_store_is_its_own(self, checkout: Checkout) -> None:
        done = checkout.make("bench", BENCH_CORE_DATA="/the/user's/own")
        assert done.returncode == 0, done.stderr
        data = checkout.venv() / "data"
        assert checkout.asked(f"-m bench_core prepare --out {data}")
        loads = checkout.asked("bench_core load")
        assert len(loads) == 3
        assert all(f"--data {data} " in line for line in loads)
        assert f"existing:{checkout.venv() / 'bin' / 'python'} " in checkout.asked("asv run")[0]

    @pytest.mark.parametrize(
        ("code", "says", "expected", "error"),
        [
            (0, "fine", 0, ""),
            (2, "one failed", 0, "asv: some benchmarks failed, see "),
            (1, "No benchmarks selected", 2, "asv measured nothing: No benchmarks selected\nmake: *** ["),
            (2, "usage: asv run [-h]", 2, "asv measured nothing: usage: asv run [-h]\nmake: *** ["),
        ],
    )
    def test_exit_codes_of_asv(self, checkout: Checkout, code: int, says: str, expected: int, error: str) -> None:
        done = checkout.make("bench", ASV_CODE=str(code), ASV_SAYS=says)
        assert "the summary" in done.stdout
        assert done.returncode == expected
        assert error in done.stderr
        # make itself always exits with 2; it says what its recipe exited with.
        assert done.stderr.endswith("bench] Error 3\n") == (expected != 0)

    def test_an_edited_tree_is_labelled(self, checkout: Checkout) -> None:
        (checkout.folder / "untracked").touch()
        (checkout.folder / "profiles/asv/landmarks.txt").write_text("asv writes here")
        clean = checkout.make("-n bench").stdout
        assert "-dirty" not in clean
        (checkout.folder / "setup.py").write_text("")
        dirty = checkout.make("-n bench").stdout
        head = git(checkout.folder, "rev-parse", "--short=12", "HEAD")
        machine = re.sub(r"[^A-Za-z0-9._-]", "-", os.uname().nodename)
        assert f"-{head}-{machine}-dirty/memray" in dirty
        assert f'asv run --attribute rounds=1 --show-stderr --machine "{machine}-dirty"' in dirty
        assert "-dirty" not in checkout.make("-n bench", BENCH_MACHINE="box").stdout
        # asv builds each commit from git: there the tree does not count.
        assert f'--machine "{machine}" "HEAD^!"' in checkout.make("-n asv").stdout

    @pytest.mark.parametrize("target", ["bench", "memray", "asv"])
    def test_without_git_or_a_commit(self, bare: Checkout, target: str) -> None:
        for prepare in ([], ["init", "-q"]):
            if prepare:
                git(bare.folder, *prepare)
            done = bare.make(target, GIT_CEILING_DIRECTORIES=str(bare.folder.parent))
            assert done.returncode == 2
            assert done.stderr.count("\n") == 1
            assert "this is no git checkout with a commit" in done.stderr
        assert not bare.venv().exists()

    def test_in_a_folder_of_another_checkout(self, checkout: Checkout) -> None:
        inner = Path(shutil.copytree(checkout.folder, checkout.folder / "inner", ignore=shutil.ignore_patterns(".git")))
        done = Checkout(inner, checkout.stub, checkout.run).make("bench")
        assert done.returncode == 2
        assert "this is no git checkout" in done.stderr


class TestMemray:
    def test_captures_counts_and_limits(self, checkout: Checkout) -> None:
        done = checkout.make("memray")
        assert done.returncode == 0, done.stderr
        assert "the summary" in done.stdout
        (capture,) = checkout.asked("-m memray run")
        assert "--follow-fork" in capture
        assert "--aggregate" not in capture
        (counts,) = checkout.asked("-m asv run")
        assert counts.endswith(r"--bench ^(allocations|worker_memory.Allocations)\.")
        assert checkout.asked("-m pytest") == ["python -m pytest tests/bench_core/test_loader_memory.py"]

    def test_a_count_that_fails_ends_it(self, checkout: Checkout) -> None:
        done = checkout.make("memray", ASV_CODE="2", ASV_SAYS="failed")
        assert done.returncode == 2
        assert not checkout.asked("-m pytest")


class TestAsv:
    @pytest.mark.parametrize(
        ("commits", "expected"),
        [
            ("HEAD^!", "1 commits in HEAD^!: expect about 5 minutes"),
            ("HEAD~1..HEAD", "1 commits in HEAD~1..HEAD: expect about 5 minutes"),
            ("HEAD", "1 commits in HEAD: expect about 5 minutes"),
            ("main", "2 commits in main: expect about 9 minutes"),
            ("landmarks", "4 commits in landmarks: expect about 17 minutes"),
            ("ALL", "unknown number of commits in ALL"),
            ("HASHFILE:profiles/asv/landmarks.txt", "unknown number of commits in HASHFILE:"),
        ],
    )
    def test_it_says_how_long_it_takes(self, checkout: Checkout, commits: str, expected: str) -> None:
        done = checkout.make(f"asv 'RANGE={commits}'")
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
        machine, measure = checkout.asked("-m asv")
        assert machine.startswith("python -m asv machine --yes")
        given = "HASHFILE:profiles/asv/landmarks.txt" if commits == "landmarks" else commits
        assert measure.endswith(f" {given}")

    def test_it_counts_along_first_parents_as_asv_does(self, checkout: Checkout) -> None:
        git(checkout.folder, "checkout", "-q", "-b", "side", "HEAD~1")
        git(checkout.folder, "commit", "-q", "--allow-empty", "-m", "aside")
        git(checkout.folder, "checkout", "-q", "main")
        git(checkout.folder, "merge", "-q", "--no-ff", "-m", "merge", "side")
        assert "3 commits in main:" in checkout.make("asv RANGE=main").stdout

    def test_it_names_a_shallow_clone(self, checkout: Checkout) -> None:
        shallow = checkout.folder.parent / "shallow"
        subprocess.run(["git", "clone", "-q", "--depth", "1", checkout.folder.as_uri(), str(shallow)], check=True)
        done = Checkout(shallow, checkout.stub, checkout.run).make("asv")
        assert done.returncode == 2
        assert "this is a shallow clone" in done.stderr
        assert "git fetch --unshallow" in done.stderr


def test_clean_removes_what_was_built_and_nothing_else(checkout: Checkout) -> None:
    assert checkout.make("venv").returncode == 0
    for name in (".asv/env/x", "build/x", "dist/x", "bench_core.egg-info/x", "bench_core/_voxelizer.abi3.so"):
        (checkout.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout.folder / name).touch()
    (checkout.folder / "bench_core" / "mine.py").touch()
    assert checkout.make("clean").returncode == 0
    assert git(checkout.folder, "status", "--porcelain", "--ignored").splitlines() == ["?? bench_core/"]
    assert [path.name for path in (checkout.folder / "bench_core").iterdir()] == ["mine.py"]


def test_make_test_is_what_ci_runs(checkout: Checkout) -> None:
    """These very tests run inside it, so that it is followed, not run again."""
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("\nmake test")
    assert checkout.make("test").returncode == 0
    for tool in ("ruff check .", "ruff format --check .", "mypy", "lint-imports", "python -m pytest"):
        assert checkout.asked(tool)


def test_one_process_runs_all_tests_where_it_is_asked_to(checkout: Checkout) -> None:
    assert checkout.make("pytest PYTEST_OPTIONS=").returncode == 0
    assert checkout.asked("-m pytest") == ["python -m pytest"]


def test_help_names_the_targets(checkout: Checkout) -> None:
    shown = checkout.make("").stdout
    for target in ("venv", "bench", "memray", "test", "sanitize", "fuzz", "asv", "clean"):
        assert f"make {target}" in shown
