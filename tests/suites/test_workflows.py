"""The workflows of this repository and those that `bench init` writes: valid, careful, and made of commands we have."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench_harness.__main__ import build_parser
from bench_harness.starter.files import Repository, planned_files

ROOT = Path(__file__).parents[2]
OWN = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GITLAB = ROOT / "docs" / "ci" / "gitlab-ci.yml"
STARTER = [
    one for one in planned_files(Repository(ROOT / "nowhere", "project", "package", True)) if one.path.endswith(".yml")
]
TEXTS = {f"own/{path.name}": path.read_text(encoding="utf-8") for path in OWN}
TEXTS |= {f"starter/{Path(one.path).name}": one.text for one in STARTER}


def workflow(text: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text)
    document["on"] = document.pop(True)  # YAML 1.1 reads the key as a truth value
    return document


def steps(text: str) -> Iterator[dict[str, Any]]:
    for job in workflow(text)["jobs"].values():
        yield from job["steps"]


def shell_lines(text: str) -> Iterator[str]:
    """Every command line of a workflow, with continued lines joined."""
    for step in steps(text):
        yield from step.get("run", "").replace("\\\n", " ").splitlines()


def bench_commands(lines: Iterator[str]) -> list[list[str]]:
    """The arguments of every `bench` in some shell lines."""
    commands = []
    for line in lines:
        for part in re.split(r"\|\||&&|;", line):
            words = shlex.split(part)
            if words and words[0] == "bench":
                commands.append(words[1:])
    return commands


def test_there_are_the_workflows_that_the_documentation_names() -> None:
    assert [path.name for path in OWN] == ["benchmark-comment.yml", "benchmark.yml", "kernels.yml", "tests.yml"]
    assert len(STARTER) == 2


@pytest.mark.parametrize("name", TEXTS)
def test_valid_by_the_schema(name: str, tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema")
    check(TEXTS[name], "vendor.github-workflows", tmp_path)


def test_gitlab_is_valid_by_the_schema(tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema")
    check(GITLAB.read_text(encoding="utf-8"), "vendor.gitlab-ci", tmp_path)


def check(text: str, schema: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yml"
    path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", TEXTS)
def test_no_more_rights_than_needed_and_never_two_at_once(name: str) -> None:
    document = workflow(TEXTS[name])
    assert document["permissions"] in ({}, {"contents": "read"})
    assert "group" in document["concurrency"]
    assert "pull_request_target" not in document["on"]
    for job in document["jobs"].values():
        assert job["timeout-minutes"] <= 90
    may_write = {
        key
        for job in document["jobs"].values()
        for key, value in job.get("permissions", {}).items()
        if value == "write"
    }
    assert may_write == ({"pull-requests"} if "comment" in name else set())


@pytest.mark.parametrize("name", [name for name in TEXTS if "comment" in name])
def test_what_has_the_right_to_comment_never_runs_the_code_of_a_pull_request(name: str) -> None:
    used = [step["uses"].partition("@")[0] for step in steps(TEXTS[name]) if "uses" in step]
    assert used == ["actions/download-artifact"]
    words = {word for line in shell_lines(TEXTS[name]) for word in re.findall(r"[\w./-]+", line)}
    assert not words & {"python", "pip", "bash", "sh", "make", "source", "eval", "git", "checkout", "./artifact"}


@pytest.mark.parametrize("name", TEXTS)
def test_actions_are_pinned_and_nothing_of_an_event_reaches_a_shell(name: str) -> None:
    for step in steps(TEXTS[name]):
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step.get("uses", f"actions/x@{'0' * 40}"))
        assert "${{" not in step.get("run", "")
    for line in TEXTS[name].splitlines():
        assert "uses:" not in line or re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)


@pytest.mark.parametrize("name", [name for name in TEXTS if name.endswith("/benchmark.yml")])
def test_base_and_head_are_measured_in_one_job_with_the_whole_history(name: str) -> None:
    (job,) = workflow(TEXTS[name])["jobs"].values()
    checkout = next(step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout["with"]["fetch-depth"] == 0
    assert checkout["with"]["persist-credentials"] is False
    assert "asv machine --yes" in list(shell_lines(TEXTS[name]))
    commands = bench_commands(shell_lines(TEXTS[name]))
    assert [command[0] for command in commands] == ["compare", "alert"]


@pytest.mark.parametrize("name", [*TEXTS, "gitlab"])
def test_commands_are_ours_as_they_are(name: str) -> None:
    if name == "gitlab":
        lines: Iterator[str] = iter(yaml.safe_load(GITLAB.read_text(encoding="utf-8"))["benchmark"]["script"])
    else:
        lines = shell_lines(TEXTS[name])
    for command in bench_commands(lines):
        args = build_parser(command).parse_args(command)
        assert args.command == command[0]


@pytest.mark.parametrize("name", TEXTS)
def test_shell_lines_are_bash(name: str) -> None:
    for step in steps(TEXTS[name]):
        done = subprocess.run(["bash", "-n"], input=step.get("run", ""), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("code", "ends_with"), [(0, 0), (1, 1), (3, 3), (4, 0)])
@pytest.mark.parametrize("name", [name for name in TEXTS if name.endswith("/benchmark.yml")])
def test_how_the_job_ends_for_each_exit_code_of_alert(name: str, code: int, ends_with: int) -> None:
    """The step as GitHub runs it, with a `bench` that ends as it is told."""
    script = next(step["run"] for step in steps(TEXTS[name]) if "bench alert" in step.get("run", ""))
    command = ["bash", "-e", "-c", f"bench() {{ return {code}; }}\nBASE=a HEAD=b\n{script}"]
    assert subprocess.run(command, timeout=30, check=False).returncode == ends_with


def test_the_comment_workflow_is_the_one_that_init_writes() -> None:
    assert TEXTS["own/benchmark-comment.yml"] == TEXTS["starter/benchmark-comment.yml"]


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert list(shell_lines(TEXTS["own/tests.yml"])) == ["make test"]


COMMENTS = """
gh() {
    echo "gh $*" >> "$LOG"
    case "$*" in
        *pulls*) printf '%s' "$NUMBER" ;;
        *comments?per_page*) printf '%s' "$COMMENT" ;;
    esac
}
"""


@pytest.mark.parametrize(
    ("number", "comment", "last"),
    [
        ("", "", "gh api --paginate repos/o/r/pulls?state=open&per_page=100"),
        ("7", "", "gh api --method POST repos/o/r/issues/7/comments -F body=@artifact/comment.md --silent"),
        ("7", "99", "gh api --method PATCH repos/o/r/issues/comments/99 -F body=@artifact/comment.md --silent"),
    ],
)
def test_one_comment_is_posted_and_then_updated(tmp_path: Path, number: str, comment: str, last: str) -> None:
    """The step as GitHub runs it, with a `gh` that answers what it is told."""
    script = next(step["run"] for step in steps(TEXTS["own/benchmark-comment.yml"]) if "run" in step)
    log = tmp_path / "log"
    variables = {
        "LOG": str(log),
        "REPOSITORY": "o/r",
        "HEAD": "abc",
        "NUMBER": number,
        "COMMENT": comment,
        "PATH": "/usr/bin:/bin",
    }
    done = subprocess.run(["bash", "-e", "-c", COMMENTS + script], env=variables, timeout=30, check=False)
    assert done.returncode == 0
    assert log.read_text(encoding="utf-8").splitlines()[-1].startswith(last)
