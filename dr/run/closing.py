"""Slots whose owner died and that nobody will take up again, because a newer one has its point."""

from __future__ import annotations

from datetime import datetime

from dr.model.ids import Slot
from dr.ports import ObjectStore
from dr.record.journal import UnitFacts
from dr.run.runner import CaptureRunner


def passed_over(facts: UnitFacts, before: Slot, now: datetime) -> Slot | None:
    """The scheduled slot of these facts, if it is older than `before`, was begun, never ended, and nobody works on it."""
    try:
        slot = Slot.parse(facts.record.unit)
    except ValueError:
        return None
    newest = facts.newest
    left = newest is not None and facts.ended is None and newest.expires <= now
    return slot if left and not slot.tag and slot.due < before.due else None


def close_passed_over(runner: CaptureRunner, newer: Slot, vault: ObjectStore, since: datetime) -> tuple[Slot, ...]:
    """What was closed, of the slots due since then. Raises DrError; what is left is found again by the next capture."""
    now = runner.clock.now()
    unended = runner.journal.unended(newer.source, since)
    left = [slot for facts in unended if (slot := passed_over(facts, newer, now))]
    for slot in left:
        runner.close(slot, vault)
    return tuple(left)
