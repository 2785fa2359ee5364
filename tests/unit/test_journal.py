"""Claims, take-overs and what the journal says afterwards."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dr.errors import DAMAGED, FENCED, LOCKED, DrError
from dr.model.ids import Slot, SourceId
from dr.model.runs import RunState, StepOutcome
from dr.record.hold import Hold
from dr.record.journal import LEASE, Journal
from dr.record.owner import describe, is_dead, new_owner
from dr.run.clock import SystemClock
from dr.stores.faults import Faults, FaultyStore
from dr.stores.memory import MemoryStore
from tests.unit.record_fakes import DATABASE, NOON, SLOT, FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def journal(clock: FakeClock) -> Journal:
    """Nobody is known to be dead: only time tells."""
    return Journal(MemoryStore("control"), clock, dead=lambda _owner, _boot: False)


def outcome(hold: Hold, step: str, index: int = 1) -> StepOutcome:
    stamp = hold._clock.stamp()
    return StepOutcome(step, index, hold.claim.epoch, stamp, stamp, {"n": index})


def locked(journal: Journal) -> bool:
    try:
        journal.claim(SLOT.id)
    except DrError as error:
        if error.kind is not LOCKED:
            raise
        return True
    return False


def test_one_owner_at_a_time(journal: Journal) -> None:
    hold = journal.claim(SLOT.id)
    assert (hold.claim.epoch, hold.attempt) == (1, 1)
    assert locked(journal)


def test_a_silent_owner_is_followed_by_the_next_epoch(journal: Journal, clock: FakeClock) -> None:
    first = journal.claim(SLOT.id)
    first.journal(outcome(first, "choose"))
    clock.advance(LEASE.total_seconds())
    second = journal.claim(SLOT.id)
    assert (second.claim.epoch, second.attempt) == (2, 1)
    assert second.outcomes["choose"].data == {"n": 1}
    assert second.begun == NOON
    with pytest.raises(DrError) as caught:
        first.require_fence_open()
    assert caught.value.kind is FENCED
    with pytest.raises(DrError):
        first.journal(outcome(first, "late"))
    states = {end.epoch: end.state for end in journal.read(SLOT.id).record.ends}
    assert states == {1: RunState.ABANDONED}


def test_what_is_journalled_and_signs_of_life_renew_the_claim(journal: Journal, clock: FakeClock) -> None:
    hold = journal.claim(SLOT.id)
    clock.advance(200)
    hold.journal(outcome(hold, "choose"))
    clock.advance(200)
    assert locked(journal)
    hold.renew_if_due()
    clock.advance(200)
    assert locked(journal)
    newest = journal.read(SLOT.id).newest
    assert newest is not None
    assert newest.expires == clock.now() + LEASE - timedelta(seconds=200)
    clock.advance(200)
    assert not locked(journal)


def test_renewing_is_cheap_when_not_due(journal: Journal, clock: FakeClock) -> None:
    hold = journal.claim(SLOT.id)
    before = len(list(journal.store.list()))
    for _ in range(100):
        hold.renew_if_due()
    assert len(list(journal.store.list())) == before


def test_renewing_tells_that_the_unit_was_lost(journal: Journal, clock: FakeClock) -> None:
    first = journal.claim(SLOT.id)
    clock.advance(LEASE.total_seconds())
    journal.claim(SLOT.id)
    with pytest.raises(DrError) as caught:
        first.renew_if_due()
    assert caught.value.kind is FENCED


@pytest.mark.parametrize(("state", "attempt"), [(RunState.FAILED, 2), (RunState.ABANDONED, 1)])
def test_a_failure_ends_the_attempt_a_parked_run_does_not(journal: Journal, state: RunState, attempt: int) -> None:
    hold = journal.claim(SLOT.id)
    hold.journal(outcome(hold, "choose"))
    hold.end(state, "over")
    again = journal.claim(SLOT.id)
    assert (again.claim.epoch, again.attempt) == (2, attempt)
    assert ("choose" in again.outcomes) == (attempt == 1)


def test_a_restore_continues_after_a_failure_too(clock: FakeClock) -> None:
    journal = Journal(MemoryStore(), clock, "restores", continues=True)
    hold = journal.claim("plan-1")
    hold.journal(outcome(hold, "create"))
    hold.end(RunState.FAILED, "over")
    again = journal.claim("plan-1")
    assert again.attempt == 1
    assert "create" in again.outcomes


def test_history_is_of_one_source_since_an_instant(journal: Journal, clock: FakeClock) -> None:
    other = SourceId("appdata", "fake", "db-2")
    for source in (DATABASE, other):
        for hour in range(3):
            hold = journal.claim(Slot(source, NOON + timedelta(hours=hour)).id)
            hold.end(RunState.COMMITTED, "done", point="p")
    found = journal.history(DATABASE, NOON + timedelta(hours=1))
    assert [facts.record.unit for facts in found] == [
        Slot(DATABASE, NOON + timedelta(hours=hour)).id for hour in (1, 2)
    ]
    assert all(facts.record.state is RunState.COMMITTED for facts in found)
    assert len(list(journal.units())) == 6


def test_history_reads_steps_only_of_what_still_runs(clock: FakeClock) -> None:
    faults = Faults()
    journal = Journal(FaultyStore(MemoryStore(), faults), clock)
    for hour in range(2):
        hold = journal.claim(Slot(DATABASE, NOON + timedelta(hours=hour)).id)
        hold.journal(outcome(hold, "choose"))
        if hour == 0:
            hold.end(RunState.COMMITTED, "done", point="p")
    faults.log.clear()
    ended, running = journal.history(DATABASE, NOON)
    assert ended.record.state is RunState.COMMITTED
    assert [len(facts.record.outcomes) for facts in (ended, running)] == [0, 1]
    assert len([name for operation, name in faults.log if "choose" in name]) == 1


def test_a_damaged_entry_is_named(journal: Journal) -> None:
    journal.claim(SLOT.id)
    assert isinstance(journal.store, MemoryStore)
    name = f"runs/{SLOT.id}/claim-0001.json"
    journal.store.delete(name, generation=1)
    journal.store.put(name, b"{")
    with pytest.raises(DrError, match="claim-0001") as caught:
        journal.read(SLOT.id)
    assert caught.value.kind is DAMAGED


def test_only_a_process_that_is_certainly_gone_is_dead() -> None:
    boot = SystemClock().stamp().boot_id
    mine = new_owner(boot)
    assert not is_dead(mine, boot)
    assert new_owner(boot) != mine
    host, namespace, pid, started, _, nonce = mine.split("/")
    assert is_dead("/".join((host, namespace, pid, "1", boot, nonce)), boot), "the pid was reused"
    assert is_dead("/".join((host, namespace, str(2**22 + 1), started, boot, nonce)), boot)
    assert not is_dead("/".join(("elsewhere", namespace, "1", "1", boot, nonce)), boot)
    assert not is_dead("/".join((host, "1", pid, "1", boot, nonce)), boot)
    assert not is_dead("/".join((host, namespace, pid, "1", "other-boot", nonce)), boot)
    assert not is_dead("somebody", boot)
    assert describe(mine) == f"process {pid} on {host}"
