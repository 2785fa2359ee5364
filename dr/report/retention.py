"""Freezes, holds and prunes, as items for JSON and as sheets."""

from __future__ import annotations

from collections.abc import Sequence

from dr.model.retention import FreezeRecord
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
