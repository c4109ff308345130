"""How two captures differ: rows per steady step, matching, comprehensions, and when nothing may be compared."""

import cProfile
import json
import marshal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_harness.errors import HarnessError
from bench_harness.profiles import diff_conditions
from bench_harness.profiles.comprehensions import Row, fold
from bench_harness.profiles.diff import difference
from bench_harness.profiles.diff_sides import Side, read_side
from bench_harness.profiles.statistics import Cost
from bench_harness.record import Record

PARTS = [f"{side}_{name}" for side in "ab" for name in ("calls", "tottime_s", "cumtime_s", "share")]


def function(name: str, tottime_s: float, calls: int | None = 10, **fields: Any) -> dict[str, Any]:
    row = {
        "name": name,
        "file": "train.py",
        "line": 1,
        "calls": calls,
        "tottime_s": tottime_s,
        "cumtime_s": tottime_s,
        "share": 0.1,
        "process": "main",
        "steady_calls": calls,
        "steady_tottime_s": tottime_s,
        "steady_cumtime_s": tottime_s,
        "own": True,
        "waiting": None,
    }
    return row | fields


def record(*functions: dict[str, Any], steps: int | None = 10, **fields: Any) -> Record:
    counts = {"steps": steps, "batches": steps, "steady_steps": steps, "steady_batches": steps}
    results = {
        "engine": "cprofile",
        "target": "/somewhere/train.py",
        "workload": {"argv": ["--width", "3"], "cwd_relative": "."},
        "counts": counts,
        "functions": list(functions),
        "waiting": [],
    }
    environment = {"machine": "box", "python": {"version": "3.11.7"}, "git": {"dirty": False}, "packages": {"a": "1"}}
    return Record(
        command="profile",
        argv=[],
        started="2026-01-31T12:00:00Z",
        wall_s=1.0,
        completed=fields.pop("completed", True),
        workers=fields.pop("workers", None),
        environment=environment | fields.pop("environment", {}),
        results=results | fields,
    )


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """A function that writes a record and returns the side that is read from it."""
    number = iter(range(100))

    def write_side(written: Record) -> Side:
        folder = tmp_path / f"run{next(number)}"
        written.write(folder)
        return read_side(folder)

    return write_side


def rows_of(a: Side, b: Side) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in difference(a, b)[0]["functions"]}


def test_times_and_calls_are_per_steady_step(write: Any) -> None:
    setup = function("setup", 5.0, steady_calls=0, steady_tottime_s=0.0, steady_cumtime_s=0.0)
    a = write(record(function("work", 2.0, 40), function("gone", 0.75), setup, steps=10))
    b = write(record(function("work", 12.0, 160, line=99), function("new", 2.0), setup, steps=40))
    results, notes = difference(a, b)
    assert (results["per"], notes) == ("steady step", [])
    rows = rows_of(a, b)
    assert list(rows) == ["work", "gone", "new"]  # by size of the change; what only ran before is absent
    assert rows["work"] == {
        "process": "main",
        "file": "train.py",
        "name": "work",
        "a_calls": 4.0,
        "b_calls": 4.0,
        "a_tottime_s": 0.2,
        "b_tottime_s": 0.3,
        "delta_s": pytest.approx(0.1),
        "a_cumtime_s": 0.2,
        "b_cumtime_s": 0.3,
        "a_share": pytest.approx(2 / 2.75),
        "b_share": pytest.approx(12 / 14),
        "share_delta": pytest.approx(12 / 14 - 2 / 2.75),
        "change": None,
    }
    assert [rows[name]["change"] for name in ("gone", "new")] == ["gone", "new"]
    assert [rows["gone"][key] for key in ("a_calls", "b_calls", "b_tottime_s")] == [1.0, 0.0, 0.0]
    total = results["processes"][0]
    assert (total["a_captured_s"], total["b_captured_s"]) == (pytest.approx(0.275), pytest.approx(0.35))


def test_steady_batches_where_steps_are_unknown(write: Any) -> None:
    counts = {"steady_steps": None, "steady_batches": 20}
    a, b = (write(record(function("work", 2.0), counts=counts)) for _ in range(2))
    assert difference(a, b)[0]["per"] == "steady batch"
    assert rows_of(a, b)["work"]["a_tottime_s"] == 0.1


def test_processes_without_a_steady_state_are_compared_whole(write: Any) -> None:
    pool = function("pooled", 3.0, process="processes", steady_calls=0, steady_tottime_s=0.0, steady_cumtime_s=0.0)
    a = write(record(function("work", 2.0), pool))
    results, _ = difference(a, a)
    assert [(row["process"], row["per"], row["a_captured_s"]) for row in results["processes"]] == [
        ("main", "steady step", 0.2),
        ("processes", "run", 3.0),
    ]


def test_waiting_is_apart_and_counts_in_shares(write: Any) -> None:
    waiting = {"process": "main", "kind": "for loader", "seconds": 9.0, "share": 0.9, "calls": 3, "steady_seconds": 6.0}
    captured = {"main": {"seconds": 12.0, "steady_seconds": 10.0}}
    a = write(record(function("work", 2.0), waiting=[waiting], captured=captured))
    b = write(record(function("work", 2.0)))
    results, _ = difference(a, b)
    assert results["waiting"] == [
        {
            "process": "main",
            "kind": "for loader",
            "a_s": 0.6,
            "b_s": 0.0,
            "delta_s": -0.6,
            "a_share": 0.6,
            "b_share": 0.0,
            "share_delta": -0.6,
        }
    ]
    assert (rows_of(a, b)["work"]["a_share"], rows_of(a, b)["work"]["b_share"]) == (0.2, 1.0)


def test_what_shares_a_key_is_summed_but_for_cumulative_times(write: Any) -> None:
    pair = (function("__init__", 2.0, 10, line=3), function("__init__", 1.0, 5, line=30, steady_cumtime_s=7.0))
    a, b = write(record(*pair)), write(record(function("__init__", 3.0, 15, line=8)))
    results, _ = difference(a, b)
    assert results["matched"] == {"a_functions": 1, "b_functions": 1, "both": 1, "merged": 1}
    row = rows_of(a, b)["__init__"]
    assert [row[part] for part in PARTS] == [1.5, 0.3, 0.7, 1.0, 1.5, 0.3, 0.3, 1.0]


def test_sampling_engines_count_no_calls(write: Any) -> None:
    a = write(record(function("work", 2.0, None), function("gone", 1.0, None)))
    b = write(record(function("work", 1.0, None)))
    assert [rows_of(a, b)[name][key] for name in ("work", "gone") for key in ("a_calls", "b_calls")] == [None] * 4


def test_new_is_uncertain_where_the_other_record_leaves_functions_out(write: Any) -> None:
    a = write(record(function("work", 2.0), functions_left_out={"rows": 4, "tottime_s": 0.1}))
    b = write(record(function("other", 2.0)))
    assert {name: row["change"] for name, row in rows_of(a, b).items()} == {"work": "gone", "other": "new?"}


COMPREHENSIONS = (
    function("outer", 1.0, line=10, steady_cumtime_s=4.0, cumtime_s=4.0),
    function("nested", 0.5, line=12),
    function("<listcomp>", 2.0, line=15),
    function("<dictcomp>", 1.0, line=11),
    function("<genexpr>", 0.25, line=11),
    function("<module>", 0.125, line=1),
    function("<setcomp>", 8.0, line=3),
)


def version(python: str) -> dict[str, Any]:
    return {"python": {"version": python}}


def test_comprehensions_are_folded_where_one_python_has_none(write: Any) -> None:
    a = write(record(*COMPREHENSIONS, environment=version("3.11.7")))
    b = write(record(function("outer", 4.0, line=10), environment=version("3.12.0")))
    results, notes = difference(a, b)
    times = {row["name"]: row["a_tottime_s"] for row in results["functions"]}
    # The comprehension behind the nested function is taken for that one's: the rows say no better.
    assert times == {"outer": 0.2, "nested": 0.25, "<genexpr>": 0.025, "<module>": pytest.approx(0.8125)}
    assert rows_of(a, b)["outer"]["a_calls"] == 1.0
    assert [note.partition(":")[0] for note in notes] == [
        "comprehensions are functions of their own before Python 3.12 only"
    ]
    unfolded, none = difference(a, a)
    assert ("<listcomp>" in {row["name"] for row in unfolded["functions"]}, none) == (True, [])


def test_a_row_that_names_the_function_around_it_is_believed() -> None:
    def row(name: str, line: int, within: str | None = None) -> Row:
        return Row("main", "x.py", line, name, Cost(1, 1.0, 1.0), Cost(1, 0.5, 0.5), within)

    rows, alone = fold([row("outer", 10), row("nested", 12), row("<listcomp>", 15, "outer"), row("<dictcomp>", 5)])
    assert [(each.name, each.whole.own_s, each.whole.calls) for each in rows] == [
        ("outer", 2.0, 1),
        ("nested", 1.0, 1),
        ("<dictcomp>", 1.0, 1),
    ]
    assert rows[0].steady == Cost(1, 1.0, 1.0)
    assert alone == 1


def test_statistics_name_the_function_around_a_comprehension(tmp_path: Path) -> None:
    file = str(tmp_path / "mine.py")
    keys = [(file, 10, "outer"), (file, 12, "nested"), (file, 15, "<listcomp>"), (file, 16, "<setcomp>")]
    entry = (1, 1, 1.0, 1.0)
    statistics = {
        keys[0]: (*entry, {}),
        keys[1]: (*entry, {}),
        keys[2]: (*entry, {keys[0]: entry}),
        keys[3]: (*entry, {keys[2]: entry}),
    }
    (tmp_path / "old.prof").write_bytes(marshal.dumps(statistics))
    (tmp_path / "new.prof").write_bytes(marshal.dumps({keys[0]: (*entry, {})}))
    a, b = read_side(tmp_path / "old.prof"), read_side(tmp_path / "new.prof")
    times = {row["name"]: row["a_tottime_s"] for row in difference(a, b)[0]["functions"]}
    assert times == {"outer": 3.0, "nested": 1.0}


def test_a_real_profile_against_a_record(tmp_path: Path, write: Any) -> None:
    profiler = cProfile.Profile()
    profiler.runcall(sorted, [3, 1], key=lambda number: -number)
    profiler.dump_stats(tmp_path / "real.prof")
    real = read_side(tmp_path / "real.prof")
    other = write(record(function("{built-in method builtins.sorted}", 2.0, 5, file="~", line=0)))
    results, _ = difference(real, other)
    assert [(row["process"], row["per"]) for row in results["processes"]] == [("all", "run")]
    row = rows_of(real, other)["{built-in method builtins.sorted}"]
    assert (row["a_calls"], row["b_calls"], row["b_tottime_s"], row["change"]) == (1.0, 5.0, 2.0, None)


# Refusals and warnings


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"engine": "py-spy"}, "engine differs: cprofile and py-spy; profile both with one --engine"),
        ({"workload": {"argv": ["--width", "4"]}}, "workload differs: argv is '--width 3' and '--width 4'"),
        ({"target": "other.py"}, "workload differs: target is 'train.py' and 'other.py'"),
        ({"steps": None}, "B has no steady batches; profile more of them"),
        ({"counts": {"steady_steps": None, "steady_batches": None, "batches": 1}}, "B has no steady batches"),
    ],
)
def test_refusals(write: Any, changed: dict[str, Any], words: str) -> None:
    a, b = write(record(function("work", 2.0))), write(record(function("work", 2.0), **changed))
    assert any(words in reason for reason in diff_conditions.refusals(a, b))
    assert not diff_conditions.refusals(a, a)


def test_two_runs_without_steady_batches(write: Any) -> None:
    short = write(record(function("work", 2.0), counts={"batches": 1, "steady_batches": 0}))
    assert diff_conditions.refusals(short, short) == ["A and B have no steady batches; profile more of them"]
    no_loader = write(record(function("work", 2.0), steps=None))
    assert diff_conditions.refusals(no_loader, no_loader) == []
    assert any("whole runs are compared" in line for line in diff_conditions.warnings(no_loader, no_loader))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"steps": 20}, "steps differ: 10 and 20 steady steps; times are per steady step"),
        ({"steps": 4}, "B has 4 steady batches only, under 5; profile more of them"),
        ({"completed": False}, "B did not complete"),
        ({"workers": {"expected": 3, "delivered": 1, "missing": []}}, "B: 2 of 3 workers delivered no final dump"),
        ({"environment": {"machine": "other"}}, "machine differs: box and other"),
        ({"environment": {"cpu": {"model": "X"}}}, "processor differs: None and X"),
        ({"environment": {"python": {"version": "3.12.1"}}}, "Python differs: 3.11.7 and 3.12.1"),
        ({"environment": {"packages": {"a": "2", "b": "1"}}}, "packages differ: a 1 and 2, b absent and 1"),
        ({"environment": {"variables": {"OMP_NUM_THREADS": "1"}}}, "OMP_NUM_THREADS absent and 1"),
        ({"environment": {"git": {"dirty": True}}}, "B was measured with uncommitted changes"),
    ],
)
def test_warnings(write: Any, changed: dict[str, Any], words: str) -> None:
    a, b = write(record(function("work", 2.0))), write(record(function("work", 2.0), **changed))
    assert any(words in line for line in diff_conditions.warnings(a, b))
    assert diff_conditions.warnings(a, a) == []
    assert diff_conditions.refusals(a, b) == []


def test_the_label_of_uncommitted_changes_is_no_other_machine(write: Any) -> None:
    a, b = (write(record(function("w", 1.0), environment={"machine": name})) for name in ("box", "box-dirty"))
    assert diff_conditions.warnings(a, b) == []


def test_a_profile_of_calls_does_not_compare_to_samples(tmp_path: Path, write: Any) -> None:
    (tmp_path / "bare.prof").write_bytes(marshal.dumps({("~", 0, "<x>"): (1, 1, 1.0, 1.0, {})}))
    bare = read_side(tmp_path / "bare.prof")
    assert diff_conditions.refusals(bare, write(record(function("work", 2.0)))) == []
    sampled = write(record(function("work", 2.0, None), engine="py-spy"))
    assert diff_conditions.refusals(bare, sampled)[0].startswith("engine differs: a .prof counts calls, py-spy samples")
    assert diff_conditions.warnings(bare, bare)[0].startswith("A is a bare .prof: engine, workload, steps")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.prof", None, "no such run; give a run folder"),
        ("gone.json", None, "no such record"),
        ("torn.prof", b"{\x00", "no statistics that pstats reads"),
        ("text.txt", b"hello", "no statistics that pstats reads"),
        ("speedscope.json", b'{"profiles": []}', "is this a record.json"),
        ("vram.json", Record("vram", [], "2026-01-31T12:00:00Z", 1.0, True), "is a record of 'bench vram'"),
        ("none.json", record(), "holds no functions; profile with an engine"),
        ("rows.json", record({"name": "x"}), "field 'results' holds no functions as bench profile writes them"),
        ("text.json", record(function("x", 1.0, "ten")), "field 'results' holds no functions"),  # type: ignore[arg-type]
        ("list.json", record(function("x", 1.0), functions_left_out=[]), "field 'results' holds no functions"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, name: str, content: bytes | Record | None, words: str) -> None:
    path = tmp_path / name
    if isinstance(content, Record):
        path.write_text(json.dumps(content.to_json()), encoding="utf-8")
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(HarnessError, match=words) as error:
        read_side(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


# Properties

SECONDS = st.integers(0, 2**20).map(lambda units: units / 1024)  # exact in binary: sums do not depend on their order
COSTS = st.builds(Cost, st.integers(0, 1000), SECONDS, SECONDS)
ROWS = st.builds(
    Row,
    process=st.sampled_from(["main", "workers"]),
    file=st.sampled_from(["/x/a.py", "/y/z/a.py", "b.py", "/usr/lib/python3.11/queue.py", "~"]),
    line=st.integers(0, 50),
    name=st.sampled_from(["f", "g", "<listcomp>", "<module>", "{built-in method x}"]),
    whole=COSTS,
    steady=COSTS,
)
SIDES = st.builds(
    Side,
    source=st.just("run"),
    record=st.builds(
        lambda steps, python: record(steps=steps, environment=version(python)),
        st.sampled_from([None, 1, 8]),
        st.sampled_from(["3.11.1", "3.13.0"]),
    ),
    rows=st.lists(ROWS, max_size=8),
    waiting=st.dictionaries(st.tuples(st.just("main"), st.sampled_from(["idle"])), st.tuples(SECONDS, SECONDS)),
)


@given(side=SIDES)
def test_a_capture_does_not_differ_from_itself(side: Side) -> None:
    results, _ = difference(side, side)
    for row in [*results["functions"], *results["waiting"]]:
        assert (row["delta_s"], row["share_delta"], row.get("change")) == (0.0, 0.0, None)
    assert [row["delta_s"] for row in results["processes"]] == [0.0] * len(results["processes"])
    assert results["matched"]["both"] == results["matched"]["a_functions"] == results["matched"]["b_functions"]


OPPOSITE = {"new": "gone", "gone": "new", None: None}


def exchanged(row: dict[str, Any]) -> dict[str, Any]:
    swapped = {f"{'b' if key[0] == 'a' else 'a'}{key[1:]}": row[key] for key in row if key[:2] in ("a_", "b_")}
    signs = {key: -row[key] for key in ("delta_s", "share_delta") if key in row}
    change = {"change": OPPOSITE[row["change"]]} if "change" in row else {}
    return row | swapped | signs | change


@given(a=SIDES, b=SIDES)
def test_exchanging_the_sides_exchanges_the_signs(a: Side, b: Side) -> None:
    there, back = difference(a, b)[0], difference(b, a)[0]
    for table in ("functions", "waiting", "processes"):
        assert there[table] == [exchanged(row) for row in back[table]]


@given(a=SIDES, b=SIDES)
def test_no_time_is_lost(a: Side, b: Side) -> None:
    results, _ = difference(a, b)
    for total in results["processes"]:
        rows = [row for row in results["functions"] if row["process"] == total["process"]]
        waited = [row for row in results["waiting"] if row["process"] == total["process"]]
        for side in "ab":
            seconds = sum(row[f"{side}_tottime_s"] for row in rows) + sum(row[f"{side}_s"] for row in waited)
            assert seconds == pytest.approx(total[f"{side}_captured_s"])
            shares = sum(row[f"{side}_share"] for row in [*rows, *waited])
            assert shares == pytest.approx(1.0 if seconds else 0.0)
