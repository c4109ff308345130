"""The command line as a user meets it: help, documentation, exit codes, interruption."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench_harness import __main__ as cli
from bench_harness import __version__, errors
from bench_harness.commands import COMMANDS
from bench_harness.errors import ExitCode, HarnessError

DOCS = Path(__file__).parents[2] / "docs"
HEAVY = ("rich", "asv", "memray", "torch", "numpy", "psutil", "multiprocessing", "importlib.metadata")


def bench(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "80", **variables}
    command = [sys.executable, "-m", "bench_harness", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60, check=False)


def all_error_classes() -> set[type[HarnessError]]:
    return {item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, HarnessError)}


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)], ids=lambda arguments: " ".join(arguments))
def test_help_stands_in_the_docs(arguments: list[str]) -> None:
    done = bench(*arguments, "--help")
    assert done.returncode == 0, done.stderr
    page = DOCS / f"{(arguments or ['summary'])[0]}.md"
    block = f"```text\n$ {' '.join(['bench', *arguments, '--help'])}\n{done.stdout}```"
    assert block in page.read_text(encoding="utf-8"), f"{page.name} should hold:\n{block}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_is_explained(name: str) -> None:
    text = bench(name, "--help").stdout
    for line in re.findall(r"^  --.*(?:\n {10,}.*)*", text, re.MULTILINE):
        assert re.search(r"\s{2,}\w", line.strip()), f"no help in: {line}"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["summary", "--help"], ["list", "--help"], ["diff", "--help"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from bench_harness.__main__ import main; code = main(sys.argv[1:]);"
        f"print(code, [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "0 []"


def test_version() -> None:
    assert bench("--version").stdout == f"bench {__version__}\n"


def test_every_command_has_a_module_of_its_name() -> None:
    folder = Path(cli.__file__).parent / "commands"
    assert {path.stem for path in folder.glob("*.py")} == {"__init__", *COMMANDS}


def test_the_error_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"(\w+Error)\s+exit (\d)", errors.__doc__ or "")
    assert {(item.__name__, str(int(item.exit_code))) for item in all_error_classes()} == set(drawn)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "COMMAND"),
        (["summry"], 2, "invalid choice"),
        (["summary", "--jsn"], 2, "unrecognized arguments"),
        (["summary", "--js"], 2, "unrecognized arguments"),
        (["summary", "no_such_folder"], 2, "no such folder"),
        (["summary", "--asv-config", "gone.json"], 2, "gone.json: no such file"),
        (["summary", "--commit", "abc123"], 2, "there is no asv.conf.json here"),
        (["summary"], 3, "nothing measured"),
    ],
)
def test_exit_codes(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    done = bench(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("error", sorted(all_error_classes(), key=lambda item: str(item)))
def test_an_expected_error_is_one_line(error: type[HarnessError], capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: object) -> int:
        raise error("what was given, what to try")

    assert cli.run_command(fail, None) == error.exit_code  # type: ignore[arg-type]
    assert capsys.readouterr() == ("", "bench: error: what was given, what to try\n")


def test_a_crash_shows_its_traceback_and_is_not_a_regression(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(lambda _: 1 // 0, None) == ExitCode.NOT_MEASURED  # type: ignore[arg-type]
    assert "ZeroDivisionError" in capsys.readouterr().err


INTERRUPTIBLE = """
import sys, time
from bench_harness.__main__ import run_command
def wait(_):
    print("ready", flush=True)
    time.sleep(30)
sys.exit(run_command(wait, None))
"""


def test_ctrl_c_is_130_without_a_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, "bench: interrupted\n")


def test_a_reader_that_left_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "load.json").write_text('{"examples_per_s": 1.0}', encoding="utf-8")
    for flags in ([], ["--json"]):
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "bench_harness", "summary", str(tmp_path), *flags]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
        os.close(writing)
        assert (done.returncode, done.stderr) == (141, "")
