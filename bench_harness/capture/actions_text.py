"""The table of actions that a profiler leaves: shares beside seconds and calls, each stage and each epoch apart."""

from collections.abc import Iterable

from bench_harness.capture.actions import ActionRow

LEAST_SHARE = 0.001
_HEAD = f"{'calls':>9} {'inclusive s':>12} {'exclusive s':>12} {'share':>7} {'mean s':>11}  action"
_LEGEND = """\
inclusive: under way, with all that ran within it; exclusive: without. Share is of exclusive time, and adds up to 100 %.
"""


def actions_text(title: str, rows: list[ActionRow], wall_s: float) -> str:
    """Return tables of actions, the longest inclusive time first: each stage as a whole, then each of its epochs.

    Args:
        wall_s: seconds from beginning to end; what no action accounts for is said.
    """
    outside_s = max(0.0, wall_s - sum(row.exclusive_s for row in rows))
    parts = [f"{title}: {wall_s:.3f} s, {outside_s:.3f} s of them outside all actions\n{_LEGEND}"]
    for stage in dict.fromkeys(row.stage for row in rows):
        of_stage = [row for row in rows if row.stage == stage]
        epochs = sorted({row.epoch for row in of_stage}, key=lambda epoch: -1 if epoch is None else epoch)
        if len(epochs) > 1:
            parts.append(_section(f"{stage}, all epochs", _over_epochs(of_stage)))
        for epoch in epochs:
            where = f"epoch {epoch}" if epoch is not None else "outside epochs" if len(epochs) > 1 else ""
            of_epoch = [row for row in of_stage if row.epoch == epoch]
            parts.append(_section(f"{stage}, {where}" if where else stage, of_epoch))
    return "\n".join(parts)


def _over_epochs(rows: Iterable[ActionRow]) -> list[ActionRow]:
    merged: dict[str, list[ActionRow]] = {}
    for row in rows:
        merged.setdefault(row.action, []).append(row)
    return [_sum(action, of_action) for action, of_action in merged.items()]


def _sum(action: str, rows: list[ActionRow]) -> ActionRow:
    calls = sum(row.calls for row in rows)
    inclusive_s = sum(row.inclusive_s for row in rows)
    exclusive_s = sum(row.exclusive_s for row in rows)
    return ActionRow(rows[0].stage, None, action, calls, inclusive_s, exclusive_s, inclusive_s / calls)


def _section(title: str, rows: list[ActionRow]) -> str:
    total_s = sum(row.exclusive_s for row in rows)
    shown = [row for row in rows if row.inclusive_s >= LEAST_SHARE * total_s]
    lines = [f"{title}: {total_s:.3f} s", _HEAD]
    lines += [_line(row, total_s) for row in sorted(shown, key=lambda row: -row.inclusive_s)]
    if len(shown) < len(rows):
        few = len(rows) - len(shown)
        lines.append(f"and {few} action{'s' if few > 1 else ''} below {LEAST_SHARE:.1%} of it")
    return "\n".join(lines) + "\n"


def _line(row: ActionRow, total_s: float) -> str:
    share = row.exclusive_s / total_s if total_s else 0.0
    return (
        f"{row.calls:>9,} {row.inclusive_s:>12.4f} {row.exclusive_s:>12.4f} {share:>7.1%} {row.mean_s:>11.6f}  "
        f"{row.action}"
    )
