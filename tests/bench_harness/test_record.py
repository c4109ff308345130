"""The record: what is written is what is read, and what is wrong is named."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_harness.errors import RecordError, UsageError
from bench_harness.record import Record, utc_now
from bench_harness.run_folders import run_folder, safe_name

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.text(), JSON, max_size=4)
FIELDS = {"schema", "command", "argv", "started", "wall_s", "completed", "environment", "warnings", "workers"}
RECORDS = st.builds(
    Record,
    command=st.text(),
    argv=st.lists(st.text(), max_size=4),
    started=st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    wall_s=st.floats(min_value=0, allow_nan=False, allow_infinity=False) | st.integers(min_value=0),
    completed=st.booleans(),
    environment=OBJECT,
    warnings=st.lists(st.text(), max_size=3),
    workers=st.none() | st.just({"expected": 2, "delivered": 1, "missing": [{"pid": 7}]}),
    artifacts=st.dictionaries(st.text(), st.just("memray/load.bin"), max_size=3),
    results=OBJECT,
    extra=st.dictionaries(st.text().filter(lambda key: key not in {*FIELDS, "artifacts", "results"}), JSON, max_size=3),
)


def record(**changes: Any) -> Record:
    fields = {"command": "summary", "argv": ["summary"], "started": utc_now(), "wall_s": 1.5, "completed": True}
    return Record(**{**fields, **changes})


@settings(max_examples=60, deadline=None)
@given(written=RECORDS)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, written: Record) -> None:
    folder = tmp_path_factory.mktemp("run")
    assert Record.read(written.write(folder)) == written
    assert Record.read(folder) == written
    assert [path.name for path in folder.iterdir()] == ["record.json"]


def test_numbers_that_are_not_finite_become_null_and_are_named(tmp_path: Path) -> None:
    results = {"load": [{"rate": math.nan}, {"rate": -math.inf, "fine": 2.5}]}
    path = record(results=results).write(tmp_path)
    read = Record.read(path)
    assert read.results == {"load": [{"rate": None}, {"rate": None, "fine": 2.5}]}
    assert [line.partition(" was ")[0] for line in read.warnings] == ["results.load[0].rate", "results.load[1].rate"]
    assert read.to_json() == json.loads(path.read_text(encoding="utf-8"))


def test_unknown_fields_survive(tmp_path: Path) -> None:
    path = record().write(tmp_path)
    document = json.loads(path.read_text(encoding="utf-8")) | {"from_the_future": {"a": [1]}}
    path.write_text(json.dumps(document), encoding="utf-8")
    assert json.loads(Record.read(path).write(tmp_path).read_text(encoding="utf-8")) == document


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"results": {"path": Path("x")}}, "results.path"),
        ({"results": {"deep": [{1: 2}]}}, "results.deep[0]"),
        ({"artifacts": {"merged": "/merged.prof"}}, "relative paths"),
        ({"started": "yesterday"}, "'started' is str 'yesterday'"),
        ({"wall_s": -1}, "'wall_s' is int -1"),
    ],
)
def test_what_cannot_be_written_leaves_the_old_record(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    before = record().write(tmp_path).read_bytes()
    with pytest.raises(RecordError) as caught:
        record(**changes).write(tmp_path)
    assert words in str(caught.value)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("schema", 2, "schema 2 is newer than 1; upgrade"),
        ("schema", None, "'schema' is NoneType None"),
        ("schema", "1", "'schema' is str '1'"),
        ("schema", True, "'schema' is bool True"),
        ("command", ..., "'command' is missing"),
        ("command", 7, "'command' is int 7, expected a string"),
        ("argv", "summary", "'argv' is str 'summary', expected a list of strings"),
        ("argv", [1], "'argv' is list [1]"),
        ("started", "2026-01-31T12:00:00", "expected a UTC time"),
        ("wall_s", True, "'wall_s' is bool True"),
        ("completed", 1, "'completed' is int 1, expected true or false"),
        ("environment", [], "'environment' is list []"),
        ("workers", {"expected": 1}, "expected, delivered and missing"),
        ("artifacts", {"a": 1}, "relative paths"),
        ("results", "x" * 1000, "..., expected an object"),
    ],
)
def test_a_bad_field_is_named_with_its_file(tmp_path: Path, field: str, value: Any, words: str) -> None:
    path = record().write(tmp_path)
    document = json.loads(path.read_text(encoding="utf-8"))
    document = {key: item for key, item in (document | {field: value}).items() if item is not ...}
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(RecordError) as caught:
        Record.read(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 200


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"schema": NaN}', b"\xff\xfe", b"[" * 100_000],
    ids=["empty", "cut", "list", "null", "nan", "not utf-8", "deep"],
)
def test_a_file_that_is_no_record(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"record\.json: "):
        Record.read(path)


def test_a_missing_record(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such record"):
        Record.read(tmp_path)


def test_a_root_that_is_no_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "profiles").touch()
    with pytest.raises(UsageError, match="Not a directory; try --out DIR"):
        run_folder("load", tmp_path / "profiles")


def test_run_folders_have_the_documented_name_and_never_collide(tmp_path: Path) -> None:
    keys = {"started": "2026-01-31T12:00:00Z", "commit": "0123456789abcdef", "machine": "my box/1"}
    first, second = (run_folder("load", tmp_path, **keys) for _ in range(2))
    assert first == tmp_path / "load" / "20260131T120000Z-0123456789ab-my_box_1"
    assert second.name == first.name + "-2"
    assert run_folder("../up", tmp_path).parent == tmp_path / "up"
    assert "-nogit-" in run_folder("load", tmp_path).name


@given(text=st.text())
def test_safe_names_are_single_path_parts(text: str) -> None:
    name = safe_name(text)
    assert Path(name).parts == (name,)
    assert name.isascii()
    assert safe_name(name) == name
