"""Adding and subtracting statistics: the same sums as pstats, never negative, and damaged files are named."""

import io
import marshal
import pstats
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_harness.errors import RecordError
from bench_harness.profiles import statistics
from bench_harness.profiles.statistics import Cost, Entry, Folded, Function, Profile, Times
from bench_harness.segments import Stacks

FUNCTIONS: list[Function] = [("a.py", 1, "f"), ("a.py", 9, "g"), ("~", 0, "<built-in method time.sleep>")]
functions = st.sampled_from(FUNCTIONS)
# Whole milliseconds: sums are exact.
times = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99).map(float), st.integers(0, 99).map(float))
profiles = st.dictionaries(functions, st.builds(Entry, times, st.dictionaries(functions, times, max_size=2)))
filled = profiles.filter(bool)  # pstats reads no empty statistics


@given(profiles, profiles, profiles)
@settings(max_examples=50, deadline=None)
def test_adding_is_associative_and_loses_nothing(a: Profile, b: Profile, c: Profile) -> None:
    assert statistics.add([statistics.add([a, b]), c]) == statistics.add([a, statistics.add([b, c])])
    total = statistics.add([a, b, c])
    calls = sum(entry.times[1] for part in (a, b, c) for entry in part.values())
    assert statistics.size(total) == calls


@given(profiles, profiles)
@settings(max_examples=50, deadline=None)
def test_subtracting_undoes_adding(before: Profile, since: Profile) -> None:
    assert statistics.costs(statistics.subtract(statistics.add([before, since]), before)) == statistics.costs(since)


@given(profiles, profiles)
@settings(max_examples=50, deadline=None)
def test_a_difference_is_never_negative(one: Profile, other: Profile) -> None:
    left = statistics.subtract(one, other)
    everything: list[Times] = [entry.times for entry in left.values()]
    everything += [each for entry in left.values() for each in entry.callers.values()]
    assert all(number >= 0 for each in everything for number in each)


def stats_of(path: Path) -> pstats.Stats:
    return pstats.Stats(str(path), stream=io.StringIO())


@given(one=filled, other=filled)
@settings(max_examples=20, deadline=None)
def test_sums_are_those_of_pstats(tmp_path_factory: pytest.TempPathFactory, one: Profile, other: Profile) -> None:
    folder = tmp_path_factory.mktemp("pstats")
    paths = [folder / name for name in ("one.prof", "other.prof", "sum.prof")]
    for path, profile in zip(paths, (one, other, statistics.add([one, other])), strict=True):
        path.write_bytes(statistics.profile_bytes(profile))
    expected = stats_of(paths[0]).add(str(paths[1]))
    assert expected.stats == stats_of(paths[2]).stats  # type: ignore[attr-defined]


def test_addresses_in_names_are_dropped_and_their_entries_added(tmp_path: Path) -> None:
    path = tmp_path / "main.prof"
    stats = {
        ("~", 0, f"<built-in method __new__ of type object at 0x{address}>"): (1, 1, 0.5, 0.5, {("a.py", 1, "f"): 2})
        for address in ("9d7c00", "9d7c10")
    }
    path.write_bytes(marshal.dumps(stats))
    entry = Entry((2, 2, 1.0, 1.0), {("a.py", 1, "f"): (4, 4, 0.0, 0.0)})
    assert statistics.load_profile(path) == {("~", 0, "<built-in method __new__ of type object>"): entry}


def test_a_profile_cut_anywhere_is_named_and_no_crash(tmp_path: Path) -> None:
    whole = statistics.profile_bytes({FUNCTIONS[0]: Entry((1, 1, 0.5, 0.5), {FUNCTIONS[1]: (1, 1, 0.5, 0.5)})})
    path = tmp_path / "main.prof"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(RecordError, match=r"main\.prof: damaged statistics"):
            statistics.load_profile(path)


def test_a_function_is_written_once_however_many_call_it() -> None:
    """Statistics that were read hold equal keys, not the same ones: files would be a quarter larger."""

    def key(number: int) -> Function:
        return ("".join(["a/long/path/to/a/", "module.py"]), number, f"function_{number}")

    edges = {number: {key(caller): (1, 1, 0.5, 0.5) for caller in range(50)} for number in range(50)}
    written = statistics.profile_bytes({key(number): Entry((1, 1, 0.5, 0.5), edges[number]) for number in range(50)})
    assert written.count(b"function_7") == 1
    assert written.count(b"module.py") == 1
    assert marshal.loads(written)[key(7)][4][key(8)] == (1, 1, 0.5, 0.5)


@pytest.mark.parametrize(
    "content", [marshal.dumps([1]), marshal.dumps({1: 2}), marshal.dumps({("a", 1, "f"): 3}), b"{"]
)
def test_what_is_no_profile_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "main.prof"
    path.write_bytes(content)
    with pytest.raises(RecordError, match="damaged statistics"):
        statistics.load_profile(path)


@pytest.mark.parametrize(
    "content",
    [
        '{"interval_s": 0.01, "frames": [], "samples": [[0]], "weights_s": [1]}',
        '{"interval_s": 0.01, "frames": [], "samples": [[0]], "weights_s": []}',
        '{"interval_s": 0.01, "frames": 3, "samples": [], "weights_s": []}',
        '{"frames": []}',
        '{"interval_s',
        "[]",
    ],
)
def test_damaged_stacks_are_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "main.stacks.json"
    path.write_text(content)
    with pytest.raises(RecordError, match=r"main\.stacks\.json: damaged stacks"):
        statistics.load_stacks(path)


def test_a_stack_counts_once_however_often_it_holds_a_function() -> None:
    frames = [("main", "a.py", 1), ("recurse", "a.py", 5), ("leaf", "b.py", 2)]
    stacks = Stacks(0.5, frames, [[0, 1, 1], [0, 1, 1, 2], [0, 1, 1]], [1.0, 0.5, 0.5])
    folded = statistics.fold(stacks)
    assert len(folded) == 2
    assert statistics.stack_costs(folded) == {
        ("a.py", 1, "main"): Cost(None, 0.0, 2.0),
        ("a.py", 5, "recurse"): Cost(None, 1.5, 2.0),
        ("b.py", 2, "leaf"): Cost(None, 0.5, 0.5),
    }


def test_stacks_of_an_earlier_dump_leave_nothing_behind() -> None:
    stack = (FUNCTIONS[0], FUNCTIONS[1])
    earlier: Folded = {stack: 0.1 + 0.2}
    later: Folded = {stack: 0.3, (FUNCTIONS[0],): 1.0}
    assert statistics.subtract(later, earlier) == {(FUNCTIONS[0],): 1.0}
