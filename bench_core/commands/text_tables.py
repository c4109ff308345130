"""Tables as text for a terminal, a log or Markdown."""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass
from typing import Any

# A rule below the header, in ASCII: a table is pasted into mails and logs of any encoding.
_RULE_BELOW_HEADER = "    \n    \n -- \n    \n    \n    \n    \n    \n"
WIDTH = 240
NOTE_WIDTH = 120


@dataclass(frozen=True)
class TextTable:
    """Rows of text under headers; the columns of `left` are words, all others numbers; notes follow, one per line.

    A header may have two lines."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    def as_text(self) -> str:
        """Return aligned columns, none of them broken."""
        from rich.box import Box
        from rich.console import Console
        from rich.table import Table

        table: Any = Table(box=Box(_RULE_BELOW_HEADER, ascii=True), show_edge=False, pad_edge=False)
        for header in self.headers:
            table.add_column(header, justify="left" if header in self.left else "right", no_wrap=True)
        for row in self.rows:
            table.add_row(*row)
        stream = io.StringIO()
        Console(file=stream, width=WIDTH, markup=False, highlight=False, emoji=False, no_color=True).print(table)
        lines = [line.rstrip() for line in stream.getvalue().splitlines()]
        notes = [textwrap.fill(note, NOTE_WIDTH, subsequent_indent="  ") for note in self.notes]
        return "\n".join([self.title, "", *lines, *(["", *notes] if notes else [])])

    def as_markdown(self) -> str:
        """Return a Markdown table."""
        rules = [":--" if header in self.left else "--:" for header in self.headers]
        headers = [header.replace("\n", " ") for header in self.headers]
        lines = ["| " + " | ".join(cells) + " |" for cells in (headers, rules, *self.rows)]
        notes = [f"- {note}" for note in self.notes]
        return "\n".join([f"**{self.title}**", "", *lines, *(["", *notes] if notes else [])])
