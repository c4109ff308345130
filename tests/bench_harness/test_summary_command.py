"""`bench summary` as a process: what it reads, writes and prints."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench_harness.record import Record

pytest.importorskip("asv")

GOLDEN = Path(__file__).parent / "golden" / "asv_project"
SETTINGS = """
[tool.bench_harness.summary]
headlines = [{label = "image", benchmark = "image.View.time_view", params = ["21^3 0.75 A", 1]}]
history = [{label = "image", benchmark = "image.View.time_view"}]
[tool.bench_harness.summary.landmarks]
naive = "deb540b2"
"""
CAPTURE = "import os; held = bytearray(2_000_000); pid = os.fork(); pid and os.waitpid(pid, 0)"


def summary(cwd: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BENCH_MACHINE": "bench-box", "GIT_CEILING_DIRECTORIES": str(cwd.parent), **variables}
    command = [sys.executable, "-m", "bench_harness", "summary", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60, check=False)


def record_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, "")
    record: dict[str, Any] = json.loads(done.stdout)
    return record


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with asv results, and one run folder with two load files."""
    project = Path(shutil.copytree(GOLDEN, tmp_path / "project"))
    (project / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")
    run = project / "profiles" / "load" / "20260201T000000Z-nogit-box"
    run.mkdir(parents=True)
    (run / "load-0.json").write_text('{"examples_per_s": 812.5, "workers": 0}', encoding="utf-8")
    (run / "load-2.json").write_text('{"examples_per_s": NaN, "workers": 2}', encoding="utf-8")
    return project


def run_of(project: Path) -> Path:
    return next((project / "profiles" / "load").iterdir())


def test_record_first_then_text(project: Path) -> None:
    done = summary(project)
    assert (done.returncode, done.stderr) == (0, "")
    assert "image   1.09 ms" in done.stdout
    assert "x 18.6 faster" in done.stdout
    assert "\x1b" not in done.stdout
    record = Record.read(run_of(project))
    assert (record.command, record.argv) == ("summary", ["summary"])
    assert record.artifacts["asv"] == "../../../results"
    assert [row["label"] for row in record.results["history"]] == ["naive", "this one"]
    assert [row["values"]["examples_per_s"] for row in record.results["load"]] == [812.5, None]
    assert "results.load[1].values.examples_per_s was not a finite number: written as null" in record.warnings
    index = json.loads((project / "profiles" / "index.json").read_text(encoding="utf-8"))
    assert [run["command"] for run in index["runs"]] == ["summary"]


def test_json_is_the_record_and_nothing_else(project: Path) -> None:
    record = record_of(summary(project, "--json"))
    assert record == json.loads((run_of(project) / "record.json").read_text(encoding="utf-8"))


def test_again_gives_the_same(project: Path) -> None:
    first, second = (record_of(summary(project, "--json")) for _ in range(2))
    for record in (first, second):
        del record["started"], record["wall_s"], record["environment"]["load"], record["environment"]["memory"]
    assert first == second
    assert len(list((project / "profiles").glob("*/*/record.json"))) == 1


def test_asv_results_alone_have_one_folder_of_their_own(project: Path) -> None:
    shutil.rmtree(project / "profiles")
    assert [summary(project).returncode for _ in range(2)] == [0, 0]
    (folder,) = (project / "profiles" / "summary").iterdir()
    assert folder.name.endswith("Z-nogit-bench-box")


def test_commit_machine_and_out(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    arguments = ["--commit", "deb540b2", "--machine", "bench-box", "--asv-config", "asv.conf.json", "--out", str(out)]
    record = record_of(summary(project, *arguments, "--json"))
    assert record["results"]["headlines"][0]["value"] == pytest.approx(0.02026, rel=1e-3)
    assert Record.read(out).artifacts["load-0"] == "../project/profiles/load/20260201T000000Z-nogit-box/load-0.json"
    assert not (run_of(project) / "record.json").exists()
    wrong = summary(project, "--commit", "0000")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "measured: 8a2c27d5, deb540b2" in wrong.stderr


def test_nothing_configured_shows_everything_of_the_newest_commit(project: Path) -> None:
    (project / "pyproject.toml").unlink()
    results = record_of(summary(project, "--json"))["results"]
    assert len(results["headlines"]) == 7
    assert results["history"] == []


def test_captures_of_a_real_run(tmp_path: Path) -> None:
    pytest.importorskip("memray")
    (tmp_path / "memray").mkdir()
    (tmp_path / "target.py").write_text(CAPTURE, encoding="utf-8")
    command = [sys.executable, "-m", "memray", "run", "-q", "--follow-fork", "-o", "memray/load.bin", "target.py"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    (tmp_path / "memray" / "load.bin.999999").touch()
    record = record_of(summary(tmp_path, ".", "--json"))
    assert [row["role"] for row in record["results"]["memory"]["processes"]] == ["main", "worker"]
    assert (record["completed"], record["workers"]["delivered"], record["workers"]["expected"]) == (False, 1, 2)
    assert record["warnings"][0].startswith("1 of 3 captures unreadable: load.bin.999999: 0 bytes")
    text = summary(tmp_path, ".").stdout
    assert "1 of 2 forked processes delivered a capture" in text
    assert "pages a worker copies on write are invisible" in text


@pytest.mark.parametrize("content", ["", "{", "[1]", "progress...\n{}", '{"a": 1}\n{"a": 2}'])
def test_only_unreadable_files_are_nothing_measured(tmp_path: Path, content: str) -> None:
    (tmp_path / "load.json").write_text(content, encoding="utf-8")
    done = summary(tmp_path, ".")
    assert (done.returncode, done.stdout) == (3, "")
    assert "nothing measured" in done.stderr
    assert "load.json left out" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "record.json").exists()


def test_a_workload_that_did_not_complete_is_shown_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "load.json").write_text('{"examples_per_s": 3.0, "completed": false}', encoding="utf-8")
    record = record_of(summary(tmp_path, ".", "--json"))
    assert (record["completed"], len(record["results"]["load"])) == (False, 1)
    assert record["warnings"] == ["load.json: the workload says it did not complete"]


def test_only_failed_benchmarks_are_nothing_measured(project: Path) -> None:
    shutil.rmtree(project / "profiles")
    settings = '[tool.bench_harness.summary]\nheadlines = [{label = "x", benchmark = "image.track_broken"}]\n'
    (project / "pyproject.toml").write_text(settings, encoding="utf-8")
    done = summary(project)
    assert (done.returncode, done.stdout) == (3, "")
    assert "asv: failed at 8a2c27d5" in done.stderr


def test_the_record_of_another_command_is_never_replaced(project: Path) -> None:
    folder = run_of(project)
    assert summary(project).returncode == 0
    path = folder / "record.json"
    foreign = path.read_text(encoding="utf-8").replace('"command": "summary"', '"command": "profile"')
    path.write_text(foreign, encoding="utf-8")
    done = summary(project, str(folder))
    assert (done.returncode, path.read_text(encoding="utf-8")) == (2, foreign)
    assert "is the record of 'profile' and is not overwritten; give another folder with --out" in done.stderr
    assert summary(project, str(folder), "--out", str(folder / "mine")).returncode == 0


def test_the_newest_run_of_any_target_is_taken(project: Path) -> None:
    newer = project / "profiles" / "a" / "20260301T000000Z-nogit-box"
    newer.mkdir(parents=True)
    (newer / "load.json").write_text('{"examples_per_s": 1}', encoding="utf-8")
    (project / "profiles" / "z" / "20260401T000000Z-nogit-box").mkdir(parents=True)
    assert summary(project).returncode == 0
    assert (newer / "record.json").exists()


def test_bad_settings_and_bad_folders_are_usage_errors(project: Path) -> None:
    (project / "file").touch()
    done = summary(project, "--out", "file")
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot write the record" in done.stderr
    (project / "pyproject.toml").write_text("[tool.bench_harness]\nsumary = 1\n", encoding="utf-8")
    done = summary(project)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'summary'?" in done.stderr


def test_asv_not_installed_is_said(project: Path) -> None:
    # A package of the same name that cannot be found stands in for an environment without asv.
    code = "import sys; sys.modules['asv'] = None; from bench_harness.__main__ import main; sys.exit(main(['summary']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=project, check=False)
    assert done.returncode == 0
    assert "asv is not installed; try: pip install 'bench_harness[asv]'" in " ".join(done.stdout.split())


def test_a_terminal_gets_colour_unless_told_otherwise(project: Path) -> None:
    script = shutil.which("script")
    if script is None:
        pytest.skip("no script(1)")
    command = [script, "-qec", f"'{sys.executable}' -m bench_harness summary", "/dev/null"]
    terminal = {**os.environ, "TERM": "xterm-256color"}
    terminal.pop("NO_COLOR", None)
    shown = subprocess.run(command, capture_output=True, text=True, cwd=project, env=terminal, check=True).stdout
    assert "\x1b[" in shown


def test_a_second_summary_keeps_the_conditions_of_the_first(project: Path) -> None:
    """The figures in the folder were measured then and there, whatever commit and machine it is now."""
    first = record_of(summary(project, "--json"))
    second = record_of(summary(project, "--json", BENCH_MACHINE="another-box"))
    assert second["environment"] == first["environment"]
    assert second["started"] == first["started"]
    assert second["environment"]["machine"] == "bench-box"
