"""The terminal summary of a fixed record, literally."""

import dataclasses

import pytest

from bench_harness.record import Record
from bench_harness.report import units
from bench_harness.report.summary_text import render_text

WHERE = {"commit": "8a2c27d57b2d976499b0a734a1a6547c914c71c9", "machine": "box", "date": "2026-02-10T12:00:00Z"}


def headline(label: str, value: float | None, unit: str | None, **more: object) -> dict[str, object]:
    return {"label": label, "benchmark": "image.View.time_view", "params": {}, "value": value, "unit": unit} | more


def process(role: str, pid: int, peak_bytes: int, **more: object) -> dict[str, object]:
    top = [
        {"function": "collate", "file": "bench/batches.py", "line": 5, "bytes": 1, "share": 0.97},
        {"function": "tiny", "file": "bench/batches.py", "line": 9, "bytes": 1, "share": 0.002},
    ]
    row = {"role": role, "pid": pid, "capture": "load.bin", "peak_bytes": peak_bytes, "allocations": 12345}
    return {**row, "closed": True, "top": top, **more}


def landmark(label: str, value: float | None, ratio: float | None, **more: object) -> dict[str, object]:
    values = [headline("image", value, "seconds", ratio=ratio, **more), headline("rate", 3.0, "views", ratio=1.5)]
    return {"label": label, **WHERE, "values": values}


RECORD = Record(
    command="summary",
    argv=["summary"],
    started="2026-02-10T12:00:00Z",
    wall_s=0.1,
    completed=False,
    environment={
        "machine": "box",
        "git": {"commit": WHERE["commit"], "branch": "main", "dirty": True},
        "cpu": {"model": "A CPU", "logical_count": 2},
        "load": {"1_min": 0.5},
        "python": {"version": "3.11.7"},
    },
    warnings=["1 of 4 captures unreadable: load.bin.77: 0 bytes"],
    workers={"expected": 3, "delivered": 1, "missing": []},
    artifacts={"asv": "../../asv", "memray": "memray"},
    results={
        "headlines": [
            headline("image [21^3]", 0.00109, "seconds", **WHERE),
            headline("store", 55779328, "bytes", **WHERE),
            headline("broken", None, None, why="failed", **WHERE),
        ],
        "load": [
            {"file": "load-0.json", "values": {"dataset": "origins", "workers": 0, "examples_per_s": 234567.8}},
            {"file": "load-2.json", "values": {"workers": 2, "example_s": 8.1e-4, "tags": [1], "persistent": True}},
        ],
        "memory": {
            "note": "memray sees what it sees; and no more",
            "processes": [
                process("main", 4273, 3_039_357),
                process("worker", 4275, 322_827_584, closed=False),
                process("worker", 4276, 999, allocations=None, top=[]),
            ],
        },
        "history": [
            landmark("naive", 19.8, 1.0),
            landmark("gone", None, None, why="no results"),
            landmark("now", 0.0011, 0.0011 / 19.8),
        ],
    },
)

EXPECTED = """\
commit 8a2c27d57b2d + uncommitted changes | box | A CPU, 2 cores | load 0.5 | Python 3.11.7

Headlines at 8a2c27d57b2d on box
what             value   benchmark
---------------------------------------------
image [21^3]   1.09 ms   image.View.time_view
store          55.8 MB   image.View.time_view
broken          failed   image.View.time_view

Throughput
run           examples_per_s   example_s   workers   dataset   persistent
-------------------------------------------------------------------------
load-0.json          234,568           -         0   origins            -
load-2.json                -      810 us         2   -               True

Memory per process
role      pid      peak   allocations   held at the peak by
----------------------------------------------------------------------
main     4273   3.04 MB        12,345   97% collate bench/batches.py:5
worker   4275    323 MB        12,345   97% collate bench/batches.py:5
worker   4276     999 B             -
  1 of 3 forked processes delivered a capture
  memray sees what it sees
  and no more

History
landmark   commit     date         machine             image      rate
----------------------------------------------------------------------
naive      8a2c27d5   2026-02-10   box                19.8 s   3 views
                                                         x 1     x 1.5
gone       8a2c27d5   2026-02-10   box            no results   3 views
                                                                 x 1.5
now        8a2c27d5   2026-02-10   box                1.1 ms   3 views
                                             x 18,000 faster     x 1.5

Artifacts in profiles/load/run: record.json, ../../asv, memray
warning: 1 of 4 captures unreadable: load.bin.77: 0 bytes
"""


def test_the_whole_summary() -> None:
    assert render_text(RECORD, "profiles/load/run") == EXPECTED


def test_colours_change_no_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    text = render_text(RECORD, "profiles/load/run", colour=True)
    assert "\x1b[1m" in text
    assert EXPECTED.isascii()


def test_an_empty_record_still_says_under_which_conditions() -> None:
    bare = dataclasses.replace(RECORD, environment={}, results={}, warnings=[], artifacts={})
    assert render_text(bare, "x") == "no commit\n\nArtifacts in x: record.json\n"


def test_long_labels_stay_within_100_columns() -> None:
    results = {"headlines": [headline("a label " * 20, 1.0, "seconds", **WHERE)] * 14}
    text = render_text(dataclasses.replace(RECORD, results=results), "x")
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(("label", "whole"), [("chosen", True), ("image.View.time_view", False)])
def test_a_chosen_list_is_shown_whole_and_every_benchmark_is_cut(label: str, whole: bool) -> None:
    results = {"headlines": [headline(label, 1.0 + i, "seconds", **WHERE) for i in range(14)]}
    text = render_text(dataclasses.replace(RECORD, results=results), "x")
    assert ("14 s" in text) == whole
    assert ("... 2 more in record.json" in text) != whole


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "seconds", "0 ns"),
        (2.5e-10, "seconds", "0.25 ns"),
        (1.234e-8, "seconds", "12.3 ns"),
        (9.999e-4, "seconds", "1 ms"),
        (0.0203, "seconds", "20.3 ms"),
        (119.4, "seconds", "119 s"),
        (320, "seconds", "5 min 20 s"),
        (-0.5, "seconds", "-500 ms"),
        (999, "bytes", "999 B"),
        (999_999, "bytes", "1 MB"),
        (55779328, "bytes", "55.8 MB"),
        (3.2e15, "bytes", "3,200 TB"),
        (12345.6, "examples", "12,346 examples"),
        (1e20, None, "100,000,000,000,000,000,000"),
        (0.000012, "unit", "1.2e-05"),
        (None, "seconds", "-"),
    ],
)
def test_quantities(value: float | None, unit: str | None, text: str) -> None:
    assert units.quantity(value, unit) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1 / 18_000, "seconds", "x 18,000 faster"),
        (1.2, "seconds", "x 1.2 slower"),
        (0.5, "bytes", "x 2 smaller"),
        (3, "bytes", "x 3 larger"),
        (1.001, "seconds", "x 1"),
        (0.9, "examples", "x 0.9"),
        (0, "seconds", ""),
        (-2, "unit", ""),
        (None, "seconds", ""),
    ],
)
def test_ratios(value: float | None, unit: str, text: str) -> None:
    assert units.ratio(value, unit) == text


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("example_s", 8.1e-4, "810 us"),
        ("examples_per_s", 1234.5, "1,234"),
        ("peak_bytes", 1500, "1.5 kB"),
        ("wait_ns", 1500, "1.5 us"),
        ("workers", 2, "2"),
        ("batches", 123456, "123,456"),
        ("persistent", False, "False"),
        ("start_method", "fork", "fork"),
        ("seed", None, "-"),
    ],
)
def test_keys_name_their_unit(key: str, value: object, text: str) -> None:
    assert units.by_key(key, value) == text
