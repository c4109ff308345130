"""Tables in plain ASCII, at most 100 columns wide, that every command's text is made of."""

import io
import os
import sys
from collections.abc import Iterable
from typing import Any

from bench_harness.optional import require

WIDTH = 100
# rich's SIMPLE box in ASCII: a report is pasted into mails and logs of any encoding.
_RULE_BELOW_HEADER = "    \n    \n -- \n    \n    \n    \n    \n    \n"


def new_table(title: str, *columns: str, right: Iterable[str] = ()) -> Any:
    """Return an empty rich table; columns named in `right` are aligned to the right."""
    box = require("rich.box").Box(_RULE_BELOW_HEADER, ascii=True)
    table = require("rich.table").Table(
        title=f"\n{title}", title_justify="left", title_style="bold", box=box, show_edge=False, pad_edge=False
    )
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def print_parts(parts: Iterable[Any]) -> None:
    """Print lines and tables as wide as the terminal, at most WIDTH; colours only there and without NO_COLOR."""
    on_terminal = sys.stdout.isatty()
    columns = os.get_terminal_size(sys.stdout.fileno()).columns if on_terminal else 0
    # rich writes to a string: on a broken pipe of its own it would exit with 1, which means "regression" here.
    sys.stdout.write(render_parts(parts, min(WIDTH, columns or WIDTH), colour=on_terminal))


def render_parts(parts: Iterable[Any], width: int = WIDTH, *, colour: bool = False) -> str:
    """Return lines and tables as text."""
    stream = io.StringIO()
    console = require("rich.console").Console(
        file=stream, width=width, force_terminal=colour, markup=False, highlight=False, emoji=False
    )
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"
