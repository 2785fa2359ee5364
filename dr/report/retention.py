"""Freezes, holds and prunes, as items for JSON and as sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from dr.model.retention import FreezeRecord, HoldRecord
from dr.report import words
from dr.report.envelope import Item, when
from dr.report.sheet import Sheet, Tone, cell, columns_of


def freeze_item(record: FreezeRecord) -> Item:
    return {
        "number": record.number,
        "frozen": record.on,
        "at": when(record.at),
        "by": record.by,
        "reason": record.reason or None,
    }


def freeze_sheet(turns: Sequence[FreezeRecord]) -> Sheet:
    """Every turn, and below it what stands now."""
    rows = tuple(
        (
            cell(words.instant(turn.at)),
            cell("frozen", Tone.WARN) if turn.on else cell("lifted", Tone.GOOD),
            cell(turn.by),
            cell(turn.reason or words.NOTHING),
        )
        for turn in turns
    )
    stands = "frozen: nothing is pruned and nothing new is backed up" if turns and turns[-1].on else "not frozen"
    return Sheet(columns_of("at", "turn", "by", "reason"), rows, (stands,), empty="never frozen")


def hold_item(record: HoldRecord) -> Item:
    return {
        "id": record.id,
        "mode": str(record.mode),
        "point": record.point,
        "at": when(record.at),
        "by": record.by,
        "reason": record.reason,
        "until": when(record.until),
    }


def holds_sheet(records: Sequence[HoldRecord], notes: Sequence[str] = ()) -> Sheet:
    """One line a hold."""
    rows = tuple(
        (
            cell(record.point),
            cell(record.mode),
            cell(words.instant(record.until) if record.until else "released"),
            cell(record.by),
            cell(record.reason),
        )
        for record in records
    )
    return Sheet(columns_of("point", "mode", "until", "by", "reason"), rows, tuple(notes), empty="nothing is held")


def kept_item(
    name: str, holds: Mapping[str, Sequence[HoldRecord]], condemned: Mapping[str, datetime]
) -> Mapping[str, object]:
    """What belongs beside a point: who holds it, and from when on it may be deleted."""
    return {"holds": [hold_item(record) for record in holds.get(name, ())], "deleted_after": when(condemned.get(name))}


def kept_words(holds: Mapping[str, Sequence[HoldRecord]], condemned: Mapping[str, datetime]) -> Mapping[str, str]:
    """By point, in a word or two; a hold wins."""
    gone = {name: f"deleted after {words.instant(due)[:10]}" for name, due in condemned.items()}
    return gone | {name: f"held by {records[0].by.partition(' ')[0]}" for name, records in holds.items()}
