"""`bench alert` as a user and a CI call it: references, formats and files, exit codes, the record."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from alert_evidence import MACHINE, write_results, write_suite

from bench_harness.__main__ import main
from bench_harness.record import Record

pytest.importorskip("asv")

SUITE = {"s.track_b": ("track", "bytes"), "s.time_a": ("time", "seconds")}


class Repository:
    """A git repository of empty commits, with asv results of some."""

    def __init__(self, folder: Path, commits: list[str]) -> None:
        self.folder, self.commits = folder, commits

    def git(self, *arguments: str) -> str:
        return subprocess.check_output(["git", "-C", str(self.folder), *arguments], text=True, timeout=30).strip()

    def commit(self, message: str = "change", **values: Any) -> str:
        """Commit nothing, and write results of it; without values there are none."""
        self.git("commit", "-q", "--allow-empty", "-m", message)
        self.commits.append(self.git("rev-parse", "HEAD"))
        if values:
            named = {f"s.{name}": value for name, value in values.items()}
            write_results(self.folder, self.commits[-1], named, date=len(self.commits))
        return self.commits[-1]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Five commits with exact values, then one that holds more memory."""
    folder = tmp_path_factory.mktemp("alert") / "repository"
    write_suite(folder, SUITE)
    made = Repository(folder, [])
    made.git("init", "-q", "-b", "main")
    for _ in range(5):
        made.commit(track_b=1000.0, time_a=0.01)
    made.commit(track_b=1300.0, time_a=0.01)
    return made


@pytest.fixture
def repository(prepared: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A copy of it, as the working folder."""
    folder = Path(shutil.copytree(prepared.folder, tmp_path / "repository"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BENCH_MACHINE", MACHINE)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return Repository(folder, list(prepared.commits))


def newest_record() -> Record:
    return Record.read(max(Path("profiles/alert").iterdir(), key=lambda folder: folder.stat().st_mtime_ns))


def test_the_commit_that_is_worse_and_the_one_before(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alert", "--base", "HEAD~1"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("1 regression, 1 fine: base ")
    assert "this value repeated exactly over 5 earlier commits" in printed
    assert f"record: profiles/alert/{max(Path('profiles/alert').iterdir()).name}" in printed
    assert main(["alert", "--base", "HEAD~2", "--head", "HEAD~1"]) == 0
    assert capsys.readouterr().out.startswith("2 fine: base ")


def test_the_record_holds_what_every_report_is_made_of(repository: Repository) -> None:
    assert main(["alert", "--base", "main~1", "--head", "main", "--out", "out"]) == 1
    results = Record.read("out").results
    assert results["base"] == {"commit": repository.commits[-2], "label": "main~1"}
    assert (results["counts"], results["exit_code"]) == ({"regression": 1, "fine": 1}, 1)
    assert results["evidence"] == {"compare": [], "asv": "results"}
    row = results["benchmarks"][0]
    assert (row["name"], row["base"], row["head"], row["verdict"], row["alarm"]) == (
        "s.track_b", 1000.0, 1300.0, "regression", True,
    )  # fmt: skip
    assert row["noise"]["exact"] is True
    assert row["rule"]["effect"] == 0.02


def test_several_formats_at_once(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    files = ["--format", "markdown=comment.md", "--format", "junit=alert.xml", "--format", "json=alert.json"]
    assert main(["alert", "--base", "HEAD~1", "--format", "github", *files]) == 1
    (annotation,) = capsys.readouterr().out.splitlines()
    assert annotation.startswith("::error title=regression%3A s.track_b::s.track_b value: 1 kB -> 1.3 kB, x 1.300")
    assert Path("comment.md").read_text(encoding="utf-8").startswith("<!-- bench alert -->\n## Benchmarks&#58;"[:30])
    assert Path("summary.md").read_text(encoding="utf-8") == Path("comment.md").read_text(encoding="utf-8")
    assert 'failures="1"' in Path("alert.xml").read_text(encoding="utf-8")
    assert json.loads(Path("alert.json").read_text(encoding="utf-8")) == newest_record().to_json()


def test_the_github_format_can_be_looked_at_anywhere(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alert", "--base", "HEAD~1", "--format", "github", "--output", "report.md"]) == 1
    assert capsys.readouterr().out.count("\n") == 1
    assert main(["alert", "--base", "HEAD~1", "--format", "github"]) == 1
    printed = capsys.readouterr().out
    pages = [printed.partition("\n")[2], Path("report.md").read_text(encoding="utf-8")]
    assert len({re.sub(r"load [\d. ]+", "", page) for page in pages}) == 1


def test_a_trailer_accepts_a_change(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.commit("hold the table\n\nPerf-Expect: s.track_b larger<=1.8x", track_b=2200.0, time_a=0.01)
    assert main(["alert", "--base", "HEAD~1"]) == 0
    assert "accepted by: " in capsys.readouterr().out
    assert main(["alert", "--base", "HEAD~2"]) == 1  # 2.2 times is more than that
    repository.commit("again\n\nPerf-Expect: s.track_b bigger", track_b=2200.0, time_a=0.01)
    assert main(["alert", "--base", "HEAD~1"]) == 0
    assert "'Perf-Expect: s.track_b bigger' is not BENCHMARK" in " ".join(capsys.readouterr().out.split())


def test_steps_of_the_history(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(6):
        repository.commit(track_b=1300.0 + number % 2, time_a=0.01)
    assert main(["alert", "--base", repository.commits[3], "--history", "--bench", "track_b"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert f"a step in the history at {repository.commits[5][:12]}" in printed
    row = next(row for row in newest_record().results["benchmarks"] if row["source"] == "history")
    assert (row["verdict"], row["ratio"]) == ("regression", pytest.approx(1.3, rel=0.01))
    # The same step is not after a later base, and a commit without results of its own has a history all the same.
    repository.commit()
    assert main(["alert", "--base", repository.commits[7], "--history"]) == 0
    words = {row["words"] for row in newest_record().results["benchmarks"]}
    assert words == {"no step after base, in a history of 12 commits"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--base", "gone"], "--base gone: git knows no such commit; see git log --all"),
        (["--base", "--all"], "expected one argument"),
        (["--base", "HEAD"], "are the same commit"),
        (["--base", "HEAD~1", "--bench", "("], "--bench (: not a regular expression"),
        (["--base", "HEAD~1", "--format", "githb"], "'githb': did you mean 'github'?"),
        (["--base", "HEAD~1", "--format", "text", "--format", "junit"], "would share stdout"),
        (["--base", "HEAD~1", "--format", "junit=x", "--output", "y"], "give it to one --format that has no file"),
        (["--base", "HEAD~1", "--format", "junit=x", "--format", "text=x"], "give a file of its own"),
        (["--base", "HEAD~1", "--output", "gone/x"], "in a folder that exists"),
        (["--base", "HEAD~1", "--compare", "gone"], "gone: no such record"),
        (["--base", "HEAD~1", "--machine", "gone"], "--machine gone: no asv results of it"),
        (["--base", "HEAD~1", "--asv-config", "gone"], "gone: no such file"),
    ],
)
def test_bad_input_is_one_line(
    repository: Repository, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["alert", *arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err.splitlines()[-1]
    assert said.out == ""
    assert not Path("profiles").exists()


def test_a_clone_without_the_base_says_how_to_get_it(
    repository: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"file://{repository.folder}"
    subprocess.run(["git", "clone", "-q", "--depth", "1", url, str(tmp_path / "shallow")], check=True, timeout=30)
    monkeypatch.chdir(tmp_path / "shallow")
    assert main(["alert", "--base", "HEAD~1"]) == 2
    assert "this clone is shallow: git fetch --unshallow (in CI: fetch-depth: 0)" in capsys.readouterr().err


def test_outside_of_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert main(["alert", "--base", "HEAD~1"]) == 2
    assert "no git repository here" in capsys.readouterr().err


def test_nothing_measured_is_neither_fine_nor_a_regression(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = repository.commit()
    assert main(["alert", "--base", "HEAD~1"]) == 3
    assert f"no asv results of head {commit[:12]}" in capsys.readouterr().err
    assert not Path("profiles").exists()


def test_a_suspect_is_no_alarm_and_one_that_cannot_be_confirmed_is_not_measured(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.commit(track_b=1300.0, time_a=0.02)
    assert main(["alert", "--base", "HEAD~1"]) == 4
    # asv's environment of this project is `existing`, which holds no two commits.
    assert main(["alert", "--base", "HEAD~1", "--confirm", "5s"]) == 3
    confirmation = newest_record().results["confirmation"]
    assert confirmation["command"].endswith("--bench '^(s\\.time_a)(\\(|$)' --budget 5s")
    assert confirmation["problem"].startswith("bench: error: ")
    assert "suspects could not be measured afresh" in capsys.readouterr().out


def test_an_other_commands_record_is_not_overwritten(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    Record("diff", [], "2026-01-31T12:00:00Z", 1.0, True).write("out")
    assert main(["alert", "--base", "HEAD~1", "--out", "out"]) == 2
    assert "is the record of 'diff' and is not overwritten" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ratio", "changed", "verdict"), [(1.001, False, None), (1.3, True, "regression"), (None, False, "suspected")]
)
def test_a_comparison_in_one_job_decides_what_a_step_of_a_time_is(
    repository: Repository, ratio: float | None, changed: bool, verdict: str | None
) -> None:
    """Without one, a step of a time is suspected only: the machine has steps as well."""
    for number in range(6):
        repository.commit(track_b=1300.0, time_a=0.013 + number % 2 * 1e-6)
    if ratio is not None:
        row = {"name": "s.time_a", "params": {}, "metric": "wall_s", "ratio": ratio, "confidence": 0.95}
        row |= {"ci": [ratio * 0.995, ratio * 1.005], "verdict": "regression" if changed else "fine"}
        base, head = repository.commits[4], repository.commits[7]
        results = {"base": {"commit": base}, "head": {"commit": head}, "benchmarks": [row | {"confirmed": changed}]}
        record = Record("compare", [], "2026-01-01T00:00:00Z", 1.0, True, results=results)
        record.write(repository.folder / "profiles" / "compare" / "1")
    main(["alert", "--base", repository.commits[3], "--history", "--bench", "time_a"])
    rows = [row for row in newest_record().results["benchmarks"] if row["source"] == "history"]
    assert [row["verdict"] for row in rows if row["words"].startswith("a step")] == [verdict] * (verdict is not None)
