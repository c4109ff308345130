"""`bench log` holds what commits announced in Perf-Expect trailers against what was measured."""

from collections.abc import Callable

import pytest

pytest.importorskip("asv")

from asv_history import Project, history, rows_of

Bench = Callable[..., tuple[int, str, str]]


def test_expectations_are_checked(project: Project, log: Bench) -> None:
    _, b, c = history(
        project,
        ("Start", 1.0),
        ("Much faster\n\nPerf-Expect: suite.time_x faster>=2x\nPerf-Expect: suite.time_x faster>=60%", 0.45),
        ("Costs a little\n\nPerf-Expect: suite.time_x slower <= 30%", 0.54),
    )
    code, out, err = log()
    assert code == 1
    assert (
        f"not as commit {b[:12]} expected (suite.time_x faster>=60%): suite.time_x at {b[:12]} on box, x 0.450" in err
    )
    verdicts = [row[6] for row in rows_of(out)]
    assert verdicts[1] == (
        "faster; as expected: suite.time_x faster&gt;=2x; NOT as expected: suite.time_x faster&gt;=60%"
    )
    assert verdicts[2] == "slower; as expected: suite.time_x slower &lt;= 30%"
    code, _, err = log("--range", f"{b}..HEAD")
    assert (code, err) == (0, "")
    assert c


def test_an_expectation_of_an_unmeasured_commit_is_held_against_the_next(project: Project, log: Bench) -> None:
    history(project, ("Start", 1.0))
    quiet = project.commit("Not measured\n\nPerf-Expect: suite.time_x faster>=3x")
    history(project, ("Measured", 0.5))
    code, _, err = log()
    assert code == 1
    assert err.startswith(f"not as commit {quiet[:12]} expected")


def test_an_expectation_is_held_against_one_row_alone(project: Project, log: Bench) -> None:
    """The third row is compared with the first, as the second has too few processes; what that announced is settled."""
    history(project, ("Start", 1.0))
    faster = project.commit("Faster\n\nPerf-Expect: suite.time_x faster>=2x")
    project.measure(faster, samples=[0.4, 0.4])
    history(project, ("Slower again", 0.6))
    code, out, _ = log()
    assert code == 0
    assert [row[6].count("as expected") for row in rows_of(out)] == [0, 1, 0]


@pytest.mark.parametrize(
    "trailer", ["suite.time_x", "suite.time_x faster", "suite.time_x faster>=two", "faster>=2x", "suite.time_x > 2x"]
)
def test_a_malformed_expectation_names_its_commit(project: Project, log: Bench, trailer: str) -> None:
    history(project, ("Start", 1.0))
    (commit,) = history(project, (f"Next\n\nPerf-Expect: {trailer}", 1.0))
    code, _, err = log()
    assert code == 0
    assert err.startswith(f"warning: commit {commit[:12]}: 'Perf-Expect: {trailer}' is not BENCHMARK faster|smaller")
    assert err.count("\n") == 1


def test_an_expectation_of_an_unknown_benchmark_names_its_commit(project: Project, log: Bench) -> None:
    (commit,) = history(project, ("Start\n\nPerf-Expect: suite.time_q faster>=2x", 1.0))
    _, _, err = log()
    assert err == (
        f"warning: commit {commit[:12]}: 'Perf-Expect: suite.time_q faster>=2x' names no benchmark with results; "
        "it is not checked\n"
    )
