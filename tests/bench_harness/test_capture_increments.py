"""What running processes dump: the functions, or samples, that have changed since a boundary, read as the whole."""

from __future__ import annotations

import cProfile
import marshal
import pstats
import time
from pathlib import Path

import pytest

from bench_harness.capture.engines import make_engine
from bench_harness.capture.plan import Plan
from bench_harness.capture.runtime import ProcessCapture
from bench_harness.profiles import statistics
from bench_harness.segments import PROFILE, STACKS, Identity, read_stacks, read_statistics

pytestmark = pytest.mark.timeout(60)


def twice(number: int) -> int:
    return sum((number, number))


def once_more(number: int) -> int:
    return twice(number) + twice(number)


def written(folder: Path, stem: str, content: tuple[str, bytes] | None) -> Path:
    assert content is not None
    path = folder / f"{stem}{content[0]}"
    path.write_bytes(content[1])
    return path


def test_the_table_is_what_pstats_makes(tmp_path: Path) -> None:
    engine = make_engine("cprofile", 0.001)
    engine.start()
    for number in range(20):
        once_more(number)
    engine.stop()
    ours = read_statistics(written(tmp_path, "main", engine.content()))
    profile: cProfile.Profile = vars(engine)["_profile"]
    profile.snapshot_stats()
    assert ours == vars(profile)["stats"]
    row = ours[(__file__, twice.__code__.co_firstlineno, "twice")]
    assert row[:2] == (40, 40)
    assert row[4][(__file__, once_more.__code__.co_firstlineno, "once_more")][:2] == (40, 40)
    stats = pstats.Stats(str(tmp_path / f"main{PROFILE}"))  # and pstats reads it
    assert stats.total_calls == sum(row[1] for row in ours.values())  # type: ignore[attr-defined]


def test_functions_of_one_name_and_line_are_one_row(tmp_path: Path) -> None:
    first, second = eval("(lambda: 1, lambda: 2)", {})
    engine = make_engine("cprofile", 0.001)
    engine.start()
    first()
    before = engine.freeze()
    second()
    second()
    engine.stop()
    written(tmp_path, "main.setup", before())
    for content in (engine.content(), engine.changes(None), engine.changes("setup")):
        assert read_statistics(written(tmp_path, "main", content))[("<string>", 1, "<lambda>")][1] == 3


def test_changed_functions_upon_the_frozen_ones_are_the_whole(tmp_path: Path) -> None:
    engine = make_engine("cprofile", 0.001)
    engine.start()
    for number in range(5):
        once_more(number)
    sorted([3, 1, 2])
    frozen = engine.freeze()
    for number in range(3):
        twice(number)
    engine.stop()
    written(tmp_path, "main.setup", frozen())
    whole = read_statistics(written(tmp_path, "whole", engine.content()))
    path = written(tmp_path, "main", engine.changes("setup"))
    assert read_statistics(path) == whole
    base, codes, *_ = marshal.loads(path.read_bytes())
    assert base == "setup"
    assert {*codes[3::4]} >= {"twice", "<built-in method builtins.sum>"}
    assert not {*codes[3::4]} & {"once_more", "<built-in method builtins.sorted>"}
    frozen_row = read_statistics(tmp_path / f"main.setup{PROFILE}")[(__file__, twice.__code__.co_firstlineno, "twice")]
    assert frozen_row[1] == 10  # of the moment of freezing, although it was made later


def test_a_lost_boundary_is_told(tmp_path: Path) -> None:
    path = tmp_path / f"main{PROFILE}"
    path.write_bytes(marshal.dumps(("setup", [], [], [])))
    with pytest.raises(statistics.RecordError, match="damaged statistics"):
        statistics.load_profile(path)


def test_samples_upon_the_frozen_ones_are_the_whole(tmp_path: Path) -> None:
    pytest.importorskip("pyinstrument")
    engine = make_engine("pyinstrument", 0.001)
    engine.start()
    spin(0.05)
    frozen = engine.freeze()
    spin(0.05)
    engine.stop()
    written(tmp_path, "main.setup", frozen())
    whole = statistics.fold(read_stacks(written(tmp_path, "whole", engine.content())))
    path = written(tmp_path, "main", engine.changes("setup"))
    assert statistics.fold(read_stacks(path)) == pytest.approx(whole)
    before = statistics.fold(read_stacks(tmp_path / f"main.setup{STACKS}"))
    assert 0 < sum(before.values()) < sum(whole.values())


def spin(seconds: float) -> None:
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        twice(1)


@pytest.mark.parametrize("engine", ["cprofile", "pyinstrument"])
def test_a_running_process_can_be_read_at_any_time(tmp_path: Path, engine: str) -> None:
    if engine == "pyinstrument":
        pytest.importorskip(engine)
    capture = ProcessCapture(Plan(str(tmp_path), engine=engine, dump_every_s=1000), Identity("main"))
    ending = PROFILE if engine == "cprofile" else STACKS
    capture.start()
    try:
        spin(0.03)
        capture.dump()
        sizes = [statistics.size(statistics.load(tmp_path / f"main{ending}"))]
        for boundary in ("setup", "first"):
            capture.boundary(boundary)
            assert not (tmp_path / f"main.{boundary}{ending}").exists()  # the captured thread is not held up
            spin(0.03)
            capture.dump()
            assert (tmp_path / f"main.{boundary}{ending}").exists()
            sizes.append(statistics.size(statistics.load(tmp_path / f"main{ending}")))
    finally:
        capture.finish("exit")
    sizes.append(statistics.size(statistics.load(tmp_path / f"main{ending}")))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[2]
    if engine == "cprofile":
        pstats.Stats(str(tmp_path / f"main{PROFILE}"))  # the last dump is what pstats reads
    steady = statistics.subtract(
        statistics.load(tmp_path / f"main{ending}"), statistics.load(tmp_path / f"main.first{ending}")
    )
    assert steady
