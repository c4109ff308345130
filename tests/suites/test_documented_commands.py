"""Every command that README.md and docs/measuring.md show is run, in clones; make's are in test_makefile.py.

The clones hold the working tree's files, in a folder with a blank in its name, and each user has a fresh home.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench_harness.config import load_config

pytestmark = [pytest.mark.timeout(280), pytest.mark.slow]

ROOT = Path(__file__).parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[str]:
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


def rows() -> list[str]:
    """The first column of README's table of commands."""
    table = (ROOT / "README.md").read_text().partition("## What you can run")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE)


def is_make(command: str) -> bool:
    return command.startswith("make ")


def state() -> tuple[str, list[str]]:
    """What no test may change: the repository, and what its runs left."""
    status = subprocess.check_output(["git", "status", "--porcelain"], cwd=ROOT, text=True)
    return status, sorted(str(path) for path in (ROOT / "profiles").rglob("*"))


@pytest.fixture(scope="module", autouse=True)
def _the_repository_stays_as_it_is() -> Iterator[None]:
    before = state()
    yield
    assert state() == before


@pytest.fixture(scope="module")
def checkout(clone_of_the_working_tree: Callable[[], Path]) -> Path:
    """A clone in which nothing was measured."""
    return clone_of_the_working_tree()


@pytest.fixture(scope="module")
def measured(
    clone_of_the_working_tree: Callable[[], Path], run: Run, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str], str]:
    """A clone after `make bench` with one of its benchmarks; the home it had; what it printed."""
    folder = clone_of_the_working_tree()
    home = {"HOME": str(tmp_path_factory.mktemp("home"))}
    line = "make bench BENCH_OPTIONS='--bench voxelizing.Image --attribute repeat=1'"
    done = run(line, folder, home, BENCH_CORE_DATA=f"{home['HOME']}/store")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, home, done.stdout


def test_there_are_commands() -> None:
    assert commands(blocks("README.md", "console")[0]) == ["make bench", "make test"]
    assert {row for row in rows() if is_make(row)} == {
        "make venv",
        "make bench",
        "make memray",
        "make test",
        "make sanitize",
        "make fuzz",
        "make asv RANGE=HEAD^!",
        "make clean",
    }
    assert len(rows()) >= 12
    assert set(ELSEWHERE) <= set(rows())
    assert len(blocks("docs/measuring.md", "console")) >= 3


def test_make_bench_prints_the_summary_of_what_it_measured(measured: tuple[Path, dict[str, str], str]) -> None:
    folder, _, printed = measured
    for expected in ("Headlines", "image, r = h/2", "Throughput", "Memory per process", "worker", "History"):
        assert expected in printed
    (run_folder,) = (folder / "profiles" / "bench").iterdir()
    assert (run_folder / "record.json").is_file()
    assert len(list((run_folder / "memray").glob("load.bin.*"))) == 2


def test_make_bench_leaves_the_users_store_and_the_sources_alone(measured: tuple[Path, dict[str, str], str]) -> None:
    folder, home, _ = measured
    assert [path.name for path in Path(home["HOME"]).iterdir()] == [".asv-machine.json"]
    assert list((folder / ".venv" / "data").iterdir())
    assert not list(folder.glob("*.bin"))


@pytest.mark.parametrize("row", ["bench summary", "asv show HEAD"])
def test_what_was_measured_can_be_read(measured: tuple[Path, dict[str, str], str], run: Run, row: str) -> None:
    assert row in rows()
    folder, home, _ = measured
    done = run(row, folder, home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Image.time_image" in done.stdout


@pytest.mark.parametrize("row", [row for row in rows() if row.startswith("asv compare ")])
def test_landmarks_can_be_compared_beside_other_results(
    measured: tuple[Path, dict[str, str], str], run: Run, row: str
) -> None:
    folder, home, _ = measured
    done = run(row, folder, home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Image.time_image" in done.stdout
    naive, compiled = row.split()[2:4]
    landmarks = load_config(ROOT).summary.landmarks
    assert landmarks["naive"].startswith(naive)
    assert landmarks["C"].startswith(compiled)


# Of what the rows of the table show, this needs results of HEAD (above), and this builds two environments with torch,
# for minutes: test_asv_commits.py does it with a small project.
ELSEWHERE = ("asv show HEAD", "bench compare main HEAD --bench voxelizing.View")


@pytest.mark.parametrize("row", [row for row in rows() if not is_make(row) and row not in ELSEWHERE])
def test_rows_work_in_a_fresh_clone_and_home(checkout: Path, run: Run, fresh_home: dict[str, str], row: str) -> None:
    if row == "asv publish":
        skip_if_shallow()
    done = run(row, checkout, fresh_home)
    assert done.returncode == 0, done.stdout + done.stderr


def test_make_venv_finds_nothing_to_do(checkout: Path, run: Run, fresh_home: dict[str, str]) -> None:
    done = run("make venv", checkout, fresh_home)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing to be done" in done.stdout


@pytest.mark.parametrize("block", blocks("docs/measuring.md", "console"))
def test_measuring_works_from_top_to_bottom(checkout: Path, run: Run, fresh_home: dict[str, str], block: str) -> None:
    """One shell per command, as the page shows them; asv takes fewer samples."""
    for command in commands(block):
        quicker = " --attribute rounds=1 --attribute repeat=1" if command.startswith("asv run") else ""
        done = run(command + quicker, checkout, fresh_home)
        assert done.returncode == 0, (command, done.stdout, done.stderr)


def test_the_python_of_the_readme(run: Run, fresh_home: dict[str, str], tmp_path: Path) -> None:
    """Its blocks in one process, after the commands they need; each leaves an image that is not empty."""
    for command in (c for block in blocks("README.md", "console")[1:] for c in commands(block)):
        done = run(command, tmp_path, fresh_home)
        assert done.returncode == 0, done.stderr
    code = [f"{block}\nassert x.any() and x.shape[-4:] == (4, 21, 21, 21)\n" for block in blocks("README.md", "python")]
    assert len(code) == 3
    subprocess.run([sys.executable, "-c", "".join(code)], cwd=tmp_path, check=True, timeout=120)


def test_the_python_of_the_models_page(run: Run, fresh_home: dict[str, str], tmp_path: Path) -> None:
    (block,) = blocks("docs/models.md", "python")
    code = f"{block}\nassert logits.shape == (1, 6) and model(torch.rand(2, 2, 4, 21, 21, 21)).shape == (2, 4, 4)\n"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)


def skip_if_shallow() -> None:
    shallow = subprocess.check_output(["git", "rev-parse", "--is-shallow-repository"], cwd=ROOT, text=True).strip()
    if shallow == "true":
        pytest.skip("a shallow checkout: asv publish needs the measured commits (git fetch --unshallow)")
