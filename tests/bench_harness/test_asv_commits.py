"""Two commits of an asv project: refusals, environments, and one comparison from the command to the record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from asv_projects import PACKAGE, commit, make_project

from bench_harness.__main__ import main
from bench_harness.errors import ConfigError, CouldNotMeasureError, HarnessError, UsageError
from bench_harness.record import Record
from bench_harness.verdict.asv_commits import commit_pair
from bench_harness.verdict.asv_project import Project
from bench_harness.verdict.rule import Rule, Verdict
from bench_harness.verdict.sequential import Sequential

pytest.importorskip("asv")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one commit; the working folder is in it."""
    folder = make_project(tmp_path / "toy")
    commit(folder, "first", PACKAGE.format(size=1000))
    monkeypatch.chdir(folder)
    return folder


def test_a_commit_is_what_git_calls_it(project: Path) -> None:
    opened = Project()
    found = opened.commit("main")
    assert opened.commit(found.hash[:10]).hash == opened.commit("HEAD").hash == found.hash
    assert (found.label, opened.commit(found.hash).label) == ("main", found.hash[:12])
    with pytest.raises(UsageError, match=r"'nowhere' is no commit of the repository of asv\.conf\.json"):
        opened.commit("nowhere")


def reconfigure(folder: Path, **changes: object) -> None:
    path = folder / "asv.conf.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"environment_type": None}, ConfigError, "environment_type is missing"),
        ({"environment_type": "existing"}, UsageError, "holds one installed state, not two commits"),
        ({"environment_type": "imaginary"}, CouldNotMeasureError, "asv: Unknown environment type 'imaginary'"),
        ({"benchmark_dir": "nothing_here"}, ConfigError, "benchmark_dir: No __init__.py file"),
        ({"repo": None}, ConfigError, "not an asv configuration: No repo specified"),
        ({"repo": "elsewhere"}, ConfigError, "repo: Can not determine what kind of DVCS"),
        ({"plugins": [".no_such_plugin"]}, ConfigError, "No module named 'no_such_plugin'"),
        ({"pythons": ["2.1"], "environment_type": "virtualenv"}, CouldNotMeasureError, "No executable found"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_line(
    project: Path, changes: dict[str, object], kind: type[HarnessError], words: str
) -> None:
    reconfigure(project, **changes)
    with pytest.raises(kind) as caught, commit_pair("HEAD", "HEAD"):
        pass
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (project / ".asv").exists()


def test_no_configuration_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"no asv.conf.json here; .* or compare two commands with --a and --b"):
        Project()
    with pytest.raises(ConfigError, match=r"there.json: no such file"):
        Project(Path("there.json"))


def test_the_environment_is_the_one_that_is_named(project: Path) -> None:
    reconfigure(project, matrix={"env": {"MODE": ["fast", "slow"]}})
    opened = Project()
    names = [each.name for each in opened.environments("compare-a")]
    assert len(names) == 2
    (named,) = opened.environments("compare-a", names[1])
    assert (named.name, named.env_vars) == (names[1], {"MODE": "slow"})
    with pytest.raises(UsageError, match=r"--environment no:such is no environment of asv\.conf\.json"):
        opened.environments("compare-a", "no:such")


def test_two_comparisons_do_not_share_environments(project: Path) -> None:
    told = pytest.raises(UsageError, match=r"another bench compare is using .*env; wait for it")
    with Project().held(), told, commit_pair("HEAD", "HEAD"):
        pass
    with Project().held():
        pass


def test_the_users_folder_is_left_as_it_was(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """asv takes the configuration's folder for the working folder; we go there and come back."""
    inner = project / "toy"
    monkeypatch.chdir(inner)
    opened = Project(Path("../asv.conf.json"))
    path = Path(opened.environments("compare-a")[0]._path)
    assert path.is_relative_to(project / ".asv" / "env" / "compare-a")
    assert Path.cwd() == inner


SHORT = ("--rounds-max", "3", "--budget", "100s")  # of exact values, two rounds decide


def compare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench_harness", "compare", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["HEAD", "nowhere"], 2, "'nowhere' is no commit of the repository"),
        (["HEAD"], 2, "two commits to compare: bench compare HEAD HEAD"),
        (["HEAD", "HEAD", "--bench", "("], 2, "--bench '(' is no regular expression"),
        (["HEAD", "HEAD", "--metric", "cpus"], 2, "--metric cpus: did you mean 'cpu_s'?"),
        (["HEAD", "HEAD", "--shell"], 2, "--shell goes with two commands, not with the other"),
        (["--a", "true", "--b", "true", "--bench", "x"], 2, "--bench goes with two commits, not with the other"),
    ],
)
def test_refusals_of_the_command(
    project: Path, arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *arguments]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("bench: error: ")
    assert words in printed.err
    assert printed.err.count("\n") == 1
    assert not (project / "profiles").exists()
    assert not (project / ".asv").exists()


@pytest.mark.slow
@pytest.mark.timeout(250)
def test_two_commits_from_the_command_to_the_record(project: Path) -> None:
    """asv exits with 1 for a regression, an unknown commit, no environment, no benchmark and a crash alike.

    The slowdown is of exact steps, told by a track_ benchmark, so that the verdict is not the machine's.
    """
    second = commit(project, "a tenth more steps, and new()", PACKAGE.format(size=1100) + "def new(): pass\n")
    done = compare(project, "main~1", "main", *SHORT, "--bench", "track_size|new_call|Factors", "--out", "x")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "bench: making the environment linked" in done.stderr
    assert "kernels.Factors.time_work(factor=2): not compared, skipped on base" in unwrapped(done.stdout)
    record = Record.read(project / "x")
    rows = {(row["name"], row["metric"]): row for row in record.results["benchmarks"]}
    steps = rows["kernels.track_size", "value"]
    assert (steps["verdict"], steps["unit"]) == ("regression", "steps")
    assert steps["confirmed"]
    assert (set(steps["samples"]["a"]), set(steps["samples"]["confirm_b"])) == ({1000.0}, {1100.0})
    assert rows["kernels.Factors.time_work", "cpu_s"]["params"] == {"factor": "1"}
    assert list(rows["kernels.time_new_call", "all"]["failed"]) == ["a"]
    assert record.results["head"] == {"commit": second, "label": "main"}
    sides, certificate = record.results["sides"], record.results["certificate"]
    assert sides["environment"].startswith("linked-py")
    assert certificate["build_s"] == pytest.approx(sum(sides["build_s"].values()), abs=0.01)
    assert certificate["build_s"] > 0
    assert set(sides["plans"]) >= {"kernels.Factors.time_work(factor=1)"}

    # The other way round nothing is built again: each side takes the folder that holds its commit. What fails on head
    # but not on base is an alarm, and says which benchmark it is.
    done = compare(project, "main", "main~1", *SHORT, "--bench", "new_call", "--out", "y")
    assert (done.returncode, done.stderr) == (1, ""), done.stdout
    assert Record.read(project / "y").results["certificate"]["build_s"] == 0
    assert "failed on head: AttributeError: module 'toy' has no attribute 'new'" in unwrapped(done.stdout)

    done = compare(project, "main", "main~1", "--bench", "nothing_of_the_kind")
    assert (done.returncode, done.stdout) == (3, "")
    assert "nothing measured: no benchmark matches --bench 'nothing_of_the_kind'" in done.stderr

    done = compare(project, "main~1", "main", *SHORT, "--bench", "time_other", "--metric", "calls", "--out", "c")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    (row,) = Record.read(project / "c").results["benchmarks"]
    assert (row["metric"], row["verdict"], set(row["samples"]["a"])) == ("calls", "fine", {2.0})  # itself, and sum()
    done = compare(project, "main~1", "main", "--bench", "time_other", "--metric", "value")
    assert (done.returncode, done.stdout) == (3, "")
    assert "nothing measured: no benchmark matches --bench 'time_other' and has --metric value; " in done.stderr

    commit(project, "does not build", "def broken(:\n")
    done = compare(project, "main~1", "main", *SHORT, "--bench", "track_size", "--out", "z")
    assert done.returncode == 1
    assert "failed on head: it cannot be built: " in unwrapped(done.stdout)
    assert "SyntaxError" in " ".join(Record.read(project / "z").results["sides"]["build_log"])
    done = compare(project, "main", "main~1", "--bench", "track_size")
    assert (done.returncode, done.stdout) == (3, "")
    assert "bench: error: base main: it cannot be built: " in done.stderr


def unwrapped(text: str) -> str:
    return " ".join(text.split())


def test_six_rounds_say_what_asvs_rule_never_can() -> None:
    """Of 6 samples a side the least p of asv's test is 2 / 924, above its 0.002: no slowdown is significant."""
    stats = pytest.importorskip("asv._stats")
    described = pytest.importorskip("asv_runner.statistics").compute_stats
    a = [100.0, 101.0, 102.0, 103.0, 104.0, 105.0]
    for b in ([value + 1000 for value in a], [value * 1000 for value in a]):
        assert not stats.is_different(a, b, described(a, 1)[1], described(b, 1)[1])
        verdict = Sequential(Rule(effect=0.02))
        assert verdict.look(a, b).verdict is Verdict.REGRESSION
        fresh = (a * 2)[: verdict.rounds_to_confirm()]
        assert verdict.confirm(fresh, [value + 1000 for value in fresh]).verdict is Verdict.REGRESSION
