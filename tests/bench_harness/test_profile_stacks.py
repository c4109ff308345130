"""Sampled stacks as files: speedscope's format, pyinstrument's page, and what py-spy writes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_harness.errors import RecordError
from bench_harness.profiles import artifacts, statistics
from bench_harness.profiles.flame_page import MAX_DEPTH, render_page
from bench_harness.profiles.merging import merge
from bench_harness.profiles.pruning import CUT, prune
from bench_harness.profiles.speedscope import SCHEMA, speedscope_document, stacks_by_process
from bench_harness.profiles.statistics import Folded, Function
from bench_harness.segments import FOLDER, Identity, Stacks, State, announce, write_document

MAIN: Function = ("/own/train.py", 1, "main")
STEP: Function = ("/own/train.py", 9, "step")
LOAD: Function = ("/own/data.py", 4, "load")
STACKS: dict[str, Folded] = {"main": {(MAIN, STEP): 1.5, (MAIN,): 0.5}, "worker-0": {(LOAD,): 0.25, (): 0.25}}


def check_speedscope(document: Any) -> None:
    """Raise AssertionError where a document breaks the rules of speedscope's file format."""
    assert document["$schema"] == SCHEMA
    assert set(document) <= {"$schema", "shared", "profiles", "name", "activeProfileIndex", "exporter"}
    frames = document["shared"]["frames"]
    for frame in frames:
        assert set(frame) <= {"name", "file", "line", "col"}
        assert isinstance(frame["name"], str)
        assert isinstance(frame.get("file", ""), str)
        assert isinstance(frame.get("line", 0), int)
    assert 0 <= document["activeProfileIndex"] < len(document["profiles"])
    for profile in document["profiles"]:
        assert profile["type"] == "sampled"
        assert profile["unit"] in ("none", "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes")
        assert isinstance(profile["name"], str)
        assert len(profile["samples"]) == len(profile["weights"])
        assert profile["endValue"] - profile["startValue"] == pytest.approx(sum(profile["weights"]))
        assert all(weight >= 0 for weight in profile["weights"])
        assert all(isinstance(index, int) and 0 <= index < len(frames) for each in profile["samples"] for index in each)


def test_speedscope_has_a_profile_per_process_and_shared_frames() -> None:
    document = json.loads(json.dumps(speedscope_document(STACKS, "run")))
    check_speedscope(document)
    assert [profile["name"] for profile in document["profiles"]] == ["main", "worker-0"]
    assert [frame["name"] for frame in document["shared"]["frames"]] == ["main", "step", "load"]
    assert document["profiles"][0]["weights"] == [0.5, 1.5]


def page_data(page: str) -> Any:
    """Return what the page of pyinstrument shows."""
    text = page.partition("const sessionData = ")[2]
    return json.JSONDecoder().raw_decode(text)[0]


def rendered(stacks: dict[str, Folded]) -> Any:
    return page_data(render_page(stacks, title="run", seconds=2.5, cpu_s=2.0, interval_s=0.25))


def test_the_page_has_a_branch_per_process() -> None:
    tree = rendered(STACKS)["frame_tree"]
    assert [child["identifier"].split("\0")[0] for child in tree["children"]] == ["main", "worker-0"]
    assert tree["time"] == 2.5
    inner = tree["children"][0]["children"]
    assert [each["identifier"] for each in inner] == ["main\0/own/train.py\x001"]
    assert {each["identifier"].split("\0")[0] for each in inner[0]["children"]} == {"[self]", "step"}


def test_one_process_alone_and_deep_recursion_are_shown() -> None:
    deep: Folded = {tuple(("/own/a.py", line, "recurse") for line in range(5000)): 1.0}
    tree = rendered({"main": deep})["frame_tree"]
    depth = 0
    while tree["children"]:
        tree, depth = tree["children"][0], depth + 1
    assert MAX_DEPTH <= depth <= MAX_DEPTH + 1


def sampled_run(tmp_path: Path, engine: str) -> Path:
    folder = tmp_path / FOLDER
    folder.mkdir()
    for number, (label, folded) in enumerate(STACKS.items()):
        identity = Identity(
            "main" if number == 0 else f"main.{number}", "main" if number == 0 else "process", name=label
        )
        announce(folder, identity)
        write_document(folder / f"{identity.serial}.json", State(identity, engine, final=True, wall_s=2.0, cpu_s=1.0))
        functions = list(dict.fromkeys(function for stack in folded for function in stack))
        samples = [[functions.index(function) for function in stack] for stack in folded]
        frames = [(name, file, line) for file, line, name in functions]
        write_document(folder / f"{identity.serial}.stacks.json", Stacks(0.25, frames, samples, list(folded.values())))
    return tmp_path


@pytest.mark.parametrize("engine", ["pyinstrument", "py-spy"])
def test_artifacts_of_sampling_engines(tmp_path: Path, engine: str) -> None:
    run = sampled_run(tmp_path, engine)
    merged = merge(run)
    assert merged.artifacts["merged"] == "merged.speedscope.json"
    assert ("html" in merged.artifacts) == (engine == "pyinstrument")
    assert not (run / "merged.prof").exists()
    check_speedscope(json.loads((run / "merged.speedscope.json").read_text()))
    for files in merged.files.values():
        check_speedscope(json.loads((run / files["speedscope"]).read_text()))
        assert "prof" not in files
    if engine == "pyinstrument":
        data = page_data((run / "merged.html").read_text())
        assert data["session"]["cpu_time"] == 2.0
        assert len(data["frame_tree"]["children"]) == 2


def test_real_stacks_of_pyinstrument_are_shown() -> None:
    pyinstrument = pytest.importorskip("pyinstrument")
    profiler = pyinstrument.Profiler(interval=0.0005)
    with profiler:
        sum(i * i for i in range(300_000))
    folded: Folded = {}
    for stack, seconds in profiler.last_session.frame_records:
        parts = (frame.partition("\x01")[0].split("\0") for frame in stack)
        key = tuple((file, int(line), name) for name, file, line in parts)
        folded[key] = folded.get(key, 0.0) + seconds
    tree = rendered({"main": folded})["frame_tree"]
    assert tree["time"] == pytest.approx(sum(folded.values()), rel=1e-3)


functions = st.tuples(st.just("/own/a.py"), st.integers(0, 3), st.just("f"))
foldeds = st.dictionaries(st.lists(functions, max_size=6).map(tuple), st.integers(1, 9).map(float), max_size=20)


@given(foldeds, st.integers(0, 30))
@settings(max_examples=50, deadline=None)
def test_pruning_keeps_the_time_and_the_frequent_stacks(folded: Folded, max_nodes: int) -> None:
    pruned = prune(folded, max_nodes)
    assert sum(pruned.values()) == sum(folded.values())
    nodes = {stack[:end] for stack in pruned for end in range(1, len(stack) + 1) if stack[end - 1] != CUT}
    assert len(nodes) <= max_nodes
    whole = {stack: weight for stack, weight in pruned.items() if CUT not in stack}
    assert all(folded[stack] == weight for stack, weight in whole.items())
    everywhere = {stack[:end] for stack in folded for end in range(1, len(stack) + 1)}
    if len(everywhere) <= max_nodes:
        assert pruned == folded


def test_large_files_of_stacks_are_cut_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    announce(folder, Identity("main"))
    write_document(folder / "main.json", State(Identity("main"), "pyinstrument", final=True, wall_s=9.0))
    frames = [(f"f{number}", "/own/a.py", number) for number in range(600)]
    samples = [[0, number, 599 - number] for number in range(600)]
    write_document(folder / "main.stacks.json", Stacks(0.01, frames, samples, [0.01] * 599 + [5.0]))
    monkeypatch.setattr(artifacts, "STACKS_BYTES", 20_000)
    merged = merge(tmp_path)
    assert (tmp_path / "merged.speedscope.json").stat().st_size <= 20_000
    assert [line.partition(":")[0] for line in merged.warnings] == ["merged.speedscope.json", "merged.html"]
    document = json.loads((tmp_path / "merged.speedscope.json").read_text())
    check_speedscope(document)
    assert document["profiles"][0]["endValue"] == pytest.approx(599 * 0.01 + 5.0)
    assert {"f599", "[rare stacks]"} <= {frame["name"] for frame in document["shared"]["frames"]}


def spied(**process: Any) -> dict[str, Any]:
    frames = [
        {"name": 'process 7:"python train.py"', "file": "", "line": 0, "col": None},
        {"name": 'process 8:"python\ntrain.py"', "file": "", "line": 0, "col": None},
        {"name": "main", "file": "/own/train.py", "line": 1, "col": None},
        {"name": "Numbers.__getitem__", "file": "/own/data.py", "line": 4, "col": None},
        {"name": "Thread.run", "file": "/usr/lib/python3.11/threading.py", "line": 982, "col": None},
    ]
    profiles = [
        {"name": 'Process 7 Thread 7 ""', "samples": [[0], [0, 2], [0, 2]], "weights": [0.01, 0.01, 0.02]},
        {"name": 'Process 8 Thread 8 "MainThread"', "samples": [[0, 1, 2, 3]], "weights": [0.01]},
        {"name": 'Process 8 Thread 9 "Thread-1 (_serve)"', "samples": [[0, 1, 4]], "weights": [0.01]},
        {"name": "Process 10", "samples": [[2]], "weights": [0.01]},
    ]
    return {"$schema": SCHEMA, "profiles": profiles, "shared": {"frames": frames}, **process}


def test_py_spy_s_threads_and_processes(tmp_path: Path) -> None:
    path = tmp_path / "spy.json"
    path.write_text(json.dumps(spied()))
    stacks = stacks_by_process(path)
    assert set(stacks) == {7, 8, 10}
    main: Function = ("/own/train.py", 1, "main")
    thread: Function = ("<thread>", 0, "thread Thread-1 (_serve)")
    assert statistics.fold(stacks[7]) == {(): 0.01, (main,): 0.03}
    assert stacks[7].interval_s == 0.01
    assert statistics.fold(stacks[8]) == {
        (main, ("/own/data.py", 4, "Numbers.__getitem__")): 0.01,
        (thread, ("/usr/lib/python3.11/threading.py", 982, "Thread.run")): 0.01,
    }


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", json.dumps(spied(shared={"frames": []})), json.dumps(spied(profiles=[{"name": "x"}]))],
)
def test_what_py_spy_did_not_write_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "spy.json"
    path.write_text(content)
    with pytest.raises(RecordError, match=r"spy\.json: not a speedscope file of py-spy"):
        stacks_by_process(path)
    with pytest.raises(RecordError, match=r"gone\.json: not a speedscope file"):
        stacks_by_process(tmp_path / "gone.json")


SPIED_SCRIPT = """
import multiprocessing, os, time
def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))
if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=spin, args=(1.0,))
    child.start()
    with open("pids", "w") as file:  # py-spy itself writes to stdout
        file.write(f"{os.getpid()} {child.pid}")
    spin(1.0)
    child.join()
"""


@pytest.mark.timeout(60)
def test_real_stacks_of_py_spy(tmp_path: Path) -> None:
    spy = shutil.which("py-spy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if spy is None:
        pytest.skip("py-spy is not installed")
    (tmp_path / "spin.py").write_text(SPIED_SCRIPT)
    options = ["--subprocesses", "--function", "--idle", "--format", "speedscope", "--output", "spy.json"]
    command = [spy, "record", *options, "--", sys.executable, "spin.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    if done.returncode and "ermission" in done.stderr:
        pytest.skip("py-spy may not look into processes here")
    stacks = stacks_by_process(tmp_path / "spy.json")
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        names = {name for name, _, _ in stacks[pid].frames}
        assert "spin" in names
        assert not any(name.startswith("process ") for name in names)
        table = statistics.stack_costs(statistics.fold(stacks[pid]))
        # One row per function: --function says where it is defined.
        assert len([function for function in table if function[2] == "spin"]) == 1
