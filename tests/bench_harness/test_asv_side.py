"""One side of a comparison of commits: what it measures, and what a benchmark may do to its process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from asv_sides import by_title, keys_of, side_of, write_suite

from bench_harness.verdict import asv_process

pytest.importorskip("asv")
pytestmark = pytest.mark.timeout(120)

SPIN = """
import os, time
def spin(seconds=0.05):
    while time.process_time() < seconds: pass  # of a fork: its clock begins at 0
"""


def test_time_benchmarks_give_cpu_and_wall_seconds_of_one_call(tmp_path: Path) -> None:
    side = side_of(write_suite(tmp_path, kernels="def time_sum():\n    sum(range(1000))\n"))
    taken = side.measure(None, seed=0, timeout_s=None)
    values = by_title(taken)["kernels.time_sum"]
    assert set(values) == {"cpu_s", "wall_s"}
    assert 0 < values["cpu_s"] < taken.body_s
    assert taken.startup_s > 0
    assert taken.failures == {}
    assert {(key.unit, key.better) for key in taken.values} == {("s", "lower")}


def test_cpu_of_children_counts_whether_they_ended_or_live_on(tmp_path: Path) -> None:
    suite = SPIN + (
        "def time_waits_for_it():\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        spin(); os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "time_waits_for_it.number = 1\n"
        "def time_leaves_it_running():\n"
        "    read, write = os.pipe()\n"
        "    if os.fork() == 0:\n"
        "        spin(); os.write(write, b'x'); time.sleep(60)\n"
        "    os.read(read, 1)\n"
        "time_leaves_it_running.number = 1\n"
    )
    values = by_title(side_of(write_suite(tmp_path, kernels=suite)).measure(None, 0, None))
    assert values["kernels.time_waits_for_it"]["cpu_s"] >= 0.05
    assert values["kernels.time_leaves_it_running"]["cpu_s"] >= 0.05


def test_what_a_benchmark_leaves_running_is_ended_with_its_process(tmp_path: Path) -> None:
    suite = f"""
import os, subprocess, sys
def track_leaves_a_child():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
    return 1
"""
    side_of(write_suite(tmp_path, kernels=suite)).measure(None, 0, None)
    assert is_gone(int((tmp_path / "pid").read_text()))


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True  # killed; whoever adopted it has not waited for it yet
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def test_a_failure_is_pinned_to_the_benchmark_that_ran_and_the_others_go_on(tmp_path: Path) -> None:
    suite = f"""
import ctypes, os, subprocess, sys, time
def time_good_a(): pass
def time_raises(): raise ValueError("two\\nlines")
def time_leaves(): os._exit(0)
def time_says_exit(): sys.exit(3)
def time_crashes(): ctypes.string_at(0)
def time_hangs():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"], start_new_session=True)
    open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
    time.sleep(100)
time_hangs.timeout = 2
def time_good_b(): pass
"""
    taken = side_of(write_suite(tmp_path, kernels=suite)).measure(None, 0, None)
    assert set(by_title(taken)) == {"kernels.time_good_a", "kernels.time_good_b"}
    assert taken.failures == {
        "kernels.time_raises": "ValueError: two lines (kernels.py:4)",
        "kernels.time_leaves": "its process exited with code 0 while it ran",
        "kernels.time_says_exit": "SystemExit: 3 (kernels.py:6)",
        "kernels.time_crashes": "its process was killed by SIGSEGV while it ran",
        "kernels.time_hangs": "timed out after 2 s",
    }
    assert is_gone(int((tmp_path / "pid").read_text()))  # though it had left the process group


def test_a_round_may_shorten_the_timeout(tmp_path: Path) -> None:
    side = side_of(write_suite(tmp_path, kernels="import time\ndef time_hangs(): time.sleep(100)\n"))
    assert side.measure(None, 0, timeout_s=1.5).failures == {"kernels.time_hangs": "timed out after 1.5 s"}


def test_a_dict_that_is_tracked_is_a_failure(tmp_path: Path) -> None:
    """asv stores it, and then `asv compare` and `asv publish` fall over it."""
    suite = "def track_it(): return {'a': 1}\ndef track_good(): return 3\ntrack_good.unit = 'things'\n"
    taken = side_of(write_suite(tmp_path, values=suite)).measure(None, 0, None)
    assert taken.failures == {"values.track_it": "ValueError: it returned a dict, {'a': 1}, expected one number"}
    assert [(key.title, key.metric, key.unit, value) for key, value in taken.values.items()] == [
        ("values.track_good", "value", "things", 3.0)
    ]


PARAMETERS = """
class Suite:
    params = [[1, 2], ["a", "b"]]
    param_names = ["n", "letter"]
    def setup(self, n, letter):
        if (n, letter) == (2, "b"):
            raise NotImplementedError("no b at 2")
    def track_sum(self, n, letter):
        return n * 10 + ord(letter)
    def track_few(self, n, letter):
        return n
"""


def test_parameters_name_the_numbers_and_a_skip_keeps_its_reason(tmp_path: Path) -> None:
    taken = side_of(write_suite(tmp_path, suites=PARAMETERS), bench="track_sum").measure(None, 0, None)
    assert by_title(taken) == {
        "suites.Suite.track_sum(n=1, letter=a)": {"value": 107.0},
        "suites.Suite.track_sum(n=1, letter=b)": {"value": 108.0},
        "suites.Suite.track_sum(n=2, letter=a)": {"value": 117.0},
    }
    assert taken.skipped == {"suites.Suite.track_sum(n=2, letter=b)": "NotImplementedError('no b at 2')"}
    assert taken.failures == {}


def test_bench_selects_combinations_as_asv_does(tmp_path: Path) -> None:
    side = side_of(write_suite(tmp_path, suites=PARAMETERS), bench=r"track_few\(1, 'b'\)")
    assert list(side.own.benchmarks) == ["suites.Suite.track_few(n=1, letter=b)"]


def test_a_benchmark_may_skip_itself(tmp_path: Path) -> None:
    suite = """
from asv_runner.benchmarks.mark import SkipNotImplemented, skip_for_params
def time_it(): raise SkipNotImplemented("not on Mondays")
@skip_for_params([(2,)])
def time_some(n): pass
time_some.params = [1, 2]
"""
    taken = side_of(write_suite(tmp_path, suites=suite)).measure(None, 0, None)
    assert taken.skipped["suites.time_it"].startswith("SkipNotImplemented: not on Mondays")
    assert taken.skipped["suites.time_some(param1=2)"] == "in skip_params"
    assert list(by_title(taken)) == ["suites.time_some(param1=1)"]


def test_setup_cache_is_made_once_and_given_to_each_process(tmp_path: Path) -> None:
    suite = f"""
class Suite:
    params = [5, 6]
    def setup_cache(self):
        open({str(tmp_path / "made")!r}, "a").write("x")
        open("beside.txt", "w").write("10")
        return {{"value": 7}}
    def track_it(self, cache, n):
        return cache["value"] + n + int(open("beside.txt").read())
class Fails:
    def setup_cache(self):
        raise OSError("no disk")
    def track_it(self, cache):
        return 1
"""
    side = side_of(write_suite(tmp_path, caches=suite))
    for _ in range(2):
        taken = side.measure(None, 0, None)
        assert by_title(taken) == {
            "caches.Suite.track_it(param1=5)": {"value": 22.0},
            "caches.Suite.track_it(param1=6)": {"value": 23.0},
        }
        assert taken.failures == {"caches.Fails.track_it": "setup_cache failed: OSError: no disk"}
    assert (tmp_path / "made").read_text() == "x"


def test_both_sides_make_the_same_number_of_calls(tmp_path: Path) -> None:
    suite = (
        f"def time_it():\n    sum(range(20000))\n    with open({str(tmp_path / 'calls')!r}, 'a') as f: f.write('x')\n"
    )
    plans: dict[str, list[int]] = {}
    folder = write_suite(tmp_path, kernels=suite)
    sides = [side_of(folder, plans=plans) for _ in range(2)]
    counts = []
    sides[0].prepare(None)
    for measure in (lambda: sides[1].prepare(None), *(lambda s=side: s.measure(None, 0, None) for side in sides)):
        before = (tmp_path / "calls").stat().st_size
        measure()
        counts.append((tmp_path / "calls").stat().st_size - before)
    warming, samples, calls = plans["kernels.time_it"]
    assert counts == [0, (warming + samples) * calls, (warming + samples) * calls]


def test_what_hangs_is_tried_once_and_what_fails_in_each_round(tmp_path: Path) -> None:
    suite = f"""
import time
def time_hangs():
    with open({str(tmp_path / "hung")!r}, "a") as file: file.write("x")
    time.sleep(100)
def time_fails():
    with open({str(tmp_path / "failed")!r}, "a") as file: file.write("x")
    raise OSError("no")
"""
    side = side_of(write_suite(tmp_path, kernels=suite))
    side.prepare(timeout_s=3)
    for _ in range(2):
        taken = side.measure(None, 0, timeout_s=3)
        assert taken.failures == {
            "kernels.time_hangs": "timed out after 3 s",
            "kernels.time_fails": "OSError: no (kernels.py:8)",
        }
    assert ((tmp_path / "hung").read_text(), (tmp_path / "failed").read_text()) == ("x", "xxx")


def test_setup_runs_between_calls_and_collection_is_off_in_them(tmp_path: Path) -> None:
    suite = """
import gc
class Fresh:
    def setup(self):
        self.calls = 0
    def time_it(self):
        self.calls += 1
        assert self.calls == 1, "two calls on one setup"
        assert not gc.isenabled(), "collecting"
    def track_it(self):
        return int(gc.isenabled())
Counted = type("Counted", (Fresh,), {"number": 3, "__module__": __name__})
"""
    taken = side_of(write_suite(tmp_path, suites=suite)).measure(None, 0, None)
    assert taken.failures == {}
    assert by_title(taken)["suites.Fresh.track_it"] == {"value": 1.0}
    assert {"suites.Fresh.time_it", "suites.Counted.time_it"} <= set(by_title(taken))


def test_the_order_is_the_seeds(tmp_path: Path) -> None:
    names = "abcdef"
    suite = "".join(
        f"def time_{name}():\n    open({str(tmp_path / 'order')!r}, 'a').write({name!r})\ntime_{name}.number = 1\n"
        for name in names
    )
    plans = {f"kernels.time_{name}": [0, 1, 1] for name in names}
    side = side_of(write_suite(tmp_path, kernels=suite), plans=plans)
    orders = []
    for seed in (1, 1, 2):
        (tmp_path / "order").write_text("")
        side.measure(None, seed, None)
        orders.append((tmp_path / "order").read_text())
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == sorted(names)


def test_only_what_is_wanted_runs(tmp_path: Path) -> None:
    side = side_of(write_suite(tmp_path, values="def track_a(): return 1\ndef track_b(): return 2\n"))
    assert by_title(side.measure(keys_of(side, "values.track_b"), 0, None)) == {"values.track_b": {"value": 2.0}}


def test_a_benchmark_may_spawn_processes(tmp_path: Path) -> None:
    """They import the main script again, in an environment without bench_harness: under -S it is one."""
    suite = """
import math, multiprocessing
def track_roots():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return sum(pool.map(math.sqrt, [9, 16]))
track_roots.timeout = 30
"""
    script = str(asv_process.BODY)
    checked = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import runpy; runpy.run_path({script!r}, run_name='__mp_main__')"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    assert by_title(side_of(write_suite(tmp_path, spawning=suite)).measure(None, 0, None)) == {
        "spawning.track_roots": {"value": 7.0}
    }


def test_a_raw_benchmark_times_its_text_in_a_fresh_interpreter(tmp_path: Path) -> None:
    suite = """
def timeraw_import():
    return "import json", "import sys; assert 'json' not in sys.modules"
def timeraw_variable():
    return "import os; assert os.environ['RAW'] == 'yes'"
timeraw_variable.env = {"RAW": "yes"}
def timeraw_fails():
    return "1 / 0"
"""
    taken = side_of(write_suite(tmp_path, raw=suite)).measure(None, 0, None)
    assert set(by_title(taken)) == {"raw.timeraw_import", "raw.timeraw_variable"}
    assert by_title(taken)["raw.timeraw_import"]["cpu_s"] > 0
    assert taken.failures["raw.timeraw_fails"].startswith(
        "RuntimeError: the interpreter that ran its text exited with 1"
    )


def test_peak_memory_is_of_a_process_that_ran_nothing_else(tmp_path: Path) -> None:
    suite = """
import sys
def time_holds_much(): bytearray(150_000_000)
def peakmem_small(): assert "numpy" not in sys.modules  # which pympler would import
def mem_list(): return [0] * 1000
"""
    values = by_title(side_of(write_suite(tmp_path, memory=suite)).measure(None, 0, None))
    assert 0 < values["memory.peakmem_small"]["peak_rss_bytes"] < 100_000_000
    assert 8000 <= values["memory.mem_list"]["size_bytes"] < 9000


def test_a_module_that_cannot_be_imported_costs_its_own_benchmarks_alone(tmp_path: Path) -> None:
    here = side_of(write_suite(tmp_path, good="def track_it(): return 1\n", later="def track_new(): return 2\n"))
    (tmp_path / "suite" / "later.py").write_text("import not_there_yet\ndef track_new(): return 2\n")
    there = side_of(tmp_path / "suite")
    here.other, there.other = there.own, here.own
    taken = there.measure(None, 0, None)
    assert by_title(taken) == {"good.track_it": {"value": 1.0}}
    (why,) = taken.failures.values()
    assert why.startswith("its module cannot be imported: ModuleNotFoundError: No module named 'not_there_yet'")
    assert there.measure(keys_of(here, "good.track_it"), 0, None).failures == {}


def test_what_only_the_other_side_has_is_told(tmp_path: Path) -> None:
    here = side_of(write_suite(tmp_path, values="def track_it(n): return n\ntrack_it.params = [1, 2]\n"))
    module = tmp_path / "suite" / "values.py"
    module.write_text("def track_it(n): return n\ntrack_it.params = [2, 3]\n")
    os.utime(module, (2e9, 2e9))  # of the same size and second as before, its bytecode would pass for this one's
    there = side_of(tmp_path / "suite")
    here.other, there.other = there.own, here.own
    assert here.measure(None, 0, None).skipped == {"values.track_it(param1=3)": "not in the suite on this side"}
    assert there.measure(None, 0, None).skipped == {"values.track_it(param1=1)": "not in the suite on this side"}


@pytest.mark.slow
def test_the_cpu_of_a_loaders_forked_workers_counts(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "spinning_dataset.py").write_text(
        "import time\n"
        "class Spinning:\n"
        "    def __len__(self): return 4\n"
        "    def __getitem__(self, index):\n"
        "        until = time.process_time() + 0.05\n"
        "        while time.process_time() < until: pass\n"
        "        return index\n"
    )
    suite = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from spinning_dataset import Spinning
from torch.utils.data import DataLoader
class Loader:
    def setup(self):
        self.loader = DataLoader(Spinning(), num_workers=2, persistent_workers=True)
    def time_epoch(self):
        list(self.loader)
"""
    values = by_title(side_of(write_suite(tmp_path, loaders=suite)).measure(None, 0, None))
    assert values["loaders.Loader.time_epoch"]["cpu_s"] >= 4 * 0.05
