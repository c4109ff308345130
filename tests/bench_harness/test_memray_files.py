"""Real memray captures of a script that forks, whole, cut, empty and never closed."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench_harness.memory.memray_files import find_captures, read_folder, short_path

pytest.importorskip("memray")

FORKING = """
import os, signal, sys
keep = bytearray(3_000_000)
def allocate(size):
    return bytearray(size)
for size in (1_000_000, 2_000_000):
    pid = os.fork()
    if pid == 0:
        held = allocate(size)
        if size == 2_000_000 and sys.argv[1:]:
            more = [bytearray(1000) for _ in range(50_000)]
            os.kill(os.getpid(), signal.SIGKILL) if sys.argv[1] == "kill" else os._exit(0)
        sys.exit(0)
    os.waitpid(pid, 0)
"""


def capture(folder: Path, *arguments: str, options: tuple[str, ...] = ()) -> Path:
    """Run the forking script under memray; return the folder of captures."""
    captures = folder / "memray"
    captures.mkdir()
    (folder / "forking.py").write_text(FORKING, encoding="utf-8")
    memray = [sys.executable, "-m", "memray", "run", "-q", "--follow-fork", *options, "-o", str(captures / "load.bin")]
    subprocess.run([*memray, "forking.py", *arguments], cwd=folder, check=True, timeout=60)
    return captures


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return capture(tmp_path_factory.mktemp("whole"))


def test_two_children_are_three_rows(whole: Path) -> None:
    table = read_folder(whole)
    assert [process.role for process in table.processes] == ["main", "worker", "worker"]
    main, *workers = table.processes
    assert 3_000_000 <= main.peak_bytes < 3_900_000
    # The children inherit the 3 MB: memray does not see them there.
    assert sorted(worker.peak_bytes // 100_000 for worker in workers) == [10, 20]
    assert len({process.pid for process in table.processes}) == 3
    assert all(process.closed and process.allocations for process in table.processes)
    assert {worker.top[0].function for worker in workers} == {"allocate"}
    assert (workers[0].top[0].file, workers[0].top[0].line) == ("forking.py", 5)
    assert workers[0].top[0].share > 0.9
    assert table.warnings() == []
    assert table.workers() == {"expected": 2, "delivered": 2, "missing": []}


def test_damaged_captures_are_named_and_the_rest_is_read(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "memray"))
    _, cut, _ = find_captures(folder)
    cut.write_bytes(cut.read_bytes()[:500])
    (folder / "load.bin.999998").touch()
    (folder / "load.bin.999999").write_text("hello", encoding="utf-8")
    (folder / "flamegraph.html").write_text("not a capture by its name", encoding="utf-8")
    table = read_folder(folder)
    assert [process.role for process in table.processes] == ["main", "worker"]
    lines = table.warnings()
    assert all(line.startswith("3 of 5 captures unreadable: load.bin.") for line in lines)
    assert f"{cut.name}: truncated" in lines[0]
    assert "load.bin.999998: 0 bytes (memray run --aggregate loses forked workers" in lines[1]
    assert "load.bin.999999: not a memray capture" in lines[2]
    assert table.workers()["expected"] == 4
    assert [item["pid"] for item in table.workers()["missing"]] == [int(cut.suffix[1:]), 999998, 999999]


@pytest.mark.parametrize("leaving", ["kill", "os._exit"])
def test_a_worker_that_never_closed_its_file_is_whole(tmp_path: Path, leaving: str) -> None:
    table = read_folder(capture(tmp_path, leaving))
    if leaving == "kill" and table.warnings():
        # Now and then, on a busy machine, the kill comes while memray writes: then the file is named as unreadable.
        assert table.warnings()[0].startswith("1 of 3 captures unreadable: load.bin.")
        assert len(table.workers()["missing"]) == 1
        return
    (hurried,) = (process for process in table.processes if not process.closed)
    assert hurried.role == "worker"
    # 2 MB, and 50,000 blocks of 1000 bytes and a few more each: the last of them just before the end.
    assert 52_000_000 < hurried.peak_bytes < 57_000_000
    assert hurried.allocations is not None
    assert hurried.allocations > 50_000
    assert table.warnings() == []
    assert table.workers() == {"expected": 2, "delivered": 2, "missing": []}


def test_an_end_time_in_the_header_does_not_close_a_file(tmp_path: Path) -> None:
    # memray writes the header when it opens the file, with the time: sometimes a millisecond after the start.
    folder = capture(tmp_path, "os._exit")
    (hurried,) = (path for path in folder.iterdir() if path.read_bytes().startswith(b"memray"))
    content, year_ms = bytearray(hurried.read_bytes()), 365 * 24 * 3600 * 1000
    now_ms = time.time() * 1000
    times = [at for at in range(200) if now_ms - year_ms < int.from_bytes(content[at : at + 8], "little") <= now_ms]
    assert len(times) == 2
    end_ms = int.from_bytes(content[times[0] : times[0] + 8], "little") + 1
    content[times[1] : times[1] + 8] = end_ms.to_bytes(8, "little")
    hurried.write_bytes(content)
    assert [process.closed for process in read_folder(folder).processes] == [True, True, False]


def test_closed_files_without_compression_are_known(tmp_path: Path) -> None:
    table = read_folder(capture(tmp_path, "os._exit", options=("--no-compress",)))
    assert [process.closed for process in table.processes] == [True, True, False]


def test_under_aggregate_such_a_worker_leaves_nothing_and_it_is_said(tmp_path: Path) -> None:
    table = read_folder(capture(tmp_path, "os._exit", options=("--aggregate",)))
    assert [process.allocations for process in table.processes] == [None, None]
    (line,) = table.warnings()
    assert line.startswith("1 of 3 captures unreadable: load.bin.")
    assert line.endswith("0 bytes (memray run --aggregate loses forked workers; run it without)")


def test_a_renamed_capture_is_other(whole: Path, tmp_path: Path) -> None:
    shutil.copy(find_captures(whole)[1], tmp_path / "load.bin.1")
    assert [process.role for process in read_folder(tmp_path).processes] == ["other"]


def test_no_folder_means_no_captures(tmp_path: Path) -> None:
    assert find_captures(tmp_path / "memray") == []


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("/home/me/.venv/lib/python3.11/site-packages/torch/utils/data.py", "torch/utils/data.py"),
        ("/usr/lib/python3.11/pickle.py", "python3.11/pickle.py"),
        ("/home/me/project/package/train.py", "package/train.py"),
        ("train.py", "train.py"),
        ("<frozen runpy>", "<frozen runpy>"),
        (str(Path.cwd() / "a" / "b.py"), "a/b.py"),
    ],
)
def test_paths_are_shortened(file: str, shown: str) -> None:
    assert short_path(file) == shown
