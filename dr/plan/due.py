"""Which slots are due now, in which order, and why. Two schedulers with the same facts give the same answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.model.ids import Slot, SourceId
from dr.model.runs import RunRecord, RunState
from dr.model.timeline import floor_to, format_duration, format_instant

BACKOFF_SHARE = 1 / 32
"""First pause after a failure, as a share of the cadence; doubles with each failure, up to half a cadence."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often a source is captured, and what it must keep."""

    source: SourceId
    cadence: timedelta
    rpo: timedelta
    duration: timedelta = timedelta(0)
    """Predicted, from start to commit."""


@dataclass(frozen=True, slots=True)
class SlotHistory:
    """What the run journal knows of one scheduled slot."""

    due: datetime
    state: RunState
    failures: int = 0
    """Epochs that ended FAILED."""
    last_failure: datetime | None = None
    claimed_until: datetime | None = None
    """While in the future, somebody works on it."""
    begun: datetime | None = None
    """When its first epoch began: its data is hardly older."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """What is known of one source: its scheduled slots in any order, and the instant of its newest point."""

    slots: tuple[SlotHistory, ...] = ()
    newest_as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class DueSlot:
    """A slot to run now."""

    slot: Slot
    start_by: datetime | None
    """Started later, its RPO breaks before it commits; None: there is no point yet, so the RPO is broken already."""
    reasons: tuple[str, ...]


NOTHING = SourceState()


def due_slots(
    schedules: Sequence[Schedule], states: Mapping[SourceId, SourceState], now: datetime
) -> tuple[DueSlot, ...]:
    """Slots to run now, at most one for each source; the one whose RPO breaks first stands first."""
    found = (_due(schedule, states.get(schedule.source, NOTHING), now) for schedule in schedules)
    return tuple(sorted((slot for slot in found if slot), key=_urgency))


def next_due(schedule: Schedule, state: SourceState, now: datetime) -> datetime:
    """When this source has something to do next; `now` if it has already."""
    current = floor_to(now, schedule.cadence)
    entry = _entry(state, current)
    if _done(state, current):
        return current + schedule.cadence
    if busy := _busy_until(state, now):
        return busy
    return max(now, _retry_at(schedule, entry)) if entry else now


def _urgency(due: DueSlot) -> tuple[bool, float, str]:
    return (due.start_by is not None, due.start_by.timestamp() if due.start_by else 0.0, due.slot.id)


def _due(schedule: Schedule, state: SourceState, now: datetime) -> DueSlot | None:
    # epoch multiples of the cadence: any two schedulers name the same slot without talking to each other
    current = floor_to(now, schedule.cadence)
    if _done(state, current) or _busy_until(state, now):
        return None
    entry = _entry(state, current)
    if entry and _retry_at(schedule, entry) > now:
        return None
    return DueSlot(
        Slot(schedule.source, current), _start_by(schedule, state), _reasons(schedule, state, entry, current)
    )


def _done(state: SourceState, current: datetime) -> bool:
    """Also by a slot that was due before and captured after: when a cadence changes, its slots move, and what has just
    been captured need not be captured again."""
    committed = (entry for entry in state.slots if entry.state is RunState.COMMITTED)
    return any(entry.due >= current or (entry.begun is not None and entry.begun >= current) for entry in committed)


def _entry(state: SourceState, due: datetime) -> SlotHistory | None:
    return next((entry for entry in state.slots if entry.due == due), None)


def _busy_until(state: SourceState, now: datetime) -> datetime | None:
    """Captures of one source never overlap: a live claim on any of its slots blocks all of them."""
    return max((e.claimed_until for e in state.slots if e.claimed_until and e.claimed_until > now), default=None)


def _retry_at(schedule: Schedule, entry: SlotHistory) -> datetime:
    if not entry.failures or entry.last_failure is None:
        return entry.due
    pause = schedule.cadence * BACKOFF_SHARE * float(2 ** min(entry.failures - 1, 16))
    return entry.last_failure + min(pause, schedule.cadence / 2)


def _start_by(schedule: Schedule, state: SourceState) -> datetime | None:
    if state.newest_as_of is None:
        return None
    return state.newest_as_of + schedule.rpo - schedule.duration


def _reasons(schedule: Schedule, state: SourceState, entry: SlotHistory | None, current: datetime) -> tuple[str, ...]:
    committed = [e.due for e in state.slots if e.state is RunState.COMMITTED]
    reasons = [_because(schedule, max(committed, default=None), current)]
    if entry and entry.failures:
        reasons.append(f"attempt {entry.failures + 1}: the last one failed")
    elif entry:
        reasons.append("its owner stopped without ending it: taken over")
    return tuple(reasons)


def _because(schedule: Schedule, newest: datetime | None, current: datetime) -> str:
    if newest is None:
        return "the first slot: nothing is captured yet"
    missed = (current - newest) // schedule.cadence - 1
    if missed > 0:
        return f"{missed} slots missed since {format_instant(newest)}: one capture catches up"
    return f"every {format_duration(schedule.cadence)}, the last was due at {format_instant(newest)}"


# --- from the journal ------------------------------------------------------------------------------------------------


def source_state(
    source: SourceId, records: Iterable[RunRecord], newest_as_of: datetime | None, now: datetime
) -> SourceState:
    """Reduce the run journal to what `due_slots` needs. Manual runs (a slot with a tag) and other sources are left out,
    except that a live claim of a manual run blocks the source too."""
    slots = tuple(entry for record in records if (entry := _slot_history(source, record, now)))
    return SourceState(slots, newest_as_of)


def _slot_history(source: SourceId, record: RunRecord, now: datetime) -> SlotHistory | None:
    try:
        slot = Slot.parse(record.unit)
    except ValueError:
        return None  # a restore or drill keeps its journal beside the captures
    until = _claimed_until(record)
    if slot.source != source or (slot.tag and not (until and until > now)):
        return None
    failed = [end.at.wall for end in record.ends if end.state is RunState.FAILED]
    # a manual run answers for no slot: only its claim counts
    due = slot.due if not slot.tag else datetime.min.replace(tzinfo=now.tzinfo)
    begun = min((claim.taken.wall for claim in record.claims), default=None)
    return SlotHistory(due, record.state, len(failed), max(failed, default=None), until, begun)


def _claimed_until(record: RunRecord) -> datetime | None:
    newest = max(record.claims, key=lambda claim: claim.epoch, default=None)
    if newest is None or any(end.epoch == newest.epoch for end in record.ends):
        return None
    return newest.expires
