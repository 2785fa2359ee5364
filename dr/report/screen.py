"""A sheet on a terminal: colours and rules where there is one, plain text where there is none."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from dr.report.sheet import Sheet, cards, plain

READABLE = 9
"""Columns narrower than this (on average) break words in pieces: then rows become paragraphs."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What the output is. `width` None: no terminal, nothing is wrapped."""

    width: int | None
    colour: bool

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str]) -> Screen:
        """NO_COLOR (set to anything but empty) and TERM=dumb turn colours off; COLUMNS sets the width."""
        if not stream.isatty():
            return cls(None, False)
        colour = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        return cls(shutil.get_terminal_size().columns, colour)


def show(sheet: Sheet, screen: Screen | None = None) -> str:
    """The sheet as text for `screen` (default: what standard output is)."""
    chosen = screen or Screen.of(sys.stdout, os.environ)
    if chosen.width is None or not sheet.rows:
        return plain(sheet)
    if chosen.width < READABLE * len(sheet.columns):
        return cards(sheet)
    return _rich(sheet, chosen.width, chosen.colour)


def _rich(sheet: Sheet, width: int, colour: bool) -> str:
    # rich costs 60 ms: only where somebody looks at it
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in sheet.columns:
        table.add_column(column.title, justify="right" if column.right else "left", overflow="fold")
    for row in sheet.rows:
        # Text, not markup: brackets in a name are a name
        table.add_row(*(Text(c.text, style=c.tone.value) for c in row))
    console = Console(
        width=width,
        color_system="standard" if colour else None,
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
    )
    with console.capture() as capture:
        console.print(table)
        for note in sheet.notes:
            console.print(Text(note))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"
