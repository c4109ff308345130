"""The terminal report of `bench vram`, drawn from its record alone."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench_harness.record import Record
from bench_harness.report import units
from bench_harness.report.summary_text import conditions
from bench_harness.report.tables import new_table, print_parts

MAX_MODULES = 12
MAX_NAME = 40


def print_vram(record: Record, folder: str) -> None:
    """Print the report, at most 100 columns wide."""
    print_parts(parts(record, folder))


def parts(record: Record, folder: str) -> Iterable[Any]:
    """Yield the lines and tables of the report."""
    results = record.results
    yield conditions(record.environment)
    if "solve" in results:
        yield _solved(results["solve"])
    if "sweep" in results:
        yield from _sweep(results["sweep"])
    if "ledger" in results:
        yield from _ledger(results["ledger"])
    if "check" in results:
        yield _checked(results["check"])
    yield f"\nArtifacts in {folder}: record.json" + "".join(f", {path}" for path in record.artifacts.values())
    for warning in record.warnings:
        yield f"warning: {warning}"


def operator(name: str) -> str:
    """Return an operator's name without namespace and overload."""
    return name.removeprefix("aten.").partition(".")[0]


def peak_line(ledger: Mapping[str, Any]) -> str:
    """Return the peak in one line: how much, when, where."""
    peak = ledger["peak"]
    return (
        f"peak {units.size(ledger['peak_bytes'])} in {peak['phase']} of step {peak['step']}, "
        f"at {operator(peak['op'])} of {_typed(ledger, peak['module'])}"
    )


def shortened(module: str) -> str:
    """Return a module's name, its middle left out where it is long: escnn's hold whole representations."""
    return module if len(module) <= MAX_NAME else f"{module[: MAX_NAME // 2]}..{module[-MAX_NAME // 2 :]}"


def _typed(ledger: Mapping[str, Any], module: str) -> str:
    """Return a module's name with its class: `encoder.0 (Conv3d)`."""
    name = ledger.get("module_types", {}).get(module)
    return f"{shortened(module)} ({name})" if name else shortened(module)


def dominating(ledger: Mapping[str, Any]) -> str:
    """Return the module and the kind that hold most of the peak, in words."""
    module, size = next(iter(ledger["by_module"].items()))
    kind, kind_size = next(iter(ledger["by_kind"].items()))
    whole = ledger["peak_bytes"] or 1
    return f"{_typed(ledger, module)} holds {size / whole:.0%}, {kind} are {kind_size / whole:.0%}"


def _ledger(ledger: Mapping[str, Any]) -> Iterable[Any]:
    yield f"\n{peak_line(ledger)}; {dominating(ledger)}; {ledger['parameters']:,} parameters"
    whole = ledger["peak_bytes"] or 1
    table = new_table("At the peak, by kind", "kind", "held", "share", right=["held", "share"])
    for kind, size in ledger["by_kind"].items():
        table.add_row(kind, units.size(size), f"{size / whole:.1%}")
    yield table
    yield from _modules(ledger, whole)
    if ledger["tensors"]:
        yield _tensors(ledger["tensors"])
    phases = ", ".join(f"{phase} {units.size(size)}" for phase, size in ledger["phases"].items())
    yield f"\nPeak of each phase: {phases}"
    for note in ledger["notes"]:
        yield f"note: in the simulation, {note}"


def _modules(ledger: Mapping[str, Any], whole: int) -> Iterable[Any]:
    table = new_table("At the peak, by module", "module", "held", "share", "most of it", right=["held", "share"])
    for row in ledger["modules"][:MAX_MODULES]:
        most = ", ".join(f"{kind} {units.size(size)}" for kind, size in list(row["by_kind"].items())[:2])
        table.add_row(_typed(ledger, row["module"]), units.size(row["bytes"]), f"{row['bytes'] / whole:.1%}", most)
    yield table
    if len(ledger["by_module"]) > MAX_MODULES:
        yield f"  ... {len(ledger['by_module']) - MAX_MODULES} more in record.json"


def _tensors(rows: list[dict[str, Any]]) -> Any:
    table = new_table("Largest storages at the peak", "held", "kind", "module", "made by", "shape", right=["held"])
    for row in rows:
        shape = " x ".join(map(str, row["shape"])) or "one number"
        table.add_row(
            units.size(row["bytes"]), row["kind"], row["module"], operator(row["op"]), f"{shape} {row['dtype']}"
        )
    return table


def _solved(solved: Mapping[str, Any]) -> str:
    tried = ", ".join(f"{item['value']} ({units.size(item['peak_bytes'])})" for item in solved["tried"])
    return (
        f"\n{solved['name']} = {solved['value']} is the largest that fits into {units.size(solved['limit_bytes'])}\n"
        f"tried: {tried}"
    )


def _sweep(sweep: Mapping[str, Any]) -> Iterable[Any]:
    name, rows = sweep["name"], sweep["rows"]
    right = [name, "peak", "share", "parameters"]
    table = new_table(
        f"Peak against {name}", name, "peak", "parameters", "largest module", "share", "phase", right=right
    )
    for row in rows:
        if "problem" in row:
            table.add_row(str(row["value"]), "-", "-", row["problem"], "", "")
            continue
        share = f"{row['largest_module_bytes'] / (row['peak_bytes'] or 1):.0%}"
        count = f"{row['parameters']:,}"
        table.add_row(
            str(row["value"]), units.size(row["peak_bytes"]), count, row["largest_module"], share, row["phase"]
        )
    yield table
    yield f"\n{sweep['answer']}"


def _checked(check: Mapping[str, Any]) -> str:
    return (
        f"\nchecked: predicted {units.size(check['predicted_bytes'])}, the {check['device']} allocator's own peak "
        f"{units.size(check['measured_bytes'])}, ratio {check['ratio']:.4f}"
    )
