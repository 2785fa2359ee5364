"""A table as data, and the two renderings that need no library: plain text for pipes, Markdown for documents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Tone(Enum):
    """How a cell is meant; a renderer with colours may show it. The words alone must suffice."""

    PLAIN = ""
    GOOD = "green"
    WARN = "yellow"
    BAD = "bold red"
    DIM = "dim"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; figures stand to the right."""

    title: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows under columns, and lines that belong below them."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    empty: str = "nothing to show"


def columns_of(*titles: str) -> tuple[Column, ...]:
    """A title that begins with `>` names a column of figures."""
    return tuple(Column(title.removeprefix(">"), title.startswith(">")) for title in titles)


def cell(text: object, tone: Tone = Tone.PLAIN) -> Cell:
    """Control characters are taken out: a name must not move a terminal's cursor."""
    return Cell(_CONTROL.sub(" ", str(text)), tone)


def plain(sheet: Sheet) -> str:
    """Columns two spaces apart, never cut or wrapped: for pipes and files."""
    if not sheet.rows:
        return "\n".join((sheet.empty, *sheet.notes)) + "\n"
    table = [[column.title.upper() for column in sheet.columns], *([c.text for c in row] for row in sheet.rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(sheet.columns))]
    lines = [_plain_line(row, widths, sheet.columns) for row in table]
    return "\n".join((*lines, *([""] if sheet.notes else []), *sheet.notes)) + "\n"


def _plain_line(row: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> str:
    cells = zip(row, widths, columns, strict=True)
    return "  ".join(t.rjust(w) if column.right else t.ljust(w) for t, w, column in cells).rstrip()


def cards(sheet: Sheet) -> str:
    """One paragraph for each row: for terminals too narrow for a table."""
    if not sheet.rows:
        return plain(sheet)
    width = max(len(column.title) for column in sheet.columns)
    blocks = [
        "\n".join(
            f"{column.title.ljust(width)}  {c.text}" for column, c in zip(sheet.columns, row, strict=True) if c.text
        )
        for row in sheet.rows
    ]
    return "\n\n".join((*blocks, *sheet.notes)) + "\n"


def markdown(sheet: Sheet) -> str:
    """A Markdown table."""
    lines = [_markdown_line([column.title for column in sheet.columns])]
    lines.append(_markdown_line(["---:" if column.right else "---" for column in sheet.columns]))
    lines += [_markdown_line([c.text for c in row]) for row in sheet.rows]
    return "\n".join(lines) + "\n"


def _markdown_line(cells: Sequence[str]) -> str:
    escaped = (text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for text in cells)
    return f"| {' | '.join(escaped)} |"
