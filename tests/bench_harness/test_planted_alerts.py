"""A planted 10 % and planted 20 MB per worker raise the alert after a real `asv run`; the commit before does not."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("asv")

from planted_project import PlantedProject

from bench_harness.record import Record

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BUDGETS = ("25s", "60s")  # the second for a machine that others keep busy


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> PlantedProject:
    """Three commits alike, one that computes 10 % longer, one whose workers hold 20 MB more; all measured by asv."""
    made = PlantedProject.create(tmp_path_factory.mktemp("planted") / "project")
    for name in ("first", "second", "third"):
        made.commit(name)
    made.commit("slower", loops=660_000)
    made.commit("larger", loops=660_000, megabytes=30)
    made.run_asv(*made.commits)
    return made


def alert(project: PlantedProject, base: str, head: str, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Run `bench alert`; return its exit code, and the rows of its record."""
    out = project.folder / "profiles" / "alert" / f"{base}-{head}"
    words = ["--base", project.commits[base], "--head", project.commits[head], "--out", str(out)]
    done = project.run("bench", "alert", *words, *options, timeout_s=250)
    assert done.returncode in (0, 1, 4), done.stdout + done.stderr
    return done.returncode, Record.read(out).results["benchmarks"]


def alarms(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(f"{row['name']} {row['metric']}" for row in rows if row["alarm"])


def test_the_commit_before_raises_no_alert(project: PlantedProject) -> None:
    code, rows = alert(project, "second", "third", "--confirm", BUDGETS[0])
    assert (code in (0, 4), alarms(rows)) == (True, [])


def test_ten_percent_more_time_raise_the_alert_once_a_fresh_run_has_confirmed_it(project: PlantedProject) -> None:
    """As in CI: both commits are measured in one job, and the alert reads what came of it.

    What asv measured of them at two moments may say anything, as the machine's speed is one thing now and another then.
    """
    for budget in BUDGETS:
        commits = project.commits["third"], project.commits["slower"]
        done = project.run("bench", "compare", *commits, "--bench", "time_work", "--budget", budget, timeout_s=250)
        assert done.returncode in (0, 1, 4), done.stdout + done.stderr
        code, rows = alert(project, "third", "slower")
        if done.returncode != 4:
            break
    else:
        loads = {row["load"] for row in rows if row["load"]}
        pytest.skip(
            f"undecided after {budget} of fresh rounds: others keep this machine busy ({', '.join(loads)} cores)"
        )
    assert (code, alarms(rows)) == (1, ["kernels.time_work cpu_s"])
    row = next(row for row in rows if row["alarm"])
    assert (row["source"], row["confirmed"]) == ("compare", True)
    assert row["ratio"] > 1.02  # beyond the effect; that it is above 1 at all is what the interval has to show
    assert row["ci"][0] > 1


def test_twenty_megabytes_per_worker_raise_the_alert_at_once(project: PlantedProject) -> None:
    code, rows = alert(project, "slower", "larger")
    assert (code, alarms(rows)) == (1, ["kernels.track_uss_bytes_per_worker value"])
    row = next(row for row in rows if row["alarm"])
    assert (row["source"], row["confirmed"]) == ("asv", True)
    assert row["head"] - row["base"] == pytest.approx(20e6, rel=0.05)
