"""Series of a real repository's commits, from results that asv wrote; cut where values stop being comparable."""

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("asv")

from asv_history import QUIET, Project, levels

from bench_harness.errors import UsageError
from bench_harness.history.asv_results import AsvResults
from bench_harness.history.commits import CommitLine, commit_line
from bench_harness.history.series import Series, build_series

SAMPLES = levels(1.0, *QUIET)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "project")


def read(project: Project, revisions: str = "HEAD") -> tuple[list[Series], CommitLine]:
    results = AsvResults.load(project.folder / "asv.conf.json")
    line = commit_line(project.folder, {one.commit: one.date for one in results.commits}, revisions)
    return build_series(results, line), line


def test_one_series_with_samples_gaps_and_failures(project: Project) -> None:
    a, b, c, d = (project.commit(name) for name in "abcd")
    for commit, value in ((d, 3.0), (a, 1.0)):
        project.measure(commit, samples=levels(value, *QUIET))
    project.measure(c, samples=[None], params={"n": [1]})
    project.measure(a, "suite.time_none", samples=SAMPLES, keep=False)
    series, line = read(project)
    by_name = {(one.benchmark, one.params): one for one in series}
    one = by_name["suite.time_x", ()]
    assert (one.machine, one.environment, one.version, one.unit, one.rounds) == ("box", "env", "1", "seconds", 5)
    assert [(point.commit, point.position) for point in one.points] == [(a, 0), (d, 3)]
    assert one.points[0].samples == tuple(SAMPLES)
    assert one.points[1].value == pytest.approx(3.0)
    assert one.between(*one.points) == (b, c)
    failed = by_name["suite.time_x", (("n", "1"),)]
    assert [(point.value, point.why) for point in failed.points] == [(None, "failed")]
    assert failed.measured == ()
    assert by_name["suite.time_none", ()].points[0].samples == ()
    assert line.warnings == ()


def test_a_parameter_combination_is_a_series_of_its_own(project: Project) -> None:
    for name, mean in (("a", 1.0), ("b", 2.0)):
        project.measure(
            project.commit(name),
            samples=[levels(mean, *QUIET), None, levels(mean * 10, *QUIET), levels(mean * 20, *QUIET)],
            params={"size": [1, 2], "kind": ["x", "y"]},
        )
    series, _ = read(project)
    values = {
        tuple(value for _, value in one.params): [None if p.value is None else round(p.value, 6) for p in one.points]
        for one in series
    }
    assert values == {("1", "x"): [1, 2], ("1", "y"): [None, None], ("2", "x"): [10, 20], ("2", "y"): [20, 40]}
    assert [one.began for one in series] == [None] * 4


def test_a_new_version_cuts_and_says_where(project: Project) -> None:
    commits = [project.commit(name) for name in "abcd"]
    for commit, version in zip(commits, ("1", "1", "2", "1"), strict=True):
        project.measure(commit, samples=SAMPLES, version=version)
    series, _ = read(project)
    assert [[point.commit for point in one.points] for one in series] == [commits[:2], commits[2:3], commits[3:]]
    assert [one.began for one in series] == [
        None,
        f"benchmark version changed from 1 to 2 at {commits[2][:12]}",
        f"benchmark version changed from 2 to 1 at {commits[3][:12]}",
    ]


def test_another_machine_environment_or_parameter_cuts(project: Project) -> None:
    a, b, c, d = (project.commit(name) for name in "abcd")
    project.measure(a, samples=SAMPLES)
    project.measure(b, samples=SAMPLES, machine="other")
    project.measure(c, samples=SAMPLES, machine="other", environment="py3.12")
    project.measure(d, samples=[SAMPLES], params={"n": [5]}, machine="other", environment="py3.12")
    series, _ = read(project)
    assert {one.points[0].commit: one.began for one in series} == {
        a: None,
        b: f"machine changed from box to other at {b[:12]}",
        c: f"environment changed from env to py3.12 at {c[:12]}",
        d: f"parameters changed from none to n=5 at {d[:12]}",
    }


def test_environments_side_by_side_are_no_change(project: Project) -> None:
    for name in "ab":
        commit = project.commit(name)
        for environment in ("py3.11", "py3.12"):
            project.measure(commit, samples=SAMPLES, environment=environment)
    series, _ = read(project)
    assert [(one.environment, len(one.points), one.began) for one in series] == [
        ("py3.11", 2, None),
        ("py3.12", 2, None),
    ]


def test_only_the_first_parent_line_is_a_history(project: Project) -> None:
    a = project.commit("a")
    project.git("checkout", "--quiet", "-b", "side")
    side = project.commit("side")
    project.git("checkout", "--quiet", "main")
    b = project.commit("b")
    project.git("merge", "--quiet", "--no-ff", "-m", "merge", "side")
    merge = project.git("rev-parse", "HEAD")
    for commit in (a, side, b, merge):
        project.measure(commit, samples=SAMPLES)
    series, line = read(project)
    assert [point.commit for point in series[0].points] == [a, b, merge]
    assert line.elsewhere == (side,)
    assert line.warnings == (f"results of {side[:12]} left out: not on the first-parent line of HEAD",)
    series, _ = read(project, "side")
    assert [point.commit for point in series[0].points] == [a, side]
    ranged, line = read(project, f"{a}..HEAD")
    assert [point.commit for point in ranged[0].points] == [b, merge]
    assert line.warnings == ()


def test_commits_that_the_clone_lacks_are_left_out_with_a_word(project: Project, tmp_path: Path) -> None:
    first, second = project.commit("a"), project.commit("b")
    for commit in (first, second):
        project.measure(commit, samples=SAMPLES)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", project.folder.as_uri(), clone], check=True)
    results = AsvResults.load(project.folder / "asv.conf.json")
    line = commit_line(clone, {one.commit: one.date for one in results.commits})
    assert line.commits == (second,)
    assert line.warnings == (
        f"results of {first[:12]} left out: not in this clone; if it is shallow, git fetch --unshallow",
    )


def test_without_a_repository_dates_give_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    line = commit_line(tmp_path, {"b" * 40: "2026-01-02", "a" * 40: "2026-01-03", "c" * 40: "2026-01-01"})
    assert [commit[0] for commit in line.commits] == ["c", "b", "a"]
    assert line.warnings == (f"{tmp_path}: no git repository, or no git: commits are ordered by their dates",)
    with pytest.raises(UsageError, match="needs git and a repository"):
        commit_line(tmp_path, {}, "v1..HEAD")


@pytest.mark.parametrize("revisions", ["nonsense", "v1..HEAD", "--all"])
def test_unknown_revisions_are_an_error(project: Project, revisions: str) -> None:
    project.commit("a")
    with pytest.raises(UsageError, match=f"git knows no commits '{revisions}'"):
        commit_line(project.folder, {}, revisions)
