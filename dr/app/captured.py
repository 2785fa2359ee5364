"""What captures came to, for people and for JSON."""

from __future__ import annotations

from collections.abc import Sequence

from dr.model.timeline import format_instant
from dr.report import words
from dr.report.envelope import Item, point_item
from dr.report.sheet import Cell, Sheet, Tone, cell, columns_of
from dr.run.runner import Captured, CaptureResult

_TONES = {Captured.COMMITTED: Tone.GOOD, Captured.ALREADY: Tone.GOOD, Captured.FAILED: Tone.BAD}


def capture_item(result: CaptureResult) -> Item:
    return {
        "slot": result.slot.id,
        "source": str(result.slot.source),
        "result": str(result.captured),
        "seconds": round(result.seconds, 3),
        "point": point_item(result.point) if result.point else None,
        "error": {"code": result.error.kind.code, "message": result.error.message} if result.error else None,
    }


def captures_sheet(results: Sequence[CaptureResult]) -> Sheet:
    """One line a source; below it why one has no point."""
    columns = columns_of("source", "as of", ">took", ">size", "result", "point")
    notes = tuple(f"{result.slot.source}: {result.error.message}" for result in results if result.error)
    hints = tuple(f"    {result.error.hint}" for result in results if result.error and result.error.hint)
    return Sheet(columns, tuple(map(_row, results)), (*notes, *hints), empty="nothing is due")


def _row(result: CaptureResult) -> tuple[Cell, ...]:
    point = result.point
    return (
        cell(result.slot.source),
        cell(format_instant(point.as_of) if point else words.NOTHING),
        cell(words.span(result.seconds)),
        cell(words.size(point.size) if point else words.NOTHING),
        cell(result.captured, _TONES.get(result.captured, Tone.WARN)),
        cell(point.name if point else words.NOTHING),
    )
