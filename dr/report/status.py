"""Where each row stands, as people read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dr.model.retention import FreezeRecord
from dr.model.strategy import FailureDomain
from dr.model.timeline import format_instant
from dr.plan.proof import Proof
from dr.plan.status import RowVerdict, StatusRow
from dr.report import words
from dr.report.sheet import Cell, Sheet, Tone, cell, columns_of

TONES = {
    RowVerdict.MET: Tone.GOOD,
    RowVerdict.UNPROVEN: Tone.WARN,
    RowVerdict.LUCKY: Tone.WARN,
    RowVerdict.NOT_CAPTURED: Tone.DIM,
}


@dataclass(frozen=True, slots=True)
class Line:
    """Domains of one source of which the same is true."""

    row: StatusRow
    domains: tuple[FailureDomain, ...]


def tone(verdict: RowVerdict) -> Tone:
    return TONES.get(verdict, Tone.BAD)


def folded(rows: Sequence[StatusRow]) -> tuple[Line, ...]:
    """Domains of one source that read the same share a line, in the table's order."""
    lines: dict[object, Line] = {}
    for row in rows:
        key = (row.component, row.source, _same(row))
        old = lines.get(key)
        lines[key] = Line(row, (row.domain,)) if old is None else replace(old, domains=(*old.domains, row.domain))
    return tuple(lines.values())


def _same(row: StatusRow) -> object:
    """All that a line shows, but the domain."""
    proof = row.proof
    shown = (proof.last.drill, proof.last.verdict, row.proven) if proof else ()
    return (row.newest, row.verdict, row.points, row.next_due, row.oldest, row.held, shown)


def status_sheet(rows: Sequence[StatusRow], now: datetime, *, wide: bool = False, notes: Sequence[str] = ()) -> Sheet:
    """`dr status`. `wide`: a line for each domain, and what the row promises."""
    lines = tuple(Line(row, (row.domain,)) for row in rows) if wide else folded(rows)
    columns = columns_of(
        "component", "domains", *(["source", ">points", ">on hold", ">RPO"] if wide else []),
        "claimed", ">age", "proven", "next due", "reaches back", "last drill", "verdict",
    )  # fmt: skip
    return Sheet(columns, tuple(_row(line, now, wide) for line in lines), tuple(notes), empty="the strategy has no row")


def _row(line: Line, now: datetime, wide: bool) -> tuple[Cell, ...]:
    row = line.row
    more = (
        cell(row.source.rpartition("/")[2] or words.NOTHING),
        cell(f"{row.points:,}"),
        cell(f"{row.held:,}" if row.held else words.NOTHING),
        cell(words.target(row.rpo.total_seconds())),
    )
    return (
        cell(row.component),
        cell(", ".join(line.domains)),
        *(more if wide else ()),
        cell(to_second(row.newest)),
        cell(words.span(row.age.total_seconds()) if row.age is not None else words.NOTHING),
        cell(to_second(row.proven)),
        cell("continuous" if row.continuous else to_second(row.next_due)),
        cell(reach(row, now)),
        cell(last_drill(row.proof)),
        cell(row.verdict, tone(row.verdict)),
    )


def to_second(at: datetime | None) -> str:
    """An instant without its fraction, which nobody reads in a table."""
    return words.instant(at.replace(microsecond=0) if at else None)


def reach(row: StatusRow, now: datetime) -> str:
    """`12 d of 90 d`; once there, just the retention."""
    if row.oldest is None:
        return words.NOTHING
    whole = words.span(row.retention.total_seconds())
    return f"all {whole}" if row.reaches_all(now) else f"{words.span(row.reach(now).total_seconds())} of {whole}"


def last_drill(proof: Proof | None) -> str:
    return f"{format_instant(proof.last.at)[:10]} {proof.last.verdict}" if proof else "never"


def freeze_words(frozen: FreezeRecord) -> str:
    why = f": {frozen.reason}" if frozen.reason else ""
    return (
        f"FROZEN by {frozen.by} since {format_instant(frozen.at)}{why}. Nothing is pruned, no scheduled capture runs."
    )


def notes(frozen: FreezeRecord | None, age_s: float, fresh: bool, trouble: Iterable[str]) -> tuple[str, ...]:
    """Below the table: a freeze first, what could not be asked, how old all this is."""
    age = f"listed {words.span(age_s)} ago" + ("" if fresh else "; --fresh lists anew")
    return (*([freeze_words(frozen)] if frozen else []), *(f"not asked: {entry}" for entry in trouble), age)
