"""The merged page of pyinstrument: one tree, the processes of a run its first branches."""

from collections.abc import Mapping

from bench_harness.optional import require
from bench_harness.profiles.own_code import is_synthetic
from bench_harness.profiles.statistics import Folded, Function
from bench_harness.profiles.waiting_functions import PROCESS_FILE

# pyinstrument writes its tree recursively: deeper stacks would meet Python's limit.
MAX_DEPTH = 400


def render_page(stacks: Mapping[str, Folded], *, title: str, seconds: float, cpu_s: float, interval_s: float) -> str:
    """Return the page that pyinstrument's own HTMLRenderer makes of stacks, by the label of their process.

    Raises:
        MissingPackageError: pyinstrument is not installed.
    """
    session = require("pyinstrument.session", "sampling").Session
    renderer = require("pyinstrument.renderers.html", "sampling").HTMLRenderer
    records = [
        ([_identifier((PROCESS_FILE, 0, label)), *map(_identifier, _cut(stack))], weight)
        for label, folded in stacks.items()
        for stack, weight in sorted(folded.items())  # stacks that share callers side by side: they become one branch
    ]
    page: str = renderer().render(
        session.from_json(
            {
                "frame_records": records,
                "start_time": 0.0,
                "duration": seconds,
                "min_interval": interval_s,
                "max_interval": interval_s,
                "sample_count": round(sum(weight for _, weight in records) / interval_s) if interval_s else 0,
                # Where the profiler was started: it must be there, and names no frame of the tree.
                "start_call_stack": [_identifier(("", 0, title))],
                "target_description": title,
                "cpu_time": cpu_s,
            }
        )
    )
    return page


def _identifier(function: Function) -> str:
    file, line, name = function
    return "\0".join((name, file or "<unknown>" if is_synthetic(file) else file, str(line)))


def _cut(stack: tuple[Function, ...]) -> tuple[Function, ...]:
    if len(stack) <= MAX_DEPTH:
        return stack
    return (*stack[: MAX_DEPTH - 2], ("<cut>", 0, f"[{len(stack) - MAX_DEPTH + 1} frames]"), stack[-1])

