"""Which slots are due now, in which order, and why. Two schedulers with the same facts give the same answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dr.model.ids import Slot, SourceId
from dr.model.runs import RunRecord, RunState
from dr.model.timeline import floor_to, format_duration, format_instant
from dr.plan.patience import claim_lease, patience

BACKOFF_SHARE = 1 / 32
"""First pause after a failure, as a share of the cadence; doubles with each failure, up to half a cadence, and ends when the
RPO can just still be kept."""
AHEAD_SHARE = 1 / 8
"""What began later than this share of a cadence from now, by the journal, was written while some clock was wrong."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often a source is captured, and what it must keep."""

    source: SourceId
    cadence: timedelta
    rpo: timedelta
    duration: timedelta = timedelta(0)
    """Predicted, from start to commit."""
    background: bool = False
    """Rolls up what is durable already: runs when it delays no other, however late it is."""
    measured: bool = True
    """`duration` comes from captures, not from a guess."""

    @property
    def lease(self) -> timedelta:
        """Of the claims of its slots."""
        return claim_lease(self.rpo)

    def patience(self, attempts: int) -> timedelta:
        """A step without progress for so long is stuck."""
        return patience(self.duration if self.measured else None, attempts)


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

    @property
    def began(self) -> datetime:
        """As far as it is known."""
        return self.begun or self.due


@dataclass(frozen=True, slots=True)
class SourceState:
    """What is known of one source: its scheduled slots in any order, and the instant of its newest point."""

    slots: tuple[SlotHistory, ...] = ()
    newest_as_of: datetime | None = None


class Phase(StrEnum):
    """Where a source stands. DONE: the current slot has its point. BUSY: somebody works on one of its slots. PAUSED: after
    a failure."""

    DUE = "due"
    DONE = "done"
    BUSY = "busy"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Standing:
    """One source now: its current slot, and when there is something to do next (`now` when DUE)."""

    schedule: Schedule
    phase: Phase
    slot: Slot
    next: datetime
    start_by: datetime | None
    """Started later, its RPO breaks before it commits; None: there is no point yet, so the RPO is broken already."""


@dataclass(frozen=True, slots=True)
class DueSlot:
    """A slot to run now."""

    slot: Slot
    start_by: datetime | None
    """As in `Standing`."""
    reasons: tuple[str, ...]
    schedule: Schedule

    def pressing(self, now: datetime) -> bool:
        """Waiting longer breaks its own RPO."""
        return not self.schedule.background and (self.start_by is None or self.start_by <= now)


@dataclass(frozen=True, slots=True)
class Agenda:
    """What a scheduler decides from: what is due, most urgent first, and where every source stands."""

    now: datetime
    due: tuple[DueSlot, ...]
    standings: tuple[Standing, ...]


NOTHING = SourceState()


def agenda(schedules: Sequence[Schedule], states: Mapping[SourceId, SourceState], now: datetime) -> Agenda:
    """From the journal's facts: at most one due slot for each source; the one whose RPO breaks first stands first."""
    standings = tuple(standing(schedule, states.get(schedule.source, NOTHING), now) for schedule in schedules)
    due = (_due(found, states.get(found.slot.source, NOTHING)) for found in standings if found.phase is Phase.DUE)
    return Agenda(now, tuple(sorted(due, key=_urgency)), standings)


def due_slots(
    schedules: Sequence[Schedule], states: Mapping[SourceId, SourceState], now: datetime
) -> tuple[DueSlot, ...]:
    """Slots to run now, most urgent first."""
    return agenda(schedules, states, now).due


def next_due(schedule: Schedule, state: SourceState, now: datetime) -> datetime:
    """When this source has something to do next; `now` if it has already."""
    return standing(schedule, state, now).next


def standing(
    schedule: Schedule, state: SourceState, now: datetime, *, asked_every: timedelta | None = None
) -> Standing:
    """Where one source stands.

    `asked_every`: for a one-shot started so often by somebody else's clock. It does not wait out the pause after a failure,
    and when its next start would be too late for the RPO it makes a slot of its own: its period may be another than the
    cadence that today's durations give.
    """
    # epoch multiples of the cadence: any two schedulers name the same slot without talking to each other
    current, start_by = floor_to(now, schedule.cadence), _start_by(schedule, state)

    def at(phase: Phase, due: datetime, then: datetime) -> Standing:
        return Standing(schedule, phase, Slot(schedule.source, due), then, start_by)

    if _done(schedule, state, current, now):
        again = floor_to(now, asked_every) if asked_every and not schedule.background else current
        late = asked_every is not None and start_by is not None and start_by <= now + asked_every
        if not late or any(entry.due == again for entry in state.slots if entry.state is RunState.COMMITTED):
            return at(Phase.DONE, current, current + schedule.cadence)
        current = again
    if busy := _busy_until(state, now):
        return at(Phase.BUSY, current, busy)
    entry = _entry(state, current)
    again = _retry_at(schedule, entry, start_by, now) if entry and asked_every is None else now
    return at(Phase.PAUSED, current, again) if again > now else at(Phase.DUE, current, now)


def startable(agenda: Agenda, running: Collection[SourceId], workers: int) -> tuple[DueSlot, ...]:
    """Which due slots get the free workers.

    The last free worker is given only to a capture that will have ended when another source needs it, or whose own RPO
    is about to break: so a long capture never makes a more urgent one wait, as far as there are workers.
    """
    busy, chosen = set(running), []
    for due in agenda.due:
        free = workers - len(busy)
        if due.slot.source in busy or free <= 0:
            continue
        if free == 1 and not due.pressing(agenda.now) and _in_the_way(due, agenda, busy):
            continue
        chosen.append(due)
        busy.add(due.slot.source)
    return tuple(chosen)


def _in_the_way(due: DueSlot, agenda: Agenda, busy: Collection[SourceId]) -> bool:
    """Whether another source must start before this capture will have ended."""
    ends = agenda.now + due.schedule.duration
    others = (s for s in agenda.standings if s.slot.source not in busy and s.slot.source != due.slot.source)
    return any(not s.schedule.background and ends > max(s.next, s.start_by or s.next) for s in others)


def _urgency(due: DueSlot) -> tuple[bool, bool, float, str]:
    late = due.start_by.timestamp() if due.start_by else 0.0
    return (due.schedule.background, due.start_by is not None, late, due.slot.id)


def _due(found: Standing, state: SourceState) -> DueSlot:
    reasons = _reasons(found.schedule, state, _entry(state, found.slot.due), found.slot.due)
    return DueSlot(found.slot, found.start_by, reasons, found.schedule)


def _done(schedule: Schedule, state: SourceState, current: datetime, now: datetime) -> bool:
    """Also by whatever was captured since it was due: when a cadence changes, its slots move, and what has just been
    captured need not be captured again. What the journal has from the future says nothing of the present: a clock that was
    ahead for a while must not silence the source until that time comes."""
    latest = now + schedule.cadence * AHEAD_SHARE
    committed = (entry for entry in state.slots if entry.state is RunState.COMMITTED)
    return any(entry.due == current or current <= entry.began <= latest for entry in committed)


def _entry(state: SourceState, due: datetime) -> SlotHistory | None:
    return next((entry for entry in state.slots if entry.due == due), None)


def _busy_until(state: SourceState, now: datetime) -> datetime | None:
    """Captures of one source never overlap: a live claim on any of its slots blocks all of them."""
    return max((e.claimed_until for e in state.slots if e.claimed_until and e.claimed_until > now), default=None)


def _retry_at(schedule: Schedule, entry: SlotHistory, start_by: datetime | None, now: datetime) -> datetime:
    # a failure in the future: the clock went back, and nobody knows how long ago it was
    if not entry.failures or entry.last_failure is None or entry.last_failure > now:
        return entry.due
    first = schedule.cadence * BACKOFF_SHARE
    again = entry.last_failure + min(first * float(2 ** min(entry.failures - 1, 16)), schedule.cadence / 2)
    if start_by is None or start_by < entry.last_failure:
        return again
    # no pause outlasts the last moment at which the RPO can still be kept
    return min(again, max(start_by, entry.last_failure + first))


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
