"""The terminal report of `bench profile`: drawn from a record alone, also from an incomplete one."""

from typing import Any

import pytest

from bench_harness.record import Record
from bench_harness.report.profile_text import MAX_PROCESSES, TOP_OTHERS, TOP_OWN, parts, place
from bench_harness.report.tables import render_parts


def row(name: str, process: str = "main", *, own: bool = True, seconds: float = 1.0, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "file": "package/data.py" if own else "~",
        "line": 7,
        "calls": 3000,
        "tottime_s": seconds * 2,
        "cumtime_s": seconds * 3,
        "share": 0.1,
        "process": process,
        "steady_calls": 1500,
        "steady_tottime_s": seconds,
        "steady_cumtime_s": seconds * 1.5,
        "own": own,
        "waiting": None,
        **more,
    }


def process(label: str, **more: Any) -> dict[str, Any]:
    return {"label": label, "final": True, "wall_s": 10.0, "cpu_s": 5.0, "uss_bytes": 12_000_000, "files": {}, **more}


def record(**results: Any) -> Record:
    missing = [
        {"rank": 1, "loader": "train", "worker": 3, "epoch": 0, "pid": 77, "reason": "SIGKILL", "partial": True},
        {"rank": 0, "name": "Watcher", "pid": 78, "reason": "started, and left no state", "partial": False},
    ]
    whole = {
        "pipeline": {"lines": ["loader-bound: main waits 61 %", "workers spend 80 % in fetch"]},
        "functions": [row("load", "workers", seconds=2.0), row("step"), row("{built-in method x}", own=False)],
        "waiting": [
            {
                "process": "main",
                "kind": "for loader",
                "seconds": 9.0,
                "share": 0.5,
                "steady_seconds": 6.0,
                "steady_share": 0.75,
            },
            {
                "process": "main",
                "kind": "idle",
                "seconds": 1e-4,
                "share": 1e-5,
                "steady_seconds": 0.0,
                "steady_share": 0.0,
            },
            {
                "process": "workers",
                "kind": "for main",
                "seconds": 0.5,
                "share": 0.1,
                "steady_seconds": 0,
                "steady_share": 0,
            },
        ],
        "captured": {
            "main": {"seconds": 18.0, "steady_seconds": 8.0},
            "workers": {"seconds": 5.0, "steady_seconds": 2.0},
        },
        "phases": [{"process": "main", "setup_s": 2.0, "first_s": 0.0, "steady_s": 8.0}],
        "processes": [
            process("main"),
            process("train-worker-3-epoch-0", final=False),
            process("x", exception="OSError: no"),
        ],
    }
    return Record(
        "profile",
        [],
        "2026-01-31T12:00:00Z",
        10.0,
        True,
        workers={"expected": 4, "delivered": 2, "missing": missing},
        artifacts={"merged": "merged.prof", "text": "merged.txt"},
        warnings=["that was odd"],
        results={**whole, **results},
    )


def text_of(shown: Record, where: str = "runs/a b") -> str:
    return render_parts(parts(shown, where))


def test_without_a_loader_main_waits_for_its_processes() -> None:
    """Of a pool, for example."""
    waited = {"process": "main", "kind": "for loader", "seconds": 1.0, "share": 0.5}
    text = text_of(record(waiting=[waited], captured={"main": {"seconds": 2.0}}))
    assert "main waited 1 s for its processes (50% of its captured time)" in text.splitlines()


def test_the_whole_report() -> None:
    lines = text_of(record()).splitlines()
    assert all(len(line) <= 100 for line in lines)
    for line in (
        "  loader-bound: main waits 61 %",
        "  workers spend 80 % in fetch",
        "2 of 4 workers delivered; missing:",
        "  train worker 3 epoch 0 pid 77 of rank 1: SIGKILL; counted up to its last dump",
        "  Watcher pid 78: started, and left no state; nothing of it is counted",
        "main waited 6 s for the loader (75% of its steady state)",
        "workers waited 500 ms for main (10% of its captured time)",
        "main: own functions, steady state of 8 s",
        "12.5%   1 s        1.5 s   1,500   step (package/data.py:7)",
        "main: others, steady state of 8 s",
        "12.5%   1 s        1.5 s   1,500   {built-in method x}",
        " 100.0%   2 s          3 s   1,500   load (package/data.py:7)".strip(),
        "Artifacts in runs/a b: record.json, merged.prof, merged.txt",
        "  less 'runs/a b/merged.txt'",
        "  python -m pstats 'runs/a b/merged.prof'",
        "  snakeviz 'runs/a b/merged.prof'",
        "warning: that was odd",
    ):
        assert line in lines
    table = [line.split() for line in lines if line.startswith(("main  ", "train-worker", "x  "))]
    assert table[0][:8] == ["main", "yes", "10", "s", "2", "s", "0", "8"]
    assert table[1][1] == "partial"
    assert table[2][1:3] == ["OSError:", "no"]


def test_only_the_top_of_long_tables() -> None:
    functions = [row(f"f{number}", own=number % 2 == 0, seconds=1.0 + number) for number in range(60)]
    text = text_of(record(functions=functions, processes=[process(f"p{number}") for number in range(30)]))
    shown = [number for number in range(60) if f" f{number} " in text or text.count(f" f{number}\n")]
    assert len([number for number in shown if number % 2 == 0]) == TOP_OWN
    assert len([number for number in shown if number % 2]) == TOP_OTHERS
    assert max(shown) == 59
    assert f"... {30 - MAX_PROCESSES} more in record.json" in text


def test_without_a_steady_state_the_whole_run_is_shown() -> None:
    functions = [row("step", steady_calls=None, calls=None, steady_tottime_s=0.0, steady_cumtime_s=0.0)]
    text = text_of(record(functions=functions, captured=None, waiting=[]))
    assert "main: own functions, whole run of 2 s" in text
    assert "100.0%   2 s          3 s       -   step" in text


def test_threads_that_work_are_shown_and_sums_said() -> None:
    roles = ("worker", "worker", "main")
    text = text_of(
        record(
            functions=[row("pool", "main threads"), row("load", "workers"), row("send", "workers threads")],
            captured={
                "main": {"seconds": 4.0, "steady_seconds": 2.0},
                "main threads": {"seconds": 6.0, "steady_seconds": 3.0},
                "workers": {"seconds": 4.0, "steady_seconds": 2.0},
                "workers threads": {"seconds": 0.1, "steady_seconds": 0.1},
            },
            processes=[process(f"p{number}", role=role) for number, role in enumerate(roles)],
        )
    )
    text = " ".join(text.split())
    assert "other threads of main: own functions, steady state of 3 s over all of them" in text
    assert "workers: own functions, steady state of 2 s over 2 processes" in text
    assert "other threads of workers" not in text


def test_sampling_engines_name_their_viewers() -> None:
    shown = record()
    shown.artifacts = {"merged": "merged.speedscope.json", "html": "merged.html"}
    text = text_of(shown)
    assert "drop 'runs/a b/merged.speedscope.json' onto https://www.speedscope.app" in text
    assert "open 'runs/a b/merged.html'" in text
    assert "pstats" not in text


@pytest.mark.parametrize("results", [{}, {"pipeline": None, "processes": None, "functions": None, "waiting": None}])
def test_a_record_without_results_is_printed(results: dict[str, Any]) -> None:
    shown = Record("profile", [], "2026-01-31T12:00:00Z", 1.0, False, results=results)
    assert "Artifacts in out: record.json" in text_of(shown, "out")
    shown.workers = {"expected": 0, "delivered": 0, "missing": []}
    assert "no worker processes were started" in text_of(shown, "out")


def test_long_places_lose_their_folders_first() -> None:
    long = row("a_function", file=f"site-packages/{'deep/' * 20}module.py")
    assert place(long).startswith("a_function (../deep/")
    assert place(long).endswith("/deep/module.py:7)")
    assert place(row("f", file="/a/b.py")) == "f (/a/b.py:7)"
    assert place(row("x" * 80)) == f"{'x' * 80} (../data.py:7)"
