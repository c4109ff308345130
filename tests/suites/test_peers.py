"""docs/make/peers.py without any of the peers: views, workers that answer, die or hang, and the page."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench_core import Grid, ImageSpec

ROOT = Path(__file__).parents[2]
MAKE = ROOT / "docs" / "make"
WORKERS = MAKE / "comparison" / "workers"
PAGE = ROOT / "docs" / "voxelizer.md"

PEER = """
import os, sys, time
sys.path.insert(0, {workers!r})
import numpy as np
from serve import Drawing, serve

def good(case):
    image = np.zeros(case.shape)
    def prepare(view):
        def draw():
            image[...] = len(view.channels)
        return Drawing(draw, lambda: image)
    return prepare

def bad(act):
    return lambda case: lambda view: Drawing(act, None)

def die():
    print("out of luck", file=sys.stderr, flush=True)
    os._exit(3)

print("chatter of a library")
ARMS = dict(good=good, bad=bad(lambda: 1 / 0), dies=bad(die), hangs=bad(lambda: time.sleep(600)))
serve(lambda case: {{name: ARMS[name](case) for name in {arms!r}}}, versions={{"fake": "1.0"}})
"""


@pytest.fixture(scope="module", autouse=True)
def _importable() -> Iterator[None]:
    """The modules of the comparison find each other as they do when the script is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(WORKERS)
        patch.syspath_prepend(MAKE)
        yield


def module(name: str) -> Any:
    return importlib.import_module(name)


@pytest.fixture
def fake(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the script of a peer with these arms."""

    def write(*arms: str) -> Path:
        script = tmp_path / f"{'_'.join(arms)}.py"
        script.write_text(PEER.format(workers=str(WORKERS), arms=arms))
        return script

    return write


@pytest.fixture
def worker(fake: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that starts such a peer, with one small case loaded; all are closed in the end."""
    started = []
    image = ImageSpec(Grid(3, 1.0), module("comparison.cases").CHANNELS)
    module("comparison.cases").write_case(tmp_path / "case.npz", image, 3)

    def start(*arms: str) -> Any:
        command = [sys.executable, str(fake(*arms))]
        started.append(module("comparison.processes").Worker(command, tmp_path / "log", start_timeout_s=60))
        assert module("comparison.measurement").load(started[-1], tmp_path / "case.npz") == list(arms)
        return started[-1]

    yield start
    for one in started:
        one.close()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def script(*options: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, str(MAKE / "peers.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


class TestViews:
    def test_they_are_full_of_atoms_inside_the_box(self) -> None:
        cases = module("comparison.cases")
        seen = list(cases.views(cases.image_of(Grid(21, 0.75), "r = h/2"), 40))
        assert len(seen) == 40
        assert 150 < np.mean([len(view.channels) for view in seen]) < 250
        for view in seen:
            assert np.abs(view.coords_A).max() < 21 * 0.75 / 2 + 0.375
            assert {len(column) for column in vars(view).values()} == {len(view.channels)}
            assert (view.radii_A == 0.375).all()
            assert (view.channels[view.elements == "C"] == 0).all()
            assert view.channels.max() < 6

    def test_radii_by_element_span_their_name(self) -> None:
        cases = module("comparison.cases")
        radii_A = cases.RADII_A["r = 1.0-1.7 Å"]
        assert (min(radii_A.values()), max(radii_A.values())) == (1.0, 1.7)

    def test_workers_read_what_was_written(self, tmp_path: Path) -> None:
        cases = module("comparison.cases")
        image = cases.image_of(Grid(5, 1.0), "r = 1.7 Å")
        n_atoms = cases.write_case(tmp_path / "case.npz", image, 4)
        case = module("serve").read_case(str(tmp_path / "case.npz"))
        assert (case.shape, case.resolution_A, case.max_radius_A) == (image.shape, 1.0, 1.7)
        assert np.mean([len(view.channels) for view in case.views]) == n_atoms
        for read, written in zip(case.views, cases.views(image, 4), strict=True):
            for name, column in vars(written).items():
                assert (getattr(read, name) == column).all()


class TestWorkers:
    def test_one_that_answers_is_timed_in_turn_with_others(self, worker: Callable[..., Any]) -> None:
        measurement = module("comparison.measurement")
        lanes = measurement.lanes_of("fake", worker("good", "bad"), ["good", "bad"])
        measurement.interleave(lanes, 3)
        good, bad = (lane.result(lanes[0]) for lane in lanes)
        assert (good["views"], good["ratio"]) == (3, 1.0)
        assert 0 < good["median_us"] < 1e5
        assert bad == {"subject": "fake", "arm": "bad", "failure": "ZeroDivisionError: division by zero"}

    def test_images_and_their_differences_come_back(self, worker: Callable[..., Any], tmp_path: Path) -> None:
        measurement = module("comparison.measurement")
        one = worker("good")
        drawn = measurement.slice_of(one, "good", 0, 5, 2, tmp_path / "slice.npy")
        assert drawn.shape == (3, 3)
        assert drawn.min() == drawn.max() > 0
        assert measurement.largest_differences(one, "good", ["good"], 2) == {"good": 0.0}

    def test_one_that_dies_leaves_its_exit_code_and_last_words(self, worker: Callable[..., Any]) -> None:
        one = worker("dies")
        with pytest.raises(module("comparison.processes").ProcessError, match=r"^exit code 3: out of luck$"):
            one.ask("time", arm="dies", view=0)
        assert not one.alive
        with pytest.raises(module("comparison.processes").ProcessError, match="exit code 3: out of luck"):
            one.ask("time", arm="dies", view=0)

    def test_one_that_hangs_is_killed(self, worker: Callable[..., Any]) -> None:
        one = worker("hangs")
        pid = one._process.pid
        with pytest.raises(module("comparison.processes").ProcessError, match="no answer within 1 s"):
            one.ask("time", timeout_s=1, arm="hangs", view=0)
        assert gone(pid)

    def test_one_that_cannot_import_says_what(self, tmp_path: Path) -> None:
        processes = module("comparison.processes")
        (tmp_path / "peer.py").write_text("import no_such_package")
        with pytest.raises(processes.ProcessError, match="exit code 1: ModuleNotFoundError: No module named 'no_such"):
            processes.Worker([sys.executable, str(tmp_path / "peer.py")], tmp_path / "log")

    def test_they_end_with_an_interrupt(self, fake: Callable[..., Path], tmp_path: Path) -> None:
        starter = tmp_path / "starter.py"
        starter.write_text(
            f"import sys; sys.path.insert(0, {str(MAKE)!r})\n"
            "from pathlib import Path\n"
            "from comparison.processes import Worker\n"
            f"with Worker([sys.executable, {str(fake('good'))!r}], Path({str(tmp_path / 'log')!r})) as one:\n"
            "    print(one._process.pid, flush=True)\n"
            "    one._reply(600)\n"
        )
        with subprocess.Popen([sys.executable, str(starter)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as one:
            assert one.stdout is not None
            pid = int(one.stdout.readline())
            one.send_signal(signal.SIGINT)
            one.wait(30)
        assert gone(pid)

    def test_a_command_that_fails_leaves_the_line_of_pip_that_says_why(self, tmp_path: Path) -> None:
        processes = module("comparison.processes")
        command = ["sh", "-c", "echo 'ERROR: no such version'; echo 'hint: none'; exit 1"]
        with pytest.raises(processes.ProcessError, match=r"^ERROR: no such version$"):
            processes.run(command, tmp_path / "log", 30)

    def test_a_command_that_hangs_is_killed_with_its_children(self, tmp_path: Path) -> None:
        processes = module("comparison.processes")
        with pytest.raises(processes.ProcessError, match="gave up after 1 s"):
            processes.run(["sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; wait"], tmp_path / "log", 1)
        pid = int((tmp_path / "pid").read_text())
        deadline_s = time.monotonic() + 20
        while not gone(pid) and time.monotonic() < deadline_s:  # orphans are reaped by init, when it comes to it
            state = Path(f"/proc/{pid}/stat")
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return
            time.sleep(0.05)
        assert gone(pid)


class TestRun:
    @pytest.fixture
    def run(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake: Callable[..., Path]) -> Any:
        """The comparison with fakes for peers, in this environment, of one small grid; and what it said."""
        run, catalogue = module("comparison.run"), module("comparison.catalogue")
        arms = {"quick": ["good"], "doomed": ["good", "dies"], "stuck": ["hangs"]}
        peers = [catalogue.Subject(name, str(fake(*arms[name])), pictures={"good": name}) for name in arms]
        absent = catalogue.Subject("absent", str(fake("good")), environment="nowhere")
        for patched in (run, module("comparison.page")):
            monkeypatch.setattr(patched, "PEERS", (*peers, absent))
        monkeypatch.setattr(run, "make_environment", self.environment)
        monkeypatch.setattr(run.cases, "GRIDS", (Grid(5, 1.0),))
        monkeypatch.setattr(run, "PICTURED_GRID", Grid(5, 1.0))
        monkeypatch.setattr(module("comparison.measurement"), "REPLY_TIMEOUT_S", 2.0)
        said: list[str] = []
        return SimpleNamespace(run=run.Run(tmp_path, ROOT, 2, said.append), measure=run.measure_all, said=said)

    @staticmethod
    def environment(work: Path, subject: Any, checkout: Path) -> Path:
        if subject.environment == "nowhere":
            raise module("comparison.processes").ProcessError(f"ERROR: nothing at {work}/here")
        return Path(sys.executable)

    def test_peers_that_fail_are_named_and_the_others_compared(self, run: Any) -> None:
        record = json.loads(json.dumps(run.measure(run.run, [])))
        first = {(row["subject"], row["arm"]): row for row in record["cases"][0]["apart"]}
        assert first["bench_core", "float64"]["ratio"] == 1.0
        assert first["quick", "good"]["median_us"] > 0
        assert first["floor", "splat"]["median_us"] > 0
        assert record["failures"]["doomed"] == "exit code 3: out of luck"
        assert record["failures"]["stuck"] == "no answer within 2 s"
        assert record["failures"]["absent"] == "ERROR: nothing at WORK/here"
        assert not {"doomed", "stuck"} & {row["subject"] for row in record["cases"][1]["apart"]}
        assert run.run.pictures["quick-good"].shape == (5, 5)
        page = module("comparison.page").render(record, "pictures")
        for name, message in record["failures"].items():
            assert f"- **{name}** failed: `{message}`" in page
        assert re.search(r"^\| quick \| good \| [0-9.,]+ µs, [0-9.,]+x \|", page, flags=re.MULTILINE)
        assert "(pictures/quick-good.png)" in page

    def test_only_some_of_them(self, run: Any) -> None:
        record = run.measure(run.run, ["quick"])
        assert record["left_out"] == ["doomed", "stuck", "absent"]
        assert record["failures"] == {}
        assert "- stuck was left out of this run." in module("comparison.page").render(record, "pictures")

    def test_nothing_is_measured_without_ours(self, run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def fail(*_: object) -> Path:
            raise module("comparison.processes").ProcessError("no compiler")

        monkeypatch.setattr(module("comparison.run"), "make_environment", fail)
        with pytest.raises(module("comparison.processes").ProcessError, match="bench_core cannot be measured: no comp"):
            run.measure(run.run, [])


class TestPage:
    @staticmethod
    def record() -> Any:
        return json.loads((PAGE.with_suffix("") / "measured.json").read_text())

    def test_it_says_what_was_measured_and_what_the_template_says(self) -> None:
        """Where this fails after an edit: python docs/make/peers.py --page-only"""
        assert PAGE.read_text() == module("comparison.page").render(self.record(), "voxelizer")

    def test_its_pictures_are_there_and_small(self) -> None:
        shown = set(re.findall(r"\(voxelizer/([^)]+)\)", PAGE.read_text()))
        files = list(PAGE.with_suffix("").iterdir())
        assert {file.name for file in files} == {*shown, "measured.json"}
        assert len(shown) >= 2
        assert sum(file.stat().st_size for file in files) < 200_000

    def test_kernels_are_held_to_their_bars(self) -> None:
        record = self.record()
        record["conditions"]["variants_of_cpu"] = ["baseline", "avx2"]
        record["workers"]["same process"] = {"variants": ["baseline", "avx2"], "in_use": "avx2", "versions": {}}
        core = {"subject": "same process", "arm": "C++ core", "median_us": 5000.0, "ratio": 1.0, "views": 200}
        for case in record["cases"]:
            case["one_process"]["rows"] = [core] + [
                {**core, "arm": arm, "ratio": ratio, "median_us": 20.0}
                for arm, ratio in (("baseline float64", 99.9), ("avx2 float64", 250.0))
            ]
        tables = module("comparison.tables")
        kernels = tables.kernel_table(record).splitlines()
        assert kernels[2].startswith("| macromol-voxelize | C++ core | 5,000 µs |")
        assert kernels[3].count("(bar 100x: **missed**)") == 2
        assert kernels[3].count("(bar 85x: met)") == kernels[3].count("(bar 70x: met)") == 1
        assert kernels[4].count(": met)") == 4
        assert "No row for `avx512`: this CPU lacks it." in tables.kernel_notes(record)

    @pytest.mark.parametrize(
        ("value", "text"),
        [(0.0123, "0.0123"), (2.5, "2.5"), (12.34, "12.3"), (99.96, "100"), (345.6, "346"), (148_720, "149,000")],
    )
    def test_figures_have_three_digits_and_no_exponent(self, value: float, text: str) -> None:
        assert module("comparison.tables").figure(value) == text

    def test_a_picture_is_a_png_with_x_to_the_right_and_y_upwards(self) -> None:
        values = np.zeros((3, 2))
        values[2, 1] = 7.0  # right, top
        png = module("comparison.pictures").png(values)
        scale = module("comparison.pictures").PIXELS_PER_VOXEL
        width, height = struct.unpack(">II", png[16:24])
        assert (width, height) == (3 * scale + 2, 2 * scale + 2)
        data = png[png.index(b"IDAT") + 4 : png.index(b"IEND") - 8]
        rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, width + 1)[1:-1, 2:-1]
        assert (rows[:scale, 2 * scale :] == 255).all()
        assert rows.sum(dtype=int) == 255 * scale * scale


class TestCommandLine:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--only", "molgird"], "unknown peer 'molgird': choose from macromol-voxelize, molgrid, moleculekit, "),
            (["--views", "0"], "--views must be at least 1, not 0"),
            (["--views", "many"], "argument --views: invalid int value: 'many'"),
            (["--fast"], "unrecognized arguments: --fast"),
            (["--out", "no/such/folder/page.md"], "--out: there is no folder no/such/folder"),
        ],
    )
    def test_bad_input_is_one_line(self, options: list[str], message: str) -> None:
        done = script(*options)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert done.stderr.startswith(message)

    def test_without_bench_core_it_says_what_to_do(self) -> None:
        done = script("--views", "1", python=("-E", "-S"))
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert "run this with the Python of an environment that has bench_core" in done.stderr

    def test_a_page_without_a_record_is_bad_input(self, tmp_path: Path) -> None:
        done = script("--page-only", "--out", str(tmp_path / "page.md"))
        assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
        assert done.stderr == f"--page-only: {tmp_path}/page/measured.json: No such file or directory\n"

    def test_the_page_can_be_written_again(self, tmp_path: Path) -> None:
        (tmp_path / "voxelizer").mkdir()
        (tmp_path / "voxelizer" / "measured.json").write_bytes((PAGE.with_suffix("") / "measured.json").read_bytes())
        done = script("--page-only", "--out", str(tmp_path / "voxelizer.md"))
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "voxelizer.md").read_text() == PAGE.read_text()


def test_torch_is_pinned_as_the_project_pins_it() -> None:
    assert f'loader = ["{module("comparison.catalogue").TORCH}"]' in (ROOT / "pyproject.toml").read_text()
