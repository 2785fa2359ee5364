"""Which slots are due: decided from the journal and `now` alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dr.model.ids import Slot, SourceId
from dr.model.runs import Claim, RunEnd, RunRecord, RunState, Stamp
from dr.plan.due import (
    DueSlot,
    Phase,
    Schedule,
    SlotHistory,
    SourceState,
    agenda,
    due_slots,
    next_due,
    source_state,
    standing,
    startable,
)
from dr.plan.patience import claim_lease

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


def test_no_pause_outlasts_the_last_moment_at_which_the_rpo_is_kept() -> None:
    slot = datetime(2025, 5, 28, 12, 0, tzinfo=UTC)
    newest = NOON - 11 * MINUTE  # to keep 15 minutes a capture of one minute starts within three
    failed = SlotHistory(slot, RunState.FAILED, 5, NOON)
    assert next_due(EVERY_8, SourceState((failed,), newest), NOON) == NOON + 3 * MINUTE
    assert next_due(EVERY_8, SourceState((failed,), newest - 3 * MINUTE), NOON) == NOON + timedelta(seconds=15)
    assert next_due(EVERY_8, SourceState((failed,), newest - 30 * MINUTE), NOON) == NOON + 4 * MINUTE


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


# --- clocks that are wrong


def test_a_clock_that_was_ahead_for_a_while_does_not_silence_the_source() -> None:
    """It jumped three days ahead, one capture caught up, it was set right: what that capture says is of the future."""
    ahead = NOON + timedelta(days=3)
    state = SourceState((SlotHistory(ahead, RunState.COMMITTED, begun=ahead),), NOON)
    due = one(state)
    assert due is not None
    assert due.slot.due == NOON.replace(minute=0, second=0)


def test_a_jump_ahead_makes_one_catch_up() -> None:
    state = committed(NOON.replace(minute=0, second=0))
    due = one(state, NOON + timedelta(days=3))
    assert due is not None
    after = SourceState((*state.slots, SlotHistory(due.slot.due, RunState.COMMITTED)), due.slot.due)
    assert one(after, NOON + timedelta(days=3)) is None


def test_a_clock_set_back_a_little_captures_nothing_twice() -> None:
    """12:08 was captured, and it is 12:07:58 again."""
    slot = NOON.replace(minute=8, second=0)
    state = SourceState((SlotHistory(slot, RunState.COMMITTED, begun=slot + timedelta(seconds=1)),), slot)
    assert one(state, slot - timedelta(seconds=2)) is None
    assert one(state, slot + timedelta(seconds=2)) is None
    assert one(state, slot + 8 * MINUTE) is not None


def test_a_failure_of_the_future_is_not_waited_for() -> None:
    slot = NOON.replace(minute=0, second=0)
    state = SourceState((SlotHistory(slot, RunState.FAILED, 1, NOON + timedelta(days=1)),))
    assert one(state) is not None


@given(st.lists(st.tuples(st.integers(-400, 400), st.booleans()), min_size=1, max_size=60))
def test_whatever_the_clock_does_no_slot_is_captured_twice_and_none_is_late_by_more_than_it_moved(
    moves: list[tuple[int, bool]],
) -> None:
    """Each move sets the clock by minutes, then ten minutes of real time pass with a look each half minute."""
    wall, real, captured = NOON, 0.0, {}
    newest = {"real": 0.0}
    slots: list[SlotHistory] = []
    lived: set[datetime] = set()
    for minutes, back in moves:
        wall += timedelta(minutes=-abs(minutes) if back else abs(minutes))
        for _ in range(20):
            due = due_slots([EVERY_8], {DB: SourceState(tuple(slots), wall)}, wall)
            if due:
                assert due[0].slot not in captured, "a slot is captured twice"
                captured[due[0].slot] = wall
                slots.append(SlotHistory(due[0].slot.due, RunState.COMMITTED, begun=wall))
                newest["real"] = real
            relived = any(slot.begun and abs(slot.begun - wall) <= 8 * MINUTE for slot in slots)
            # an hour that is lived twice has its slots already: then only the store's clock helps
            assert relived or real - newest["real"] <= 9 * 60
            lived.add(wall)
            wall, real = wall + timedelta(seconds=30), real + 30


# --- who gets the workers

LONG = Schedule(GKE, timedelta(hours=12), timedelta(hours=24), timedelta(minutes=20))
PACK = Schedule(SourceId("audit", "pubsub", "sink"), timedelta(days=1), timedelta(days=7), MINUTE, background=True)


def started(states: dict[SourceId, SourceState], *plan: Schedule, workers: int = 1, now: datetime = NOON) -> list[str]:
    return [due.slot.source.kind for due in startable(agenda(plan, states, now), set(), workers)]


def test_the_last_worker_is_kept_for_who_will_need_it() -> None:
    """The cluster's capture takes twenty minutes, and the database is due in five."""
    fresh = committed(NOON.replace(minute=0, second=0))
    old = SourceState((), NOON - timedelta(hours=13))
    assert started({DB: fresh, GKE: old}, EVERY_8, LONG) == []
    assert started({DB: fresh, GKE: old}, EVERY_8, LONG, workers=2) == ["velero"]


def test_a_capture_whose_own_rpo_is_about_to_break_waits_for_nobody() -> None:
    fresh = committed(NOON.replace(minute=0, second=0))
    assert started({DB: fresh, GKE: SourceState((), NOON - timedelta(hours=23, minutes=50))}, EVERY_8, LONG) == [
        "velero"
    ]
    assert started({DB: fresh, GKE: SourceState()}, EVERY_8, LONG) == ["velero"]


def test_packs_wait_for_everybody_and_are_never_urgent() -> None:
    late = committed(NOON - timedelta(hours=1))
    assert started({DB: late, PACK.source: SourceState()}, EVERY_8, PACK) == ["firestore"]
    assert started({DB: late, PACK.source: SourceState()}, EVERY_8, PACK, workers=2) == ["firestore", "pubsub"]
    # the database is not due, but would have to wait for a pack that took ten minutes
    long_pack = replace(PACK, duration=20 * MINUTE)
    fresh = committed(NOON.replace(minute=0, second=0))
    assert started({DB: fresh}, EVERY_8, long_pack) == []
    assert started({DB: fresh}, EVERY_8, PACK) == ["pubsub"]


# --- one-shots


def one_shot(state: SourceState, every: timedelta, now: datetime = NOON) -> tuple[Phase, datetime]:
    found = standing(EVERY_8, state, now, asked_every=every)
    return found.phase, found.slot.due


def test_a_one_shot_does_not_wait_out_a_pause() -> None:
    slot = NOON.replace(minute=0, second=0)
    state = SourceState((SlotHistory(slot, RunState.FAILED, 1000, NOON),), slot - 8 * MINUTE)
    assert standing(EVERY_8, state, NOON).phase is Phase.PAUSED
    assert one_shot(state, timedelta(0)) == (Phase.DUE, slot)


def test_a_one_shot_whose_next_start_would_be_too_late_makes_a_slot_of_its_own() -> None:
    """It was rendered for another cadence than today's: its start finds its slot done, and the next one is after the RPO."""
    slot = NOON.replace(minute=0, second=0)
    assert one_shot(committed(slot), 10 * MINUTE) == (Phase.DONE, slot)
    # the newest data is of 12:00 and a capture takes a minute: a start after 12:14 is too late
    assert one_shot(committed(slot), 11 * MINUTE) == (Phase.DUE, NOON.replace(minute=2, second=0))
    own = SlotHistory(NOON.replace(minute=2, second=0), RunState.COMMITTED, begun=NOON)
    assert one_shot(SourceState((*committed(slot).slots, own), slot), 11 * MINUTE)[0] is Phase.DONE
    assert one_shot(committed(slot), timedelta(0)) == (Phase.DONE, slot)


def test_a_one_shot_is_told_that_another_works() -> None:
    slot = NOON.replace(minute=0, second=0)
    state = SourceState((SlotHistory(slot, RunState.CLAIMED, claimed_until=NOON + MINUTE),))
    assert one_shot(state, timedelta(0))[0] is Phase.BUSY


@given(st.integers(60, 20 * 60), st.integers(0, 86_400))
def test_a_one_shot_of_any_period_that_can_keep_the_rpo_keeps_it(period: int, offset: int) -> None:
    """Started every `period` seconds, whatever the derived cadence is."""
    every, start = timedelta(seconds=period), NOON + timedelta(seconds=offset)
    slots: list[SlotHistory] = []
    newest: datetime | None = None
    for count in range(40):
        now = start + count * every
        found = standing(EVERY_8, SourceState(tuple(slots), newest), now, asked_every=every)
        if found.phase is Phase.DUE:
            assert newest is None or 2 * every > EVERY_8.rpo or now + EVERY_8.duration - newest < EVERY_8.rpo
            slots, newest = [*slots, SlotHistory(found.slot.due, RunState.COMMITTED, begun=now)], now
    assert len({slot.due for slot in slots}) == len(slots)


def test_a_silent_owner_keeps_a_slot_for_a_twentieth_of_the_rpo() -> None:
    assert claim_lease(15 * MINUTE) == timedelta(seconds=45)
    assert claim_lease(timedelta(hours=24)) == 5 * MINUTE
    assert claim_lease(timedelta(seconds=10)) == timedelta(seconds=5)
    assert claim_lease(timedelta(0)) == 5 * MINUTE


def test_patience_grows_with_each_attempt() -> None:
    assert EVERY_8.patience(0) == 3 * MINUTE
    assert EVERY_8.patience(2) == 12 * MINUTE
    assert replace(EVERY_8, duration=MINUTE / 60).patience(0) == MINUTE
    assert replace(EVERY_8, measured=False).patience(0) == timedelta(hours=2)
