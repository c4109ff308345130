"""`make sanitize` and `make fuzz`: they find what they are there for, and say what is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(280)

ROOT = Path(__file__).parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

TOOLS = ("bash", "sh", "make", "git", "sed", "cat", "date", "uname", "tr", "mkdir", "test", "echo", "rm", "cmp")


def links(compiler: str, sanitizers: str, folder: Path) -> bool:
    """Can the compiler make a program with these sanitizers, and can this machine run it?"""
    source, program = folder / "probe.c", folder / "probe"
    fuzzed = "int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n && 0; }\n"
    source.write_text(fuzzed if "fuzzer" in sanitizers else "int main(void) { return 0; }\n")
    if shutil.which(compiler) is None:
        return False
    command = [compiler, f"-fsanitize={sanitizers}", str(source), "-o", str(program)]
    if subprocess.run(command, capture_output=True, timeout=60).returncode != 0:
        return False
    return "fuzzer" in sanitizers or subprocess.run([program], capture_output=True, timeout=60).returncode == 0


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the two targets need, in a folder with a blank in its name."""
    folder = tmp_path_factory.mktemp("a checkout") / "bench core"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("csrc", "tests/csrc"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def sanitized(sources: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The sources after `make sanitize`, which compiles all of them, and what it and the compiler said."""
    if not links("cc", "address,undefined", tmp_path_factory.mktemp("probe")):
        pytest.skip("cc cannot link a program with -fsanitize=address,undefined, or this machine not run it")
    done = run("make sanitize", sources, {"HOME": str(sources)})
    assert done.returncode == 0, done.stdout + done.stderr
    return sources, done.stdout, done.stderr


@pytest.mark.slow
def test_every_case_on_every_kernel(sanitized: tuple[Path, str, str]) -> None:
    _, printed, _ = sanitized
    *_, cases, plain, replayed = printed.splitlines()
    assert re.fullmatch(r"sanitize, all kernels: \d+ cases before a choice(, \d{4} on \w+)+: all fine", cases)
    assert re.fullmatch(r"sanitize, plain C: \d+ cases before a choice, \d{4} on baseline: all fine", plain)
    assert re.fullmatch(r"fuzz target: \d+ files, [1-9]\d{3} random inputs: all fine", replayed)
    # The same cases on each of them.
    assert len(set(re.findall(r"(\d+) on", cases + plain))) == 1


@pytest.mark.slow
def test_they_compile_without_warnings(sanitized: tuple[Path, str, str]) -> None:
    folder, printed, said = sanitized
    assert said == ""
    names = [path.name for part in ("csrc", "tests/csrc") for path in (folder / part).glob("*.c")]
    assert [name for name in names if f"/{name} " not in printed and f" {name} " not in printed] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "right", "wrong", "said"),
    [
        ("draw.c", ".fill = fill", ".fill = 0", r"case fill 1, kernel baseline: .*: expected 4\.18\d*, got 1, .*\n"),
        ("views.c", "reserve(spheres, CULL_BLOCK)", "reserve(spheres, 1)", "AddressSanitizer: heap-buffer-overflow"),
        ("draw.c", "memset(image->data, 0,", "memset(image->data, 255,", r"case share .*: expected 0\.125, got -?nan"),
        ("fill.c", "if (bad != VOXELIZER_FINE)", "if (bad > 0)", "case atom 0 of 1 is bad, kernel baseline: status"),
    ],
)
def test_what_is_wrong_is_found(
    sanitized: tuple[Path, str, str], run: Run, name: str, right: str, wrong: str, said: str
) -> None:
    folder, *_ = sanitized
    source = folder / "csrc" / name
    before = source.read_text()
    assert right in before
    source.write_text(before.replace(right, wrong))
    try:
        done = run("make sanitize", folder, {"HOME": str(folder)})
    finally:
        source.write_text(before)
    assert done.returncode == 2
    assert re.search(said, done.stderr), done.stderr
    assert "all fine" not in done.stdout


def test_without_libfuzzer_one_line_says_what_to_install(sources: Path, run: Run, tmp_path: Path) -> None:
    for tool in filter(shutil.which, TOOLS):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    done = run("make fuzz", sources, {"HOME": str(sources)}, PATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "clang with libFuzzer is missing: install it (Debian, Ubuntu: clang libclang-rt-dev" in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_a_short_run_of_the_fuzzer(sources: Path, run: Run, tmp_path: Path) -> None:
    if not links("clang", "fuzzer,address", tmp_path):
        pytest.skip("clang with libFuzzer is not installed")
    done = run("make fuzz FUZZ_SECONDS=3", sources, {"HOME": str(sources)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Done [1-9]\d* runs in", done.stderr)
