"""What stands beside the two measured figures of a row: the four clocks, the instants, the worst RPO, the copies of a search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dr.model.evidence import Clocks, Drawn, DrillReport, DrillRow, Tried, WorstRpo
from dr.model.strategy import FailureDomain
from dr.model.timeline import format_instant, parse_instant
from dr.report import words
from dr.report.envelope import Item, when


def clocks_item(clocks: Clocks | None) -> Item | None:
    if clocks is None:
        return None
    return {
        "detect_s": clocks.detect_s,
        "decide_s": clocks.decide_s,
        "restore_s": clocks.restore_s,
        "verify_s": clocks.verify_s,
    }


def beside_item(report: DrillReport, row: DrillRow) -> Item:
    """`behind_s`: how much older than asked for the copy is."""
    requested = row.requested or report.requested
    return {
        "requested": when(row.requested),
        "behind_s": (requested - row.instant).total_seconds() if row.instant else None,
        "worst_rpo": _worst_item(row.worst),
        "tried": [
            {"instant": when(one.instant), "point": one.point, "sha256": one.sha256, "clean": one.clean, "why": one.why}
            for one in row.tried
        ],
    }


def _worst_item(worst: WorstRpo | None) -> Item | None:
    if worst is None:
        return None
    return {
        "seconds": worst.seconds,
        "points": worst.points,
        "since": when(worst.since),
        "until": when(worst.until),
    }


def drawn_items(report: DrillReport) -> list[Item]:
    return [
        {
            "source": one.source,
            "domain": str(one.domain),
            "requested": when(one.requested),
            "first": when(one.first),
            "last": when(one.last),
            "seed": one.seed,
        }
        for one in report.drawn
    ]


# --- and back: raises KeyError, TypeError and ValueError for what is no such thing -----------------------------------


Entry = Mapping[str, object]


def read_clocks(value: object) -> Clocks | None:
    found = _entry(value)
    if found is None:
        return None
    return Clocks(*(_number(found, name) for name in ("detect_s", "decide_s", "restore_s", "verify_s")))


def read_worst(value: object) -> WorstRpo | None:
    found = _entry(value)
    if found is None:
        return None
    since, until = parse_instant(str(found["since"])), parse_instant(str(found["until"]))
    return WorstRpo(_number(found, "seconds"), int(_number(found, "points")), since, until)


def read_tried(values: Iterable[object]) -> tuple[Tried, ...]:
    found = [entry for entry in map(_entry, values) if entry is not None]
    return tuple(
        Tried(
            parse_instant(str(one["instant"])),
            str(one["point"]),
            str(one["sha256"]),
            bool(one["clean"]),
            str(one["why"]),
        )
        for one in found
    )


def read_drawn(values: Iterable[object]) -> tuple[Drawn, ...]:
    found = [entry for entry in map(_entry, values) if entry is not None]
    return tuple(
        Drawn(
            str(one["source"]),
            FailureDomain(str(one["domain"])),
            parse_instant(str(one["requested"])),
            parse_instant(str(one["first"])),
            parse_instant(str(one["last"])),
            str(one["seed"]),
        )
        for one in found
    )


def _entry(value: object) -> Entry | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is not an object")
    return value


def _number(found: Entry, name: str) -> float:
    value = found[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is not a number")
    return value


# --- for people ------------------------------------------------------------------------------------------------------


def beside_notes(report: DrillReport) -> Iterable[str]:
    """Below the table: the clocks of each row, what was asked for, the worst RPO, what a search found."""
    for row in report.rows:
        head = f"{row.component}/{row.domain}"
        if row.rto.clocks:
            yield f"{head}: {clock_words(row.rto.clocks)}"
        yield from (f"{head}: {text}" for text in instant_words(report, row))
        yield from (f"{head}: {tried_words(one)}" for one in row.tried)


def clock_words(clocks: Clocks) -> str:
    """`detect 3 s, decide 2 s, restore 40 s, verify 5 s`."""
    parts = (("detect", clocks.detect_s), ("decide", clocks.decide_s), ("restore", clocks.restore_s))
    return ", ".join(f"{name} {words.span(value)}" for name, value in (*parts, ("verify", clocks.verify_s)))


def instant_words(report: DrillReport, row: DrillRow) -> Iterable[str]:
    """What was asked for and what came of it; then the worst RPO, where it is known."""
    lot = next((one for one in report.drawn if (one.source, one.domain) == (row.source, row.domain)), None)
    requested = row.requested or report.requested
    if row.instant is not None:
        behind = (requested - row.instant).total_seconds()
        by_lot = (
            f", by lot (seed {lot.seed}) between {format_instant(lot.first)} and {format_instant(lot.last)}"
            if lot
            else ""
        )
        yield f"asked for {format_instant(requested)}{by_lot}, restored to {words.span(behind)} before it"
    if row.worst:
        yield worst_words(row.worst)


def worst_words(worst: WorstRpo) -> str:
    return (
        f"worst RPO {words.span(worst.seconds)} at any instant since {format_instant(worst.since)} "
        f"({worst.points:,} captured)"
    )


def tried_words(one: Tried) -> str:
    return f"the copy of {format_instant(one.instant)} {'is clean' if one.clean else f'is not to be used: {one.why}'}"
