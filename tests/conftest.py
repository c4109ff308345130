"""Settings that hold for every test: deterministic property tests, one thread, no leftovers in the user's cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repository", derandomize=True, deadline=None)
settings.load_profile("repository")


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's prepared data."""
    monkeypatch.setenv("BENCH_CORE_DATA", str(tmp_path_factory.getbasetemp() / "bench_core_data"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).parent.parent
