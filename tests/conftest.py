"""Settings that hold for every test: deterministic property tests, no leftovers in the user's cache, no user's git."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Two processes of tests, each with as many threads of torch as there are cores, would wait for each other most of the
# time. Set before anything imports torch or NumPy; what a test starts inherits it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("repository", derandomize=True, deadline=None)
settings.load_profile("repository")

GIT_SETTINGS = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    # A container often mounts a checkout of another owner; what trusts it stands in the settings left out here.
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.invalid",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.invalid",
}


@pytest.fixture(scope="session", autouse=True)
def _own_git_settings() -> Iterator[None]:
    """No test depends on the user's git settings, or on the git hook that may have started it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
            patch.delenv(name, raising=False)
        for name, value in GIT_SETTINGS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's prepared data."""
    monkeypatch.setenv("BENCH_CORE_DATA", str(tmp_path_factory.getbasetemp() / "bench_core_data"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).parent.parent
