"""The texts of a merged run: who delivered, waiting, phases, then functions by cumulative time."""

from collections.abc import Collection, Iterable, Sequence

from bench_harness.profiles.merged import Merged, share, shown_name
from bench_harness.profiles.own_code import OwnCode, described
from bench_harness.profiles.phases import PHASES, Captured, Phase
from bench_harness.profiles.statistics import Cost, Function
from bench_harness.profiles.waiting import KINDS, Account, add_accounts, for_whom

MAX_ROWS = 200
TOP_ROWS = 10
_TITLES: dict[Phase, str] = {
    "setup": "Set-up: imports and cache fills, up to the first batch",
    "first": "The first batch",
    "steady": "Steady state",
}


def merged_text(merged: Merged, *, only_own: bool = False) -> str:
    """Return the text over all processes; `only_own` keeps the functions of the user's own library."""
    phases = {phase: add_accounts(merged.account(role, phase) for role in merged.phases) for phase in PHASES}
    lines = [*_delivered(merged), *merged.text_head, *_waiting(merged), *_phases(merged.processes), ""]
    count = sum(process.has_data for process in merged.processes)
    if count > 1:
        lines += [f"Tables add up {count} processes, whose times pass side by side; processes/ has each by itself.", ""]
    lines += _tables(phases, merged.own_code, only_own, merged.has_steady, _interval(merged.processes))
    return "\n".join(lines) + "\n"


def process_text(merged: Merged, process: Captured, *, only_own: bool = False) -> str:
    """Return the text of one process."""
    phases = {phase: process.phases.get(phase, Account()) for phase in PHASES}
    lines = [f"{process.label}: {_end_of(process)}", *merged.text_head]
    lines += [*_waited(process.label, add_accounts(phases.values()), "of its captured time", merged.phases)]
    lines += [*_phases([process]), ""]
    lines += _tables(phases, merged.own_code, only_own, "steady" in process.phases, process.interval_s)
    return "\n".join(lines) + "\n"


def delivered_line(workers: dict[str, object]) -> str:
    """Return how many workers delivered, and which are missing."""
    expected, missing = workers["expected"], workers["missing"]
    line = f"{workers['delivered']} of {expected} workers delivered" if expected else "no worker processes were started"
    if not isinstance(missing, list) or not missing:
        return line
    return f"{line}; missing: " + ", ".join(missing_name(each) for each in missing)


def missing_name(row: dict[str, object]) -> str:
    """Return a row of `missing` in words: train_loader worker 3 epoch 0 pid 123 (killed; partial)."""
    names = ("worker", "epoch", "pid")
    words = [str(row.get("loader") or row.get("name") or "process")]
    words += [f"{name} {row[name]}" for name in names if row.get(name) is not None]
    rank = f"rank {row['rank']} " if row.get("rank") else ""
    return f"{rank}{' '.join(words)} ({row['reason']}; {'partial' if row['partial'] else 'nothing left'})"


def _delivered(merged: Merged) -> Iterable[str]:
    yield delivered_line(merged.workers)
    for process in merged.processes:
        if process.has_data and not process.is_final:
            yield f"{process.label}: {_end_of(process)}"


def _end_of(process: Captured) -> str:
    state = process.segment.state
    if process.is_final and state is not None:
        return f"complete ({state.reason})"
    if not process.has_data:
        return "left nothing that can be read"
    reason = (
        "up to its last dump"
        if process.profile is None
        else "up to its last dump; calls still open then are not counted"
    )
    return f"partial, {reason}"


def _waiting(merged: Merged) -> Iterable[str]:
    yield ""
    phase: Phase | None = "steady" if merged.has_steady else None
    of = "of its steady state" if merged.has_steady else "of its captured time"
    for role in merged.phases:
        yield from _waited(role, merged.account(role, phase), of, merged.phases)


def _waited(who: str, account: Account, of: str, roles: Collection[str]) -> Iterable[str]:
    for kind in KINDS:
        seconds = account.waiting[kind].own_s if kind in account.waiting else 0.0
        if seconds:
            part = share(seconds, account.captured_s)
            yield f"{who} waited {seconds:.3g} s {for_whom(kind, roles)} ({part:.0%} {of})"
    for why, seconds in account.left_out_s.items():
        yield f"{who}: {seconds:.3g} s left out ({why})"


def _phases(processes: Sequence[Captured]) -> Iterable[str]:
    rows = [process for process in processes if process.seconds]
    if not rows:
        return
    width = max(len("process"), *(len(process.label) for process in rows))
    yield ""
    yield f"{'process':<{width}}  {'set-up s':>9} {'first s':>9} {'steady s':>9}"
    for process in rows:
        seconds = " ".join(f"{process.seconds[phase]:9.3f}" for phase in PHASES)
        yield f"{process.label:<{width}}  {seconds}"


def _tables(
    phases: dict[Phase, Account], own: OwnCode, only_own: bool, has_steady: bool, interval_s: float | None
) -> Iterable[str]:
    """Yield the table of the steady state, and the top of what came before; without batches one table of all."""
    if has_steady:
        yield from _table(_TITLES["steady"], phases["steady"], own, only_own, MAX_ROWS, interval_s)
        for phase in PHASES[:2]:
            yield ""
            yield from _table(_TITLES[phase], phases[phase], own, only_own, TOP_ROWS, interval_s)
    else:
        whole = add_accounts(phases.values())
        yield from _table("The whole run", whole, own, only_own, MAX_ROWS, interval_s)


def _table(
    title: str, account: Account, own: OwnCode, only_own: bool, count: int, interval_s: float | None
) -> Iterable[str]:
    """Yield functions by cumulative time; shares are of all that was captured in the phase, waiting included."""
    rows = sorted(account.functions.items(), key=lambda row: (-row[1].total_s, -row[1].own_s, row[0]))
    kept = [row for row in rows if own.is_own(row[0][0])] if only_own else rows
    shown = kept[:count]
    yield f"{title}: {len(shown)} of {len(kept)} functions, by cumulative time; captured {account.captured_s:.3f} s"
    if only_own:
        roots = described(own.roots)
        yield f"filtered: only the own library ({roots}); {len(rows) - len(kept)} rows of other code left out"
    first = "samples" if interval_s else "calls"
    yield f"{first:>10} {'own s':>9} {'share':>7} {'per call':>10} {'cumulative s':>13} {'share':>7}  function"
    for function, cost in shown:
        yield _row(function, cost, account.captured_s, own, interval_s)


def _row(function: Function, cost: Cost, captured_s: float, own: OwnCode, interval_s: float | None) -> str:
    count = cost.calls if cost.calls is not None else round(cost.total_s / interval_s) if interval_s else 0
    per_call = f"{cost.own_s / cost.calls:10.6f}" if cost.calls else f"{'-':>10}"
    shares = [f"{share(seconds, captured_s):7.1%}" for seconds in (cost.own_s, cost.total_s)]
    return (
        f"{count:>10} {cost.own_s:9.3f} {shares[0]} {per_call} {cost.total_s:13.3f} {shares[1]}  "
        f"{shown_place(function, own)}"
    )


def shown_place(function: Function, own: OwnCode) -> str:
    """Return file:line(name), or the name of a function without a file."""
    file, line, _ = function
    name = shown_name(function)
    return name if file in ("", "~", "<built-in>") else f"{own.shown(file)}:{line}({name})"


def _interval(processes: Sequence[Captured]) -> float | None:
    if any(process.profile is not None for process in processes):
        return None
    return next((process.interval_s for process in processes if process.interval_s), None)
