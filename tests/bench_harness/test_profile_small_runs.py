"""Merging runs of one or two processes, written by hand: each case that a merge must tell apart."""

import marshal
from pathlib import Path
from typing import Any

import pytest

from bench_harness.errors import NothingMeasuredError
from bench_harness.profiles import statistics
from bench_harness.profiles.log_events import count_log_events
from bench_harness.profiles.merging import merge
from bench_harness.profiles.statistics import Entry
from bench_harness.segments import FOLDER, Identity, Stacks, State, announce, write_document


def small_segment(folder: Path, identity: Identity, **state: Any) -> None:
    """A process that called one function once."""
    announce(folder, identity)
    times = (1, 1, 0.5, 0.5)
    (folder / f"{identity.serial}.prof").write_bytes(marshal.dumps({("/own/a.py", 1, "f"): (*times, {})}))
    write_document(
        folder / f"{identity.serial}.json", State(identity, "cprofile", **{"final": True, "wall_s": 1.0, **state})
    )


def test_equal_labels_are_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    small_segment(folder, Identity("main"))
    for number, name in ((1, "load er"), (2, "load/er"), (3, "load er")):
        small_segment(folder, Identity(f"main.{number}", "worker", 0, name, 0, 0))
    merged = merge(tmp_path)
    assert len({files["prof"] for files in merged.files.values()}) == 4
    assert len({row["label"] for row in merged.results()["processes"]}) == 4
    assert (merged.workers["expected"], merged.workers["delivered"]) == (3, 3)
    assert (tmp_path / "merged.txt").read_text().startswith("3 of 3 workers delivered\n")


def test_what_several_processes_tell_is_told_once(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    small_segment(folder, Identity("main"), warnings=["a", "a"])
    for number, line in ((1, "b"), (2, "a"), (3, "a")):
        small_segment(folder, Identity(f"main.{number}", "worker", 0, "train", number, 0), warnings=[line])
    assert merge(tmp_path).warnings == ["main and 2 more: a", "train-worker-1-epoch-0: b"]


def test_a_run_without_batches_is_shown_whole(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    small_segment(tmp_path / FOLDER, Identity("main"))
    merged = merge(tmp_path)
    assert not merged.has_steady
    text = (tmp_path / "merged.txt").read_text()
    assert text.startswith("no worker processes were started\n")
    assert "The whole run: 1 of 1 functions" in text
    assert merged.phase_rows() == [{"process": "main", "setup_s": 1.0, "first_s": 0.0, "steady_s": 0.0}]


def test_main_killed_is_said(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    small_segment(tmp_path / FOLDER, Identity("main"), final=False)
    warnings = merge(tmp_path).warnings
    assert warnings == ["main is partial: captured up to its last dump; functions still open then are not counted"]
    for path in (tmp_path / FOLDER).glob("main.p*"):
        path.unlink()
    assert merge(tmp_path).warnings == ["main left nothing that can be read: ended without a last dump"]


def test_the_engine_none_leaves_no_statistics_and_delivers(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    for identity in (Identity("main"), Identity("main.1", "worker", 0, "loader", 0, 0)):
        announce(tmp_path / FOLDER, identity)
        write_document(
            tmp_path / FOLDER / f"{identity.serial}.json", State(identity, "none", final=True, reason="exit")
        )
    merged = merge(tmp_path)
    assert merged.workers == {"expected": 1, "delivered": 1, "missing": []}
    assert (merged.log_events, merged.functions(), merged.warnings) == (None, [], [])
    assert "merged" not in merged.artifacts


def profile_of(**seconds: float) -> bytes:
    return marshal.dumps({("~", 0, name): (1, 1, own_s, own_s, {}) for name, own_s in seconds.items()})


def test_what_weighs_in_the_steady_state_alone_is_kept(tmp_path: Path) -> None:
    """One function may be nothing beside the imports, and half of each step."""
    (tmp_path / FOLDER).mkdir()
    small_segment(tmp_path / FOLDER, Identity("main"), phases_s={"setup": 99.0, "first": 99.0})
    imports = {"imports": 99.0, "parse": 0.001}
    for ending, times in ((".setup", imports), (".first", imports), ("", imports | {"step": 0.001, "copy": 0.001})):
        (tmp_path / FOLDER / f"main{ending}.prof").write_bytes(profile_of(**times))
    results = merge(tmp_path).results()
    assert [row["name"] for row in results["functions"]] == ["imports", "copy", "step"]
    assert results["functions_left_out"]["rows"] == 1
    assert [row["name"] for row in merge(tmp_path).results(max_rows=2)["functions"]] == ["copy", "step"]


def test_threads_pass_at_the_same_time_and_begin_in_their_phase(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    ends = {"setup": 0.25, "first": 0.5}
    no_callers: dict[Any, Any] = {}
    four_threads = {("/own/a.py", 1, "f"): (4, 4, 0.0, 3.5, no_callers), ("~", 0, "x"): (4, 4, 3.5, 3.5, no_callers)}
    small_segment(tmp_path / FOLDER, Identity("main"))
    small_segment(tmp_path / FOLDER, Identity("main.1", "worker", 0, "loader", 0, 0), phases_s=ends)
    for serial in ("main", "main.1"):
        (tmp_path / FOLDER / f"{serial}.threads.prof").write_bytes(marshal.dumps(four_threads))
    for name in ends:
        (tmp_path / FOLDER / f"main.1.{name}.prof").write_bytes(profile_of())
    merged = merge(tmp_path)
    assert {row["process"]: row["cumtime_s"] for row in merged.functions() if row["name"] == "f"} == {
        "main": 0.5, "workers": 0.5, "main threads": 3.5, "workers threads": 2.0,  # 4 calls in 0.5 s
    }  # fmt: skip
    assert merged.captured()["workers threads"]["steady_seconds"] == 3.5


def test_dumps_at_boundaries_belong_to_no_phase(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    ends, frozen = {"setup": 1.0, "first": 4.0}, {"setup": 2.5, "first": 1.0}
    small_segment(tmp_path / FOLDER, Identity("main"), wall_s=9.0, phases_s=ends, frozen_s=frozen)
    assert merge(tmp_path).phase_rows() == [{"process": "main", "setup_s": 1.0, "first_s": 0.5, "steady_s": 4.0}]


def test_nothing_captured_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NothingMeasuredError, match="no process was captured"):
        merge(tmp_path)


def test_nested_logging_counts_once() -> None:
    writer = "/v/site-packages/torch/utils/tensorboard/writer.py"
    lightning = "/v/site-packages/lightning/fabric/loggers/tensorboard.py"
    once, thrice = (1, 1, 0.0, 0.0), (3, 3, 0.0, 0.0)
    profile = {
        (lightning, 200, "log_metrics"): Entry(once, {("/own/train.py", 1, "step"): once}),
        (writer, 347, "add_scalar"): Entry((4, 4, 0.0, 0.0), {(lightning, 200, "log_metrics"): thrice}),
        (writer, 85, "add_event"): Entry((4, 4, 0.0, 0.0), {}),
        ("/own/loggers.py", 3, "log"): Entry(thrice, {}),
        ("/own/myloggers.py", 3, "log"): Entry(thrice, {}),
    }
    assert count_log_events([profile]) == 2
    assert count_log_events([profile], ["own/loggers.py:log"]) == 5
    assert count_log_events([profile], ["loggers.py:log"]) == 5


def test_sampled_runs_have_no_counts(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    announce(folder, Identity("main"))
    write_document(
        folder / "main.json",
        State(Identity("main"), "py-spy", final=True, wall_s=2.0, phases_s={"setup": 0.5, "first": 1.0}),
    )
    frames = [("train", "/own/train.py", 3), ("load", "/own/train.py", 9)]
    for ending, seconds in ((".setup", 0.5), (".first", 1.0), ("", 2.0)):
        write_document(folder / f"main{ending}.stacks.json", Stacks(0.01, frames, [[0], [0, 1]], [0.25, seconds]))
    merged = merge(tmp_path)
    assert (merged.log_events, merged.artifacts["merged"]) == (None, "merged.speedscope.json")
    rows = {row["name"]: row for row in merged.functions()}
    assert (rows["load"]["calls"], rows["load"]["steady_calls"]) == (None, None)
    assert (rows["load"]["tottime_s"], rows["load"]["steady_tottime_s"]) == (2.0, 1.0)
    assert (rows["train"]["tottime_s"], rows["train"]["cumtime_s"]) == (0.25, 2.25)
    assert "   samples" in (tmp_path / "merged.txt").read_text()
    assert statistics.size(merged.processes[0].stacks or {}) == 2.25


def test_a_forked_process_shows_no_frames_of_its_parent(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    start = ("BaseProcess._bootstrap", "/usr/lib/python3.11/multiprocessing/process.py", 292)
    frames = [("train", "/own/train.py", 3), start, ("load", "/own/train.py", 9), ("thread T", "<thread>", 0)]
    for identity in (Identity("main"), Identity("main.1", "worker", 0, "loader", 0, 0)):
        announce(folder, identity)
        write_document(folder / f"{identity.serial}.json", State(identity, "py-spy", final=True, wall_s=2.0))
        stacks = Stacks(0.01, frames, [[0, 1, 2], [0, 1, 0, 1, 2], [3, 2]], [1.0, 0.5, 0.25])
        write_document(folder / f"{identity.serial}.stacks.json", stacks)
    main, worker = merge(tmp_path).processes
    assert main.stacks is not None
    assert len(main.stacks) == 3
    start_of_worker, load, thread = ((file, line, name) for name, file, line in frames[1:])
    assert worker.stacks == {(start_of_worker, load): 1.5, (thread, load): 0.25}
