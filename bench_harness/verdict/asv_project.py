"""The asv project of a comparison, through asv's own Python API: configuration, commits, and an environment per side.

asv takes its configuration's folder for the working folder, and logs to Python's root logger.
"""

from __future__ import annotations

import contextlib
import copy
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_harness.errors import ConfigError, CouldNotMeasureError, UsageError
from bench_harness.git import git_output
from bench_harness.optional import require
from bench_harness.verdict.asv_messages import asv_errors, last_lines, one_line, quiet, reason, told

CONFIG_NAMES = ("asv.conf.json", "asv.conf.jsonc")
FOLDERS = ("compare-a", "compare-b")  # below the configuration's env_dir


@dataclass(frozen=True)
class Commit:
    """A commit of the project: `label` is what the user called it."""

    hash: str
    label: str


@dataclass(frozen=True)
class Installed:
    """A commit in its environment, or the reason why it could not be built.

    Args:
        environment: asv's Environment.
        seconds: building took, the environment included; 0 where all was there already.
        failure: one line; None: it is installed.
        log: the last lines of the commands that failed.
    """

    environment: Any
    seconds: float
    failure: str | None = None
    log: tuple[str, ...] = ()

    def start(self, arguments: list[str], cwd: str) -> subprocess.Popen[bytes]:
        """Start the environment's Python as asv does, with its variables; the standard output is a pipe."""
        variables = {**os.environ, **self.environment.env_vars}
        started: subprocess.Popen[bytes] = self.environment.run(
            arguments, cwd=cwd, env=variables, redirect_stderr=True, return_popen=True, dots=False
        )
        return started


class Project:
    """One asv.conf.json."""

    def __init__(self, config: Path | None = None) -> None:
        """Read the configuration; None: the one in the working folder.

        Raises:
            ConfigError: there is none, or it is not one that two commits can be compared with.
            MissingPackageError: asv is not installed.
        """
        path = _config_path(config)
        self.path, self.folder = path, path.parent.resolve()
        with self.inside(), asv_errors(f"{path}: not an asv configuration"):
            self.conf = require("asv.config", "asv").Config.load(path.name)
            manager = require("asv.plugin_manager", "asv").plugin_manager  # registers asv's kinds of environments
            for plugin in self.conf.plugins:
                manager.import_plugin(plugin)
        self.conf.benchmark_dir = str(self.folder / self.conf.benchmark_dir)
        with asv_errors(f"{path}: benchmark_dir"):
            require("asv.benchmarks", "asv").Benchmarks.check_tree(self.conf.benchmark_dir)
        with self.inside(), asv_errors(f"{path}: repo"):
            self.repo = require("asv.repo", "asv").get_repo(self.conf)
            self.repo.pull()

    def commit(self, name: str) -> Commit:
        """Return the commit of a hash, branch, tag or expression such as HEAD~1.

        Raises:
            UsageError: there is none.
        """
        module = require("asv.util", "asv")
        unknown = require("asv.repo", "asv").NoSuchNameError
        try:
            with self.inside(), quiet():
                found = str(self.repo.get_hash_from_name(name))
        except (unknown, module.ProcessError) as error:
            where = f"the repository of {self.path.name} ({self.conf.repo})"
            raise UsageError(f"'{name}' is no commit of {where}; in a shallow clone: git fetch --unshallow") from error
        return Commit(found, found[:12] if found.startswith(name) else name)

    def environments(self, folder: str, name: str | None = None) -> list[Any]:
        """Return asv's environments below `folder`, those of the matrix or the one that `name` says.

        Raises:
            ConfigError, UsageError: environment_type is missing, cannot hold a commit, or `name` is none.
            CouldNotMeasureError: none can be made here.
        """
        conf = copy.copy(self.conf)
        conf.env_dir = str(Path(self.conf.env_dir, folder))
        if not conf.environment_type:
            raise ConfigError(f'{self.path}: environment_type is missing, for example "virtualenv"; asv needs it too')
        with self.inside(), quiet() as said, asv_errors(f"{self.path}: environments"):
            get = require("asv.environment", "asv").get_environments
            found = list(get(conf, [name] if name else None))
        for environment in found:
            if not environment.can_install_project():
                raise UsageError(
                    f"environment_type 'existing' of {self.path.name} holds one installed state, not two commits; "
                    "set another (virtualenv, conda, uv), or compare commands with --a and --b"
                )
        if not found and name:
            raise UsageError(f"--environment {name} is no environment of {self.path.name}{told(said)}")
        if not found:
            raise CouldNotMeasureError(f"no environment of {self.path.name} can be made here{told(said)}")
        return found

    def place(self, base: Commit, head: Commit, name: str | None) -> tuple[Any, Any]:
        """Return an environment per side: the folders are swapped where that saves building a commit again."""
        first, second = (self.environments(folder, name)[0] for folder in FOLDERS)
        held = first.installed_commit_hash, second.installed_commit_hash
        kept = (held[0] == base.hash) + (held[1] == head.hash)
        swapped = (held[1] == base.hash) + (held[0] == head.hash)
        return (second, first) if swapped > kept else (first, second)

    def install(self, environment: Any, commit: Commit, say: Callable[[str], None]) -> Installed:
        """Make the environment and build the commit into it, unless both are there.

        Raises:
            CouldNotMeasureError: the environment itself cannot be made, whatever the commit.
        """
        if environment.check_presence() and environment.installed_commit_hash == commit.hash:
            return Installed(environment, 0.0)
        began = time.perf_counter()
        place = os.path.relpath(environment._path)
        with self.inside(), quiet():
            if not environment.check_presence():
                say(f"making the environment {environment.name} in {place}")
            with asv_errors(f"the environment {environment.name} cannot be made", CouldNotMeasureError):
                environment.create()
            say(f"building {commit.label} in {place}")
            failure, log = self._built(environment, commit)
        return Installed(environment, time.perf_counter() - began, failure, log)

    def _built(self, environment: Any, commit: Commit) -> tuple[str | None, tuple[str, ...]]:
        module = require("asv.util", "asv")
        try:
            environment.install_project(self.conf, self.repo, commit.hash)
        except module.ProcessError as error:
            log = last_lines(f"{error.stdout}\n{error.stderr}")
            command = " ".join(os.path.basename(word) for word in error.args[:4])  # noqa: PTH119  (words, not paths)
            timed_out = error.retcode == module.TIMEOUT_RETCODE
            how = f"took over {self.conf.install_timeout:g} s" if timed_out else f"exited with {error.retcode}"
            return f"it cannot be built: {command} ... {how} ({reason(log)})", log
        except module.UserError as error:
            return f"it cannot be built: {one_line(error)}", ()
        return None, ()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other comparisons out of the environments.

        Raises:
            UsageError: there is one in them.
        """
        folder = self.folder / self.conf.env_dir
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "compare.lock").open("w") as lock:
            try:
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except ImportError:
                pass  # Windows
            except OSError as error:
                where = os.path.relpath(folder)
                raise UsageError(f"another bench compare is using the environments in {where}; wait for it") from error
            yield

    def changed_benchmarks(self, head: Commit) -> int:
        """Return how many files of the benchmark folder differ between head and the working tree that is run."""
        listed = git_output(self.folder, "diff", "--name-only", head.hash, "--", self.conf.benchmark_dir)
        return len((listed or "").splitlines())

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Work in the folder of the configuration, as asv does."""
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            yield
        finally:
            os.chdir(before)


def _config_path(config: Path | None) -> Path:
    if config is not None:
        if not config.is_file():
            raise ConfigError(f"{config}: no such file; give the asv configuration with --asv-config")
        return config
    for name in CONFIG_NAMES:
        if Path(name).is_file():
            return Path(name)
    raise ConfigError(
        f"no {CONFIG_NAMES[0]} here; work in the folder that has one, name it with --asv-config, "
        "or compare two commands with --a and --b"
    )
