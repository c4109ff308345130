"""`bench log` on a real repository with results that asv's own API wrote."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("asv")

from asv_history import QUIET, Project, history, levels, rows_of

from bench_harness.record import Record

Bench = Callable[..., tuple[int, str, str]]
NOISY = (-0.15, -0.05, 0.0, 0.05, 0.15)


def test_a_row_per_measured_commit_with_ratio_verdict_and_change(project: Project, log: Bench) -> None:
    a, b, c = history(project, ("Start", 1.0), ("Use one product", 0.5), ("Tidy", 0.5))
    code, out, err = log()
    assert (code, err) == (0, "")
    assert "### `suite.time_x`" in out
    assert "Machine `box`; environment `env`; benchmark version `1`; margin 5 %." in out
    assert rows_of(out) == [
        ["`suite.time_x`", "1 s", "3.16 ms", "5", "996 ms to 1 s", "-", "-", "Start", f"{a[:12]}, 2026-01-01"],
        [
            *("`suite.time_x`", "500 ms", "1.58 ms", "5", "498 ms to 502 ms", "0.500 [0.498, 0.502]"),
            *("faster", "Use one product", f"{b[:12]}, 2026-01-01"),
        ],
        [
            *("`suite.time_x`", "500 ms", "1.58 ms", "5", "498 ms to 502 ms", "1.000 [0.995, 1.005]"),
            *("no relevant difference within +-5 %", "Tidy", f"{c[:12]}, 2026-01-01"),
        ],
    ]


def test_text_from_trailer_then_note_then_subject(project: Project, log: Bench) -> None:
    *_, last = history(
        project,
        ("Subject only", 1.0),
        ("With a note", 1.0),
        ("With both\n\nPerf-Note: from the trailer,\n folded\nPerf-Note: twice", 1.0),
    )
    noted = project.commits[1]
    for commit in (noted, last):
        code, out, _ = log("add", "-m", "from the\nnote", commit[:10])
        assert code == 0
        assert out.startswith(f"noted for {commit[:12]} in refs/notes/perf")
    _, out, _ = log()
    assert [row[7] for row in rows_of(out)] == ["Subject only", "from the note", "from the trailer, folded; twice"]
    assert project.git("notes", "--ref=perf", "show", noted) == "from the\nnote"


def test_signed_commits_are_read_where_git_shows_signatures(project: Project, log: Bench) -> None:
    plain = project.git("cat-file", "commit", project.commit("Signed"))
    head, _, message = plain.partition("\n\n")
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n abc\n -----END PGP SIGNATURE-----"
    project.folder.joinpath("signed").write_text(f"{head}\n{signature}\n\n{message}\n", encoding="utf-8")
    signed = project.git("hash-object", "-t", "commit", "-w", "signed")
    project.git("update-ref", "HEAD", signed)
    project.measure(signed, samples=levels(1.0, *QUIET))
    program = project.folder / "gpg.sh"
    program.write_text("#!/bin/sh\necho 'gpg: Signature made' >&2\necho '[GNUPG:] GOODSIG 1 me'\n", encoding="utf-8")
    program.chmod(0o755)
    project.git("config", "gpg.program", str(program))
    project.git("config", "log.showSignature", "true")
    _, out, _ = log()
    assert [row[7] for row in rows_of(out)] == ["Signed"]


def test_add_refuses_what_would_be_lost_or_means_nothing(project: Project, log: Bench) -> None:
    (commit,) = history(project, ("Start", 1.0))
    assert log("add", "-m", "first")[0] == 0
    code, _, err = log("add", "-m", "second")
    assert (code, err) == (
        2,
        f"bench: error: commit {commit[:12]} has a note already ('first'); --replace writes over it\n",
    )
    assert log("add", "-m", "second", "--replace")[0] == 0
    assert project.git("notes", "--ref=perf", "show", commit) == "second"
    assert log("add", "-m", " \n")[2] == "bench: error: -m: the text is empty\n"
    assert log("add", "-m", "x", "nonsense")[2] == "bench: error: git knows no commit 'nonsense'\n"
    assert log("add")[0] == 2


def test_what_a_commit_says_cannot_break_the_table(project: Project, log: Bench) -> None:
    history(project, ("Start", 1.0), ("a | b <!-- bench log end --> `c` *d* _e_ snake_case", 1.0))
    project.folder.joinpath("C.md").write_text("", encoding="utf-8")
    assert log("--file", "C.md", "--init")[0] == 0
    assert log("--file", "C.md") == (0, "C.md: 1 table, unchanged\n", "")
    text = project.folder.joinpath("C.md").read_text(encoding="utf-8")
    assert r"| a \| b &lt;!-- bench log end --&gt; \`c\` \*d\* \_e\_ snake_case |" in text


def test_what_a_parameter_is_cannot_break_the_table(project: Project, log: Bench) -> None:
    (commit,) = (project.commit("Start"),)
    project.measure(
        commit, samples=[levels(1.0, *QUIET)] * 2, params={"text": ["two\nlines", "<!-- bench log end -->"]}
    )
    assert log("--file", "C.md", "--init")[0] == 0
    assert log("--file", "C.md") == (0, "C.md: 1 table, unchanged\n", "")
    text = project.folder.joinpath("C.md").read_text(encoding="utf-8")
    assert [row[0] for row in rows_of(text)] == [
        "`suite.time_x(<! -- bench log end -->)`",
        "`suite.time_x(two lines)`",
    ]


@pytest.mark.parametrize(("mean", "code"), [(1.2, 1), (0.8, 0), (1.0, 0)])
def test_the_newest_row_decides_the_exit_code(project: Project, log: Bench, mean: float, code: int) -> None:
    commits = history(project, ("Start", 1.0), ("Newest", mean))
    found, _, err = log()
    assert found == code
    assert err == (f"worse: suite.time_x at {commits[1][:12]} on box, x 1.200\n" if code else "")


def test_a_range_is_compared_with_what_lies_before_it(project: Project, log: Bench) -> None:
    a, b, _ = history(project, ("Start", 1.0), ("Base", 1.0), ("Newest", 1.2))
    code, out, _ = log("--range", f"{b}..HEAD")
    assert code == 1
    assert [(row[5], row[7]) for row in rows_of(out)] == [(f"1.200 [1.194, 1.206] to {b[:12]}", "Newest")]
    code, out, _ = log("--range", f"{a}..{b}")
    assert code == 0
    assert [row[7] for row in rows_of(out)] == ["Base"]


def test_a_slower_row_that_is_not_the_newest_is_history(project: Project, log: Bench) -> None:
    history(project, ("Start", 1.0), ("Slower", 1.2), ("Newest", 1.2))
    code, out, _ = log()
    assert code == 0
    assert [row[6] for row in rows_of(out)] == ["-", "slower", "no relevant difference within +-5 %"]


def test_one_slow_row_of_many_is_corrected_for_all(project: Project, log: Bench) -> None:
    """Barely slower: on its own beyond the margin, and with 40 others looked at no alarm."""
    first, second = project.commit("a"), project.commit("b")
    sizes = list(range(41))
    spread = (-0.03, -0.015, 0.0, 0.015, 0.03)
    project.measure(first, samples=[levels(1.0, *spread) for _ in sizes], params={"size": sizes})
    after = [levels(1.0 if size else 1.094, *spread) for size in sizes]
    project.measure(second, samples=after, params={"size": sizes})
    code, out, err = log()
    assert "slower" in {row[6] for row in rows_of(out)}
    assert (code, err) == (0, "")
    assert log("--bench", r"time_x\(0\)")[0] == 1


def test_rules_give_margin_and_direction(project: Project, log: Bench) -> None:
    project.folder.joinpath("pyproject.toml").write_text(
        '[[tool.bench_harness.rules]]\nbenchmark = "time_x"\neffect = "30%"\n'
        '[[tool.bench_harness.rules]]\nbenchmark = "time_y"\nbetter = "higher"\n',
        encoding="utf-8",
    )
    first, second = project.commit("a"), project.commit("b")
    for name in ("suite.time_x", "suite.time_y"):
        project.measure(first, name, samples=levels(1.0, *QUIET))
        project.measure(second, name, samples=levels(1.2, *QUIET))
    code, out, _ = log()
    assert code == 0
    assert [row[6] for row in rows_of(out)] == ["-", "no relevant difference within +-30 %", "-", "slower"]
    assert "margin 30 %" in out


def test_a_new_table_where_rows_stop_being_comparable(project: Project, log: Bench) -> None:
    a, b, c = (project.commit(name) for name in "abc")
    project.measure(a, samples=levels(1.0, *QUIET))
    project.measure(b, samples=levels(2.0, *QUIET), version="2")
    project.measure(c, samples=levels(2.0, *QUIET), version="2", machine="new")
    code, out, _ = log()
    assert code == 0
    assert out.count("### `suite.time_x`") == 3
    assert f"Not comparable with the table before: benchmark version changed from 1 to 2 at {b[:12]}." in out
    assert f"Not comparable with the table before: machine changed from box to new at {c[:12]}." in out
    assert [row[5] for row in rows_of(out)] == ["-", "-", "-"]
    _, out, _ = log("--machine", "new")
    assert len(rows_of(out)) == 1


def test_rows_that_cannot_be_compared_are_passed_over(project: Project, log: Bench) -> None:
    a, b, c = (project.commit(name) for name in "abc")
    project.measure(a, samples=levels(1.0, *QUIET))
    project.measure(b, samples=[9.0, 9.0])
    project.measure(c, samples=levels(1.0, *QUIET))
    _, out, err = log()
    assert [row[5] for row in rows_of(out)] == ["-", "9.000", f"1.000 [0.995, 1.005] to {a[:12]}"]
    assert rows_of(out)[1][6] == "not comparable: n = 2, needs 3"
    assert "1 of 3 times come from fewer than 3 processes" in err


def test_processes_are_counted_by_rounds(project: Project, log: Bench) -> None:
    for name in "ab":
        project.measure(project.commit(name), samples=levels(1.0, *QUIET), rounds=2)
    _, out, err = log()
    assert [row[3] for row in rows_of(out)] == ["2", "2"]
    assert "asv run --record-samples -a rounds=5 (then bench log --rounds 5)" in err
    _, out, err = log("--rounds", "5")
    assert [row[3] for row in rows_of(out)] == ["5", "5"]
    assert err == ""


def test_failed_and_unmeasured_commits(project: Project, log: Bench) -> None:
    a, b, c, d = (project.commit(name) for name in "abcd")
    project.measure(a, samples=levels(1.0, *QUIET))
    project.measure(c, "suite.track_x", value=None)
    project.measure(a, "suite.track_x", value=2.0)
    _, out, _ = log()
    assert [(row[0], row[1]) for row in rows_of(out)] == [
        ("`suite.time_x`", "1 s"),
        ("`suite.track_x`", "2"),
        ("`suite.track_x`", "failed"),
    ]
    _, out, _ = log("--gaps", "--bench", "track")
    assert [(row[1], row[8][:12]) for row in rows_of(out)] == [
        ("2", a[:12]),
        ("not measured", b[:12]),
        ("failed", c[:12]),
        ("not measured", d[:12]),
    ]


def test_a_benchmark_that_fails_now_and_did_not_before_is_an_alarm(project: Project, log: Bench) -> None:
    a, b = project.commit("a"), project.commit("b")
    project.measure(a, "suite.track_x", value=2.0)
    for commit in (a, b):
        project.measure(commit, "suite.track_broken", value=None)
        project.measure(commit, "suite.track_fine", value=1.0)
    assert log()[0] == 0
    project.measure(b, "suite.track_x", value=None)
    code, _, err = log()
    assert (code, err) == (1, f"fails: suite.track_x at {b[:12]} on box, and did not before\n")
    assert log("--bench", "broken")[0] == 3
    c = project.commit("c")
    project.measure(c, "suite.track_x", value=None)
    project.measure(c, "suite.track_fine", value=1.0)
    assert log()[0] == 0  # it did before


def test_the_file_keeps_hand_written_text_and_is_idempotent(project: Project, log: Bench) -> None:
    history(project, ("Start", 1.0), ("Next", 0.5))
    path = project.folder / "CHANGES.md"
    path.write_bytes(b"# Mine \xff\n\n<!-- bench log begin -->\nold\n<!-- bench log end -->\n\nmore\n")
    assert log("--file", "CHANGES.md") == (0, "CHANGES.md: 1 table, written\n", "")
    first = path.read_bytes()
    assert first.startswith(b"# Mine \xff\n\n<!-- bench log begin -->\n### `suite.time_x`\n")
    assert first.endswith(b"<!-- bench log end -->\n\nmore\n")
    project.commit("Commit the file itself")
    assert log("--file", "CHANGES.md") == (0, "CHANGES.md: 1 table, unchanged\n", "")
    assert path.read_bytes() == first


def test_csv_and_json_hold_every_digit(project: Project, log: Bench) -> None:
    a, b = history(project, ("Start", 1.0), ("Next, with comma", 1 / 3))
    _, out, _ = log("--csv")
    first, second = csv.DictReader(io.StringIO(out))
    assert (first["commit"], first["ratio"], second["commit"]) == (a, "", b)
    assert float(second["mean"]) == pytest.approx(1 / 3, rel=1e-12)
    assert (second["change"], second["n"], second["samples"]) == ("Next, with comma", "5", "10")
    assert float(second["ratio_low"]) < float(second["ratio"]) < float(second["ratio_high"])
    _, out, _ = log("--json")
    record: dict[str, Any] = json.loads(out)
    (table,) = record["results"]["tables"]
    row = table["blocks"][0]["rows"][1]
    assert (row["commit"], row["previous"], row["source"], row["verdict"]) == (b, a, "subject", "faster")
    assert record == json.loads(next(project.folder.glob("profiles/log/*/record.json")).read_text(encoding="utf-8"))
    assert len(list(project.folder.glob("profiles/log/*"))) == 1


def test_steps_are_named_below_the_table(project: Project, log: Bench) -> None:
    commits = [project.commit(str(index)) for index in range(20)]
    for index, commit in enumerate(commits):
        if index not in (9, 10):
            project.measure(commit, "suite.track_x", value=100.0 if index < 10 else 110.0)
    _, out, _ = log()
    (line,) = (line for line in out.splitlines() if line.startswith("- Step"))
    assert line == (
        f"- Step of `suite.track_x`: x 1.100 [1.100, 1.100] between {commits[8][:12]} and {commits[11][:12]}, "
        "with 2 unmeasured commits between them"
    )


def test_a_comparison_in_one_job_takes_the_place_of_two_means(project: Project, log: Bench) -> None:
    """asv saw 30 % more between two runs; side by side the commits do not differ. The newest was not measured twice."""
    a, b, c = history(project, ("Start", 1.0), ("Same code on a slow day", 1.3), ("Truly slower", 1.3))
    for index, (base, head, ratio) in enumerate(((a, b, 1.001), (b, c, 1.2))):
        row = {"name": "suite.time_x", "params": {}, "metric": "wall_s", "ratio": ratio, "confidence": 0.95}
        row |= {"ci": [ratio * 0.99, ratio * 1.01], "verdict": "fine", "confirmed": False}
        results = {"base": {"commit": base}, "head": {"commit": head}, "benchmarks": [row]}
        record = Record("compare", [], "2026-01-01T00:00:00Z", 1.0, True, results=results)
        record.write(project.folder / "profiles" / "compare" / str(index))
    code, out, _ = log()
    assert code == 1
    assert [(row[5], row[6]) for row in rows_of(out)][1:] == [
        ("1.001 [0.991, 1.011] same job", "no relevant difference within +-5 %"),
        ("1.200 [1.188, 1.212] same job", "slower"),
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--bench", "("], 2, "--bench (: not a regular expression"),
        (["--bench", "nothing"], 3, "no results of a benchmark that fits --bench nothing in HEAD (commits: 1)"),
        (["--machine", "bx"], 2, "no asv results of machine 'bx' in results; did you mean 'box'?"),
        (["--range", "v9..HEAD"], 2, "git knows no commits 'v9..HEAD'"),
        (["--range", "HEAD..HEAD"], 3, "no results in HEAD..HEAD (commits: 0)"),
        (["--init"], 2, "--init: it goes with --file FILE"),
        (["--file", "x.md", "--csv"], 2, "--file: it takes Markdown"),
        (["--file", "x.md"], 2, "x.md: no such file; --init makes it"),
        (["--rounds", "0"], 2, "--rounds 0: expected an integer of at least 1"),
        (["--asv-config", "none.json"], 2, "none.json: no such file"),
    ],
)
def test_errors_are_one_line(project: Project, log: Bench, arguments: list[str], code: int, message: str) -> None:
    history(project, ("Start", 1.0))
    found, out, err = log(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith("bench: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_nothing_measured_is_3(project: Project, log: Bench) -> None:
    project.commit("a")
    code, _, err = log()
    assert code == 3
    assert "no asv results in results" in err


SUITE = """
import time
class Sleep:
    rounds, repeat, number, warmup_time = 3, (2, 2, 1.0), 1, 0.0
    def time_sleep(self):
        time.sleep(0.01)
"""


@pytest.mark.slow
def test_with_a_real_asv_run(project: Project, log: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three processes of two samples each, as benchmarks.json and the samples say."""
    monkeypatch.setenv("HOME", str(project.folder))
    config, suite = project.folder / "asv.conf.json", project.folder / "s"
    settings = {**json.loads(config.read_text(encoding="utf-8")), "environment_type": "existing", "benchmark_dir": "s"}
    config.write_text(json.dumps(settings), encoding="utf-8")
    suite.mkdir()
    suite.joinpath("__init__.py").touch()
    suite.joinpath("sleeping.py").write_text(SUITE, encoding="utf-8")
    commit = project.commit("Sleep")

    def asv(*arguments: str) -> None:
        command = [sys.executable, "-m", "asv", *arguments]
        subprocess.run(command, cwd=project.folder, check=True, capture_output=True, timeout=120)

    asv("machine", "--yes", "--machine", "box")
    asv("run", "--machine", "box", "-E", "existing:same", "--set-commit-hash", commit, "--record-samples")
    code, out, err = log("--csv")
    assert (code, err) == (0, "")
    (row,) = csv.DictReader(io.StringIO(out))
    assert (row["benchmark"], row["commit"]) == ("sleeping.Sleep.time_sleep", commit)
    assert (row["n"], row["samples"]) == ("3", "6")
    assert 0.01 <= float(row["mean"]) < 1
