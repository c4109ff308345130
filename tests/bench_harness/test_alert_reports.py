"""The reports of `bench alert`: whatever a benchmark is called, they stay valid, within their limits, worst first."""

from __future__ import annotations

import html
import itertools
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from alert_evidence import BASE, HEAD, finding, record_of
from hypothesis import given, settings
from hypothesis import strategies as some
from markdown_it import MarkdownIt

from bench_harness.alert import github, junit, markdown, text, wording
from bench_harness.alert.findings import Finding, Outcome
from bench_harness.config import BenchmarkRule
from bench_harness.errors import UsageError
from bench_harness.record import Record

HOSTILE = (
    "a|b", "`code`", "a``|``b", "<script>alert(1)</script>", "</details>", "a\nb\r\nc", "100%", "::error::x", "x, y: z",
    "\\|", "\\", "*bold*", "_em_", "[link](http://evil.invalid)", "![i](x)", "@maintainers", "#1", "http://x.invalid",
    "www.x.invalid", "$x$", "&amp;", "\x1b[31m", "\x00", "\ufffe", "\u202eevil", "\u2028", "]]>",
    "<!-- bench alert -->", "- a", "1. a", "+ a", "# a", "---", "===",
    "ünïcödé 日本語 🚀", "x" * 5000, "'\"", "~~s~~", " ", "| --- |",
)  # fmt: skip
FEW = settings(max_examples=60)
NAMES = some.one_of(some.sampled_from(HOSTILE), some.text(min_size=1, max_size=40))
OUTCOMES = some.sampled_from(list(Outcome))
GITHUB = MarkdownIt("commonmark", {"html": True}).enable("table")


def hostile(name: str, outcome: Outcome) -> Finding:
    """A finding with the same text wherever a user's text can be."""
    return finding(
        name, outcome, params={"p": name}, metric=name, unit=name, words=name, environment=name, load=name,
        machines={"base": name, "head": name}, rerun=name, acknowledge=name, rule=BenchmarkRule(name, name, number=1),
    )  # fmt: skip


def cells_of(page: str) -> list[list[str]]:
    """The cells of all tables, as a reader sees them."""
    rows: list[list[str]] = []
    tokens = GITHUB.parse(page)
    for before, token in itertools.pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif before.type in ("th_open", "td_open"):
            rows[-1].append(seen(token))
    return rows


def seen(token: Any) -> str:
    kinds = {child.type for child in token.children}
    assert kinds <= {"text", "html_inline", "strong_open", "strong_close", "text_special"}, kinds
    tags = {child.content for child in token.children if child.type == "html_inline"}
    assert tags <= {"<code>", "</code>"}, tags
    return "".join(child.content for child in token.children if child.type.startswith("text"))


@FEW
@given(NAMES, OUTCOMES)
def test_any_name_is_shown_as_it_is_in_one_cell(name: str, outcome: Outcome) -> None:
    page = markdown.report(record_of([hostile(name, outcome)]))
    header, row = cells_of(page)
    assert header == list(markdown.COLUMNS)
    assert len(row) == len(header)
    assert row[1].strip() == wording.clean(f"{name}({name}) [{name}]").strip()
    assert row[2].strip() == wording.clean(name, 40).strip()


@FEW
@given(NAMES, OUTCOMES)
def test_any_name_leaves_the_structure_of_the_page_alone(name: str, outcome: Outcome) -> None:
    page = markdown.report(record_of([hostile(name, outcome)], warnings=[name], loud=[name]))
    plain = markdown.report(record_of([hostile("plain", outcome)], warnings=["plain"], loud=["plain"]))
    assert re.findall(r"</?\w+>", page) == re.findall(r"</?\w+>", plain)
    assert [token.type for token in GITHUB.parse(page)] == [token.type for token in GITHUB.parse(plain)]
    assert page.count(markdown.MARKER) == 1


@FEW
@given(NAMES, OUTCOMES)
def test_any_name_is_valid_xml(name: str, outcome: Outcome) -> None:
    suite = check_junit(junit.report(record_of([hostile(name, outcome)], loud=[name])))
    assert suite.findall("testcase")[0].attrib["classname"]


@FEW
@given(NAMES, OUTCOMES)
def test_any_name_is_one_annotation(name: str, outcome: Outcome) -> None:
    lines = github.annotations(record_of([hostile(name, outcome)], loud=[name]))
    for line in lines:
        assert re.fullmatch(r"::(error|warning|notice) title=[^:,\r\n]*::[^\r\n]*", line, re.DOTALL), line
        assert len(line.splitlines()) == 1
        assert not re.search(r"%(?!25|0A|0D|3A|2C)", line)
    assert len(lines) == 1 + (outcome.value in ("failed", "regression", "suspected", "not measured", "undecided"))


@FEW
@given(NAMES, OUTCOMES)
def test_any_name_is_harmless_on_a_terminal(name: str, outcome: Outcome) -> None:
    printed = text.report(record_of([hostile(name, outcome)], warnings=[name], loud=[name]))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", printed)
    # Folded by the width of letters, of which a wide one takes two columns; but not what is to be pasted.
    folded = [line for line in printed.splitlines() if not line.startswith(("  rerun: ", "  accept: "))]
    assert all(len(line) <= 100 or not line.isascii() for line in folded)


@given(some.text())
def test_what_the_runner_reads_back_is_what_was_written(message: str) -> None:
    back = github.escape_property(message)
    for escape, letter in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        back = back.replace(escape, letter)
    assert back == message


@given(some.text())
def test_escaped_markdown_is_text(message: str) -> None:
    line = wording.clean(message, 200).strip()
    tokens = GITHUB.parse(f"x {markdown.escaped(line)} x")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert seen(tokens[1]) == re.sub("&", "&", f"x {line} x")
    assert html.unescape(markdown.escaped(line)) == line


MANY = 10_000


@pytest.fixture(scope="module")
def many() -> Record:
    """As many rows as no suite has, all of them with names that grow when they are escaped."""
    names = [f"{'|`<' * 30}{number}" for number in range(MANY)]
    outcomes = [Outcome.REGRESSION if number % 3 == 0 else Outcome.FINE for number in range(MANY)]
    found = [finding(name, outcome) for name, outcome in zip(names, outcomes, strict=True)]
    found.append(finding("the.worst", ratio=5.0))
    return record_of(found, warnings=["w" * 500] * 1000)


def test_a_comment_keeps_its_limit_and_the_worst_row(many: Record) -> None:
    page = markdown.report(many)
    assert len(page.encode()) <= 65_000 < 65_536
    rows = [row for row in cells_of(page) if row[0] != "verdict"]
    assert rows[0][1] == "the.worst(1)"
    assert len(rows) > 20
    left_out = re.search(r"([\d,]+) more rows do not fit here", page)
    assert left_out is not None
    assert int(left_out[1].replace(",", "")) + len(rows) == MANY + 1
    assert page.count("<details>") == page.count("</details>") == markdown.MAX_DETAILS + 1


def test_a_summary_keeps_its_limit_beside_what_is_there(many: Record, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_bytes(b"x" * 300_000)
    assert github.append_summary(many, {github.SUMMARY_VARIABLE: str(path)}.items()) == path
    assert 900_000 < path.stat().st_size <= 1_000_000 < 1024 * 1024
    for size in (999_990, 1_500_000):  # no room: what others wrote stays as it is
        path.write_bytes(b"x" * size)
        github.append_summary(many, {github.SUMMARY_VARIABLE: str(path)}.items())
        assert path.stat().st_size == size


def test_ten_annotations_at_most_and_the_worst_first(many: Record) -> None:
    lines = github.annotations(many)
    assert len(lines) == 10
    assert "the.worst(1)" in lines[0]


def test_junit_and_json_hold_every_row(many: Record) -> None:
    suite = check_junit(junit.report(many))
    assert suite.attrib["tests"] == str(MANY + 1)
    assert len(json.loads(json.dumps(many.to_json()))["results"]["benchmarks"]) == MANY + 1
    assert f"{MANY + 1 - text.MAX_ROWS:,} more rows in the record" in text.report(many)


def test_no_summary_outside_of_github_and_a_clear_line_where_it_cannot_be_written(tmp_path: Path) -> None:
    record = record_of([finding()])
    assert github.append_summary(record, {}.items()) is None
    with pytest.raises(UsageError, match="cannot write the job summary"):
        github.append_summary(record, {github.SUMMARY_VARIABLE: str(tmp_path / "gone" / "file")}.items())


# What Jenkins' schema of JUnit XML (junit-10.xsd), by which pytest checks its own files, allows of these elements.
ATTRIBUTES: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "testsuites": ((), ("name", "time", "tests", "failures", "disabled", "errors")),
    "testsuite": (
        ("name", "tests"),
        ("failures", "errors", "time", "skipped", "timestamp", "hostname", "id", "package", "group", "file", "log",
         "url", "version"),
    ),
    "properties": ((), ()),
    "property": (("name", "value"), ()),
    "testcase": (("name", "classname"), ("time", "group")),
    "failure": ((), ("type", "message")),
    "error": ((), ("type", "message")),
    "skipped": ((), ("type", "message")),
    "system-out": ((), ()),
}  # fmt: skip
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase", "system-out", "system-err"},
    "properties": {"property"},
    "testcase": {"failure", "error", "skipped", "system-out", "system-err"},
}


def check_junit(document: str) -> ElementTree.Element:
    """Hold a document against the schema, and its counts against its cases; return its suite."""
    root = ElementTree.fromstring(document.encode("utf-8"))
    assert root.tag == "testsuites"
    for element in root.iter():
        required, optional = ATTRIBUTES[element.tag]
        assert set(required) <= set(element.attrib) <= {*required, *optional}, (element.tag, element.attrib)
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
    (suite,) = root
    for tag, attribute in (("testcase", "tests"), ("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert suite.attrib[attribute] == str(len(list(suite.iter(tag))))
    return suite


@pytest.mark.parametrize(
    ("one", "tag"),
    [
        (finding(outcome=Outcome.REGRESSION), "failure"),
        (finding(outcome=Outcome.FAILED), "failure"),
        (finding(outcome=Outcome.REGRESSION, rule=BenchmarkRule(gate=False)), "system-out"),
        (finding(outcome=Outcome.REGRESSION, acknowledged={"commit": "c" * 40, "text": "Perf-Expect"}), "system-out"),
        (finding(outcome=Outcome.NOT_MEASURED), "error"),
        (finding(outcome=Outcome.SUSPECTED), "skipped"),
        (finding(outcome=Outcome.UNDECIDED), "skipped"),
        (finding(outcome=Outcome.SKIPPED), "skipped"),
        (finding(outcome=Outcome.FINE), "system-out"),
        (finding(outcome=Outcome.IMPROVEMENT), "system-out"),
    ],
)
def test_what_junit_makes_of_each_verdict(one: Finding, tag: str) -> None:
    (case,) = check_junit(junit.report(record_of([one]))).findall("testcase")
    assert [child.tag for child in case] == [tag]
    assert "noise history: sd 2 % (12 changes)" in str(case[0].text)


def test_every_field_of_a_good_alert_is_in_every_long_report() -> None:
    one = finding(acknowledged=None)
    wanted = (
        "suite.time_x(1)", "cpu_s", "1 ms", "1.1 ms", "x 1.100 (1.080 to 1.120)", "regression", "2 %", "95 % interval",
        "sd 2 % (12 changes)", "profiles/load/x", "12 rounds, 24 samples, 3.25 s", "box", "load 0.5",
        "bench compare aaaaaaaaaaaa bbbbbbbbbbbb --bench", "Perf-Expect: suite.time_x(1) slower<=1.11x",
    )  # fmt: skip
    record = record_of([one])
    for page in (html.unescape(markdown.report(record)), text.report(record)):
        flat = " ".join(page.split())
        assert [field for field in wanted if field not in flat] == []


def test_commands_stay_on_one_line() -> None:
    command = (
        f"bench compare {BASE[:12]} {HEAD[:12]} --bench '^({'|'.join(f's.time_{number}' for number in range(20))})'"
    )
    assert f"\n  rerun: {command}\n" in text.report(record_of([finding(rerun=command)]))


def test_different_machines_are_loud_everywhere() -> None:
    record = record_of([finding(machines={"base": "left", "head": "right"})], loud=["BASE AND HEAD RAN ON TWO"])
    assert "> [!CAUTION]\n> **BASE AND HEAD RAN ON TWO**" in html.unescape(markdown.report(record))
    assert "\n!! BASE AND HEAD RAN ON TWO\n" in text.report(record)
    assert github.annotations(record)[0].endswith("::BASE AND HEAD RAN ON TWO")
    assert "DIFFERENT MACHINES: base on left, head on right" in html.unescape(markdown.report(record))
