"""What the processes of a run say together: rows for a record and for texts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bench_harness.profiles.own_code import OwnCode
from bench_harness.profiles.phases import PHASES, Captured, Phase
from bench_harness.profiles.statistics import Cost, Function
from bench_harness.profiles.waiting import KINDS, Account, add_accounts
from bench_harness.segments import Role

# A role in a record, and the role of a segment.
ROLES: tuple[tuple[str, Role], ...] = (("main", "main"), ("workers", "worker"), ("processes", "process"))
_NOTHING = Cost(0, 0.0, 0.0)
MAX_ROWS = 1000
LEAST_SHARE = 1e-4
DIGITS = 9  # of seconds and shares: clocks have no more


@dataclass
class Merged:
    """A merged run; `text_head` are lines of the caller for the head of texts.

    Args:
        engine: which captured; None if no process told.
        processes: every process that was announced, main first.
        phases: by role in a record ("main", "workers", "processes") and phase; roles without data are absent.
        workers: {"expected", "delivered", "missing": [{rank, loader, worker, epoch, pid, reason, partial}]}.
        warnings: one line each.
        log_events: calls of logging functions; None where an engine only samples.
        artifacts: relative paths of what was written, by name.
        files: of each process, by label and kind; left_out: files that were not written, with the reason.
    """

    engine: str | None
    processes: list[Captured]
    phases: dict[str, dict[Phase, Account]]
    workers: dict[str, Any]
    own_code: OwnCode
    warnings: list[str] = field(default_factory=list)
    log_events: int | None = None
    artifacts: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    text_head: list[str] = field(default_factory=list)

    @property
    def has_steady(self) -> bool:
        """Whether any process came to a steady state."""
        return any("steady" in phases for phases in self.phases.values())

    def account(self, role: str, phase: Phase | None = None) -> Account:
        """Return where the time of a role went, in one phase or all."""
        phases = self.phases.get(role, {})
        return add_accounts(phases.values() if phase is None else [phases[phase]] if phase in phases else [])

    def functions(self) -> list[dict[str, Any]]:
        """Return the rows of functions, those with most own time first; shares are of the time captured in a role."""
        rows = [row for role in self.phases for row in self._functions_of(role)]
        return sorted(rows, key=lambda row: (-row["tottime_s"], row["process"], row["file"], row["line"], row["name"]))

    def _functions_of(self, role: str) -> Iterable[dict[str, Any]]:
        whole, steady = self.account(role), self.account(role, "steady")
        captured_s = whole.captured_s
        for function, cost in whole.functions.items():
            file, line, _ = function
            later = steady.functions.get(function, Cost(None if cost.calls is None else 0, 0.0, 0.0))
            yield {
                "name": shown_name(function),
                "file": self.own_code.shown(file),
                "line": line,
                "calls": cost.calls,
                "tottime_s": round(cost.own_s, DIGITS),
                "cumtime_s": round(cost.total_s, DIGITS),
                "share": round(share(cost.own_s, captured_s), DIGITS),
                "process": role,
                "steady_calls": later.calls,
                "steady_tottime_s": round(later.own_s, DIGITS),
                "steady_cumtime_s": round(later.total_s, DIGITS),
                "own": self.own_code.is_own(file),
                "waiting": None,
            }

    def waiting(self) -> list[dict[str, Any]]:
        """Return the rows of waiting: by role and kind."""
        rows = []
        for role in self.phases:
            whole, steady = self.account(role), self.account(role, "steady")
            for kind in KINDS:
                if kind in whole.waiting:
                    cost, later = whole.waiting[kind], steady.waiting.get(kind, _NOTHING)
                    rows.append(
                        {
                            "process": role,
                            "kind": kind,
                            "seconds": round(cost.own_s, DIGITS),
                            "share": round(share(cost.own_s, whole.captured_s), DIGITS),
                            "calls": cost.calls,
                            "steady_seconds": round(later.own_s, DIGITS),
                            "steady_share": round(share(later.own_s, steady.captured_s), DIGITS),
                        }
                    )
        return rows

    def captured(self) -> dict[str, dict[str, Any]]:
        """Return what shares are of, by role: seconds in all and in the steady state, and what was left out."""
        return {
            role: {
                "seconds": self.account(role).captured_s,
                "steady_seconds": self.account(role, "steady").captured_s,
                "left_out_s": self.account(role).left_out_s,
            }
            for role in self.phases
        }

    def process_rows(self) -> list[dict[str, Any]]:
        """Return one row per process, main first."""
        return [self._process_row(each) for each in self.processes]

    def _process_row(self, process: Captured) -> dict[str, Any]:
        identity, state = process.identity, process.segment.state
        names = ("role", "rank", "loader", "worker", "epoch", "pid")
        told = ("reason", "exception", "wall_s", "cpu_s", "uss_bytes", "pss_bytes")
        return {
            "label": process.label,
            **{name: getattr(identity, name) for name in names},
            "final": process.is_final,
            **{name: None if state is None else getattr(state, name) for name in told},
            "files": self.files.get(process.label, {}),
        }

    def phase_rows(self) -> list[dict[str, Any]]:
        """Return how long each phase of each process lasted."""
        return [
            {"process": each.label, **{f"{phase}_s": each.seconds[phase] for phase in PHASES}}
            for each in self.processes
            if each.seconds
        ]

    def results(self, max_rows: int = MAX_ROWS) -> dict[str, Any]:
        """Return what goes into the results of a record; rows that weigh next to nothing are only counted."""
        rows = self.functions()
        # Imports may take a hundred times as long as the steady state, and would hide what weighs in that.
        steady = {role: LEAST_SHARE * self.account(role, "steady").captured_s for role in self.phases}
        is_steady = [row["steady_tottime_s"] > 0 and row["steady_tottime_s"] >= steady[row["process"]] for row in rows]
        weighty = [i for i, row in enumerate(rows) if row["own"] or is_steady[i] or row["share"] >= LEAST_SHARE]
        # Where there are too many: a program of a second has a thousand functions of imports alone.
        first = sorted(weighty, key=lambda i: not (rows[i]["own"] or rows[i]["steady_calls"] or is_steady[i]))
        kept = [rows[i] for i in sorted(first[:max_rows])]
        rest_s = sum(row["tottime_s"] for row in rows) - sum(row["tottime_s"] for row in kept)
        return {
            "engine": self.engine,
            "phases": self.phase_rows(),
            "functions": kept,
            "functions_left_out": {"rows": len(rows) - len(kept), "tottime_s": max(0.0, rest_s)},
            "waiting": self.waiting(),
            "captured": self.captured(),
            "processes": self.process_rows(),
        }


def share(part: float, whole: float) -> float:
    """Return a share, 0 of nothing."""
    return part / whole if whole > 0 else 0.0


def shown_name(function: Function) -> str:
    """Return the name of a function as pstats prints it: built-ins in braces."""
    file, _, name = function
    return f"{{{name[1:-1]}}}" if file == "~" and name.startswith("<") and name.endswith(">") else name
