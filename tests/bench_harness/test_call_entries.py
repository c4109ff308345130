"""Reading cProfile's counts: the reader in C, compiled here, against Profiler.getstats."""

from __future__ import annotations

import _lsprof
import cProfile
import json
import sys
import time
from types import ModuleType
from typing import Any

import pytest
from compiling import compiled

from bench_harness import call_entries

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(sys.version_info >= (3, 14), reason="the layout is known for CPython 3.10 to 3.13"),
]


@pytest.fixture(scope="module")
def c_module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return compiled("_call_entries", tmp_path_factory.mktemp("call_entries"))


@pytest.fixture(params=["C", "Python"])
def reader(request: pytest.FixtureRequest, c_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    module = c_module if request.param == "C" else None
    monkeypatch.setattr(call_entries, "compiled", lambda: module)


def fall(depth: int) -> int:
    return fall(depth - 1) if depth else sum((1, 2))


def profiled() -> cProfile.Profile:
    profile = cProfile.Profile()
    profile.runcall(lambda: [fall(depth) for depth in range(5)] + [json.loads("[1, {}]")])
    return profile


def test_both_read_the_same(c_module: ModuleType) -> None:
    profile = profiled()
    in_c = c_module.read(profile, _lsprof.Profiler, None, True)
    in_python = call_entries._read(profile, None, keep=True)
    assert in_c == in_python
    codes, _, _, calls = in_c
    assert {"fall", "<built-in method builtins.sum>", "loads"} <= {*codes[3::4]}
    assert calls[id(fall.__code__)] == 15


@pytest.mark.usefixtures("reader")
def test_only_what_returned_since() -> None:
    profile = profiled()
    *_, before = call_entries.read(profile, keep=True)
    assert call_entries.read(profile, before)[0] == []
    profile.runcall(fall, 1)
    codes, _, _, calls = call_entries.read(profile, before)
    assert {*codes[3::4]} >= {"fall", "<built-in method builtins.sum>"}
    assert "loads" not in codes[3::4]
    assert calls is None


@pytest.mark.usefixtures("reader")
def test_the_table_is_that_of_pstats() -> None:
    profile: Any = profiled()
    table = call_entries.table_of(profile)
    profile.snapshot_stats()
    assert table == profile.stats
    key = (__file__, fall.__code__.co_firstlineno, "fall")
    assert table[key][:2] == (5, 15)
    assert all(type(count) is int for count in table[key][:2])


@pytest.mark.parametrize("profile", [cProfile.Profile(timer=time.time), _lsprof, 3])
def test_what_it_cannot_read_is_refused(c_module: ModuleType, profile: Any) -> None:
    with pytest.raises(TypeError, match="of an unknown layout, or with a timer of its own"):
        c_module.read(profile, _lsprof.Profiler, None, False)


def test_a_reader_that_reads_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        read = staticmethod(lambda *_: ([], b"", b"", {}))

    monkeypatch.setitem(sys.modules, "bench_harness._call_entries", Wrong)
    monkeypatch.setattr("bench_harness._call_entries", Wrong, raising=False)
    call_entries.compiled.cache_clear()
    try:
        assert call_entries.compiled() is None
    finally:
        call_entries.compiled.cache_clear()


def test_a_file_of_a_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        call_entries.Entries().put((None, [1, "~", 0, "f"], b"\0" * 24, b""))
