"""Which slots are due: decided from the journal and `now` alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dr.model.ids import Slot, SourceId
from dr.model.runs import Claim, RunEnd, RunRecord, RunState, Stamp
from dr.plan.due import DueSlot, Schedule, SlotHistory, SourceState, due_slots, next_due, source_state

DB = SourceId("appdata", "firestore", "db")
GKE = SourceId("cluster", "velero", "gke")
NOON = datetime(2025, 5, 28, 12, 3, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EVERY_8 = Schedule(DB, 8 * MINUTE, 15 * MINUTE, MINUTE)


def one(state: SourceState, now: datetime = NOON) -> DueSlot | None:
    found = due_slots([EVERY_8], {DB: state}, now)
    assert len(found) <= 1
    return found[0] if found else None


def committed(due: datetime) -> SourceState:
    return SourceState((SlotHistory(due, RunState.COMMITTED),), due)


def test_the_first_slot_is_due_at_once() -> None:
    due = one(SourceState())
    assert due is not None
    assert due.slot == Slot(DB, datetime(2025, 5, 28, 12, 0, tzinfo=UTC))
    assert due.start_by is None
    assert "first" in due.reasons[0]


def test_a_committed_slot_is_not_due_again_until_the_next_multiple() -> None:
    state = committed(datetime(2025, 5, 28, 12, 0, tzinfo=UTC))
    assert one(state) is None
    assert next_due(EVERY_8, state, NOON) == datetime(2025, 5, 28, 12, 8, tzinfo=UTC)
    assert one(state, datetime(2025, 5, 28, 12, 8, tzinfo=UTC)) is not None


def test_a_changed_cadence_does_not_capture_again_what_was_just_captured() -> None:
    """The first measured capture makes the cadence longer: 11:58 was due every 8 minutes, 12:00 is every 10."""
    every_10 = replace(EVERY_8, cadence=10 * MINUTE)
    noon = datetime(2025, 5, 28, 12, 0, tzinfo=UTC)
    done = SlotHistory(noon - 2 * MINUTE, RunState.COMMITTED, begun=noon + MINUTE)
    state = SourceState((done,), noon + MINUTE)
    assert due_slots([every_10], {DB: state}, NOON) == ()
    assert next_due(every_10, state, NOON) == noon + 10 * MINUTE
    earlier = SourceState((replace(done, begun=noon - MINUTE),), noon - MINUTE)
    assert [due.slot.due for due in due_slots([every_10], {DB: earlier}, NOON)] == [noon]


def test_many_missed_slots_give_one_catch_up_that_says_so() -> None:
    due = one(committed(datetime(2025, 5, 28, 11, 0, 0, tzinfo=UTC) - 4 * MINUTE))
    assert due is not None
    assert due.slot.due == datetime(2025, 5, 28, 12, 0, tzinfo=UTC)
    assert due.reasons == ("7 slots missed since 2025-05-28T10:56:00Z: one capture catches up",)


def test_the_slot_whose_rpo_breaks_first_goes_first() -> None:
    cluster = Schedule(GKE, timedelta(hours=12), timedelta(hours=24))
    states = {
        DB: committed(NOON - 9 * MINUTE),
        GKE: SourceState((), NOON - timedelta(hours=23, minutes=58)),
    }
    assert [due.slot.source for due in due_slots([EVERY_8, cluster], states, NOON)] == [GKE, DB]
    states.pop(DB)
    assert [due.slot.source for due in due_slots([cluster, EVERY_8], states, NOON)] == [DB, GKE]


def test_a_failed_slot_backs_off_and_comes_again() -> None:
    slot = datetime(2025, 5, 28, 12, 0, tzinfo=UTC)
    state = SourceState((SlotHistory(slot, RunState.FAILED, 1, NOON),))
    assert one(state, NOON + timedelta(seconds=14)) is None
    again = one(state, NOON + timedelta(seconds=15))
    assert again is not None
    assert again.reasons[-1] == "attempt 2: the last one failed"
    assert next_due(EVERY_8, state, NOON) == NOON + timedelta(seconds=15)


def test_back_off_grows_to_half_a_cadence_at_most() -> None:
    slot = datetime(2025, 5, 28, 12, 0, tzinfo=UTC)
    state = SourceState((SlotHistory(slot, RunState.FAILED, 1000, NOON),))
    assert next_due(EVERY_8, state, NOON) == NOON + 4 * MINUTE


def test_a_live_claim_blocks_its_source_and_an_expired_one_is_taken_over() -> None:
    slot = datetime(2025, 5, 28, 12, 0, tzinfo=UTC)
    state = SourceState((SlotHistory(slot, RunState.CLAIMED, claimed_until=NOON + MINUTE),))
    assert one(state) is None
    assert next_due(EVERY_8, state, NOON) == NOON + MINUTE
    later = one(state, NOON + MINUTE)
    assert later is not None
    assert "taken over" in later.reasons[-1]


def stamp(at: datetime) -> Stamp:
    return Stamp(at, 0.0, "boot")


def claim(unit: str, epoch: int, at: datetime) -> Claim:
    return Claim(unit, epoch, "host/1/boot", stamp(at), at + MINUTE)


def test_the_journal_reduces_to_scheduled_slots_of_the_source() -> None:
    slot = Slot(DB, datetime(2025, 5, 28, 12, 0, tzinfo=UTC))
    failed = RunRecord(
        slot.id, (claim(slot.id, 1, NOON),), (), (RunEnd(slot.id, 1, RunState.FAILED, stamp(NOON), "no"),)
    )
    other = Slot(GKE, slot.due).id
    foreign = RunRecord(other, (claim(other, 1, NOON),), (), ())
    restore = RunRecord("restore-3f2a", (), (), ())
    state = source_state(DB, [failed, foreign, restore], None, NOON)
    assert state.slots == (SlotHistory(slot.due, RunState.FAILED, 1, NOON, None, NOON),)


def test_a_living_manual_run_blocks_the_schedule_and_a_finished_one_does_not() -> None:
    manual = Slot(DB, NOON, "m1").id
    running = RunRecord(manual, (claim(manual, 1, NOON),), (), ())
    assert one(source_state(DB, [running], None, NOON)) is None
    ended = RunRecord(manual, running.claims, (), (RunEnd(manual, 1, RunState.COMMITTED, stamp(NOON), "ok"),))
    assert one(source_state(DB, [ended], NOON, NOON)) is not None


instants = st.datetimes(NOON.replace(tzinfo=None, year=2024), NOON.replace(tzinfo=None, year=2026)).map(
    lambda value: value.replace(tzinfo=UTC)
)


@given(instants, st.integers(1, 100_000), st.integers(0, 10_000))
def test_a_slot_is_never_in_the_future_and_later_schedulers_agree(now: datetime, cadence: int, offset: int) -> None:
    every = timedelta(seconds=cadence)
    schedule = Schedule(DB, every, every * 2)
    (due,) = due_slots([schedule], {}, now)
    assert now - every < due.slot.due <= now
    within = min(now + timedelta(seconds=offset), due.slot.due + every - timedelta(microseconds=1))
    (again,) = due_slots([schedule], {}, max(now, within))
    assert again.slot == due.slot


@given(instants, st.integers(1, 100_000), st.integers(0, 500))
def test_committing_what_is_due_leaves_nothing_due_before_the_next_multiple(
    start: datetime, cadence: int, missed: int
) -> None:
    every = timedelta(seconds=cadence)
    schedule = Schedule(DB, every, every * 2)
    now = start + missed * every
    (due,) = due_slots([schedule], {DB: committed(start)}, now) or (None,)
    state = committed(due.slot.due if due else start)
    assert due_slots([schedule], {DB: state}, now) == ()
    assert next_due(schedule, state, now) > now
