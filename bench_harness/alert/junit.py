"""JUnit XML, which every CI reads: one test case per benchmark, parameters and metric.

| verdict | shown as |
|---|---|
| regression, failed | failure; a passed case with its text where it is accepted or reported only |
| not measured | error |
| suspected, undecided, n/a | skipped, with the reason: neither passed nor failed is what it is |
| improvement, fine | passed |
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from typing import Any

from bench_harness.alert import wording
from bench_harness.alert.wording import Row
from bench_harness.record import Record

_ELEMENTS = {
    "regression": "failure",
    "failed": "failure",
    "not measured": "error",
    "suspected": "skipped",
    "undecided": "skipped",
    "n/a": "skipped",
}
_LETTERS = 2000


def report(record: Record) -> str:
    """Return the document, by the schema of Jenkins' xUnit plugin (junit-10.xsd), which pytest follows as well."""
    rows = record.results["benchmarks"]
    kinds = [_kind(row) for row in rows]
    attributes = {
        "name": "bench alert",
        "tests": str(len(rows)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": str(kinds.count("skipped")),
        "time": f"{record.wall_s:.3f}",
        "timestamp": record.started.removesuffix("Z"),
        "hostname": wording.clean(record.environment.get("machine") or "unknown"),
    }
    root = ElementTree.Element("testsuites", {"name": "bench alert"})
    suite = ElementTree.SubElement(root, "testsuite", attributes)
    _add_properties(suite, record)
    for row, kind in zip(rows, kinds, strict=True):
        _add_case(suite, row, kind)
    ElementTree.indent(root, " ")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _add_properties(suite: ElementTree.Element, record: Record) -> None:
    properties = ElementTree.SubElement(suite, "properties")
    sides: Mapping[str, Any] = record.results
    for side in ("base", "head"):
        ElementTree.SubElement(properties, "property", {"name": side, "value": sides[side]["commit"]})
    for line in record.results["loud"]:
        ElementTree.SubElement(properties, "property", {"name": "warning", "value": wording.clean(line, _LETTERS)})


def _kind(row: Row) -> str | None:
    kind = _ELEMENTS.get(row["verdict"])
    return None if kind == "failure" and not row["alarm"] else kind


def _add_case(suite: ElementTree.Element, row: Row, kind: str | None) -> None:
    module, _, _ = row["name"].rpartition(".")
    title = f"{wording.clean(row['label'], 500)} {wording.clean(row['metric'])}"
    where = f" [{wording.clean(row['environment'])}]" if row["environment"] else ""
    # asv's seconds are of the benchmark; those of a comparison are of the whole run, and would add up to nonsense.
    seconds = (row["seconds"] or 0.0) if row["source"] == "asv" else 0.0
    attributes = {"classname": wording.clean(module or "benchmarks"), "name": title + where, "time": f"{seconds:.3f}"}
    case = ElementTree.SubElement(suite, "testcase", attributes)
    if kind is not None:
        message = wording.clean(wording.one_line(row), _LETTERS)
        element = ElementTree.SubElement(case, kind, {"type": row["verdict"], "message": message})
        element.text = _text(row)
    else:
        ElementTree.SubElement(case, "system-out").text = _text(row)


def _text(row: Row) -> str:
    lines = [
        f"{wording.value(row, 'base')} -> {wording.value(row, 'head')}, {wording.ratio(row)}: {wording.verdict(row)}"
    ]
    lines += [f"{what}: {text}" for what, text in wording.facts(row)]
    lines += [f"{key}: {wording.clean(row[key], _LETTERS)}" for key in ("rerun", "acknowledge") if row[key]]
    return "\n".join(lines)
