"""Who leads: decided over a Lease that the API server orders, by each replica's own clock."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from dr.errors import CONFLICT, NOT_AUTHORISED, UNREACHABLE, DrError
from dr.ports import LeaseRecord
from dr.run.leading import LeaseLeader, Seen, may_take, observe, replica_name
from tests.unit.record_fakes import NOON

LEASE = timedelta(seconds=15)


@dataclass
class Shelf:
    """One Lease, as an API server keeps it. `away`: nobody reaches it; `deaf`: writes are taken, the answer is lost."""

    lease: LeaseRecord | None = None
    away: bool = False
    deaf: bool = False
    writes: list[LeaseRecord] = field(default_factory=list)

    def read(self) -> LeaseRecord | None:
        self._reach()
        return self.lease

    def write(self, lease: LeaseRecord) -> LeaseRecord:
        self._reach()
        if lease.version != (self.lease.version if self.lease else ""):
            raise DrError(CONFLICT, "another version stands")
        self.lease = replace(lease, version=str(len(self.writes) + 1))
        self.writes.append(self.lease)
        if self.deaf:
            raise DrError(UNREACHABLE, "the answer is lost")
        return self.lease

    def _reach(self) -> None:
        if self.away:
            raise DrError(UNREACHABLE, "the API server is away")


class Watch:
    """Seconds since boot, by hand."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def replicas(shelf: Shelf, watch: Watch, *names: str) -> list[LeaseLeader]:
    return [LeaseLeader(shelf, name, LEASE, lambda: NOON, elapsed=watch) for name in names]


def test_one_leads_and_the_other_waits_for_the_whole_lease() -> None:
    shelf, watch = Shelf(), Watch()
    a, b = replicas(shelf, watch, "a", "b")
    a.turn()
    b.turn()
    assert (a.leads(), b.leads()) == (True, False)
    watch.time += 14.9
    b.turn()
    assert not b.leads()
    watch.time += 0.2
    b.turn()
    assert (a.leads(), b.leads()) == (False, True)
    assert shelf.lease is not None
    assert (shelf.lease.holder, shelf.lease.transitions) == ("b", 1)


def test_a_leader_that_renews_goes_on() -> None:
    shelf, watch = Shelf(), Watch()
    a, b = replicas(shelf, watch, "a", "b")
    for _ in range(20):
        a.turn()
        b.turn()
        watch.time += 5
        assert (a.leads(), b.leads()) == (True, False)
    assert len(shelf.writes) == 20


def test_one_that_was_stopped_knows_when_it_wakes() -> None:
    """SIGSTOP for twice the lease: time since boot went on, so it stops its work before it looks at anything."""
    shelf, watch = Shelf(), Watch()
    a, b = replicas(shelf, watch, "a", "b")
    a.turn()
    b.turn()
    watch.time += 30
    b.turn()
    assert (a.leads(), b.leads()) == (False, True)
    a.turn()
    assert not a.leads()


def test_while_the_lease_cannot_be_reached_its_holder_leads_until_it_would_have_run_out() -> None:
    shelf, watch = Shelf(), Watch()
    (a,) = replicas(shelf, watch, "a")
    a.turn()
    shelf.away = True
    for _ in range(2):
        watch.time += 5
        a.turn()
        assert a.leads()
    watch.time += 5
    assert not a.leads()
    shelf.away = False
    a.turn()
    assert a.leads()


def test_a_lost_answer_costs_nothing() -> None:
    shelf, watch = Shelf(), Watch()
    (a,) = replicas(shelf, watch, "a")
    a.turn()
    shelf.deaf = True
    watch.time += 5
    a.turn()
    shelf.deaf = False
    watch.time += 5
    a.turn()
    watch.time += 10
    assert a.leads(), "the renewal after the lost answer was refused"


def test_a_released_lease_is_taken_at_once() -> None:
    shelf, watch = Shelf(), Watch()
    a, b = replicas(shelf, watch, "a", "b")
    a.turn()
    b.turn()
    a.release()
    assert not a.leads()
    b.turn()
    assert b.leads()


def test_who_does_not_lead_releases_nothing() -> None:
    shelf, watch = Shelf(), Watch()
    a, b = replicas(shelf, watch, "a", "b")
    a.turn()
    b.turn()
    b.release()
    assert shelf.lease is not None
    assert shelf.lease.holder == "a"


def test_each_trouble_is_told_once() -> None:
    told: list[DrError] = []
    shelf = Shelf(away=True)
    leader = LeaseLeader(shelf, "a", LEASE, lambda: NOON, trouble=told.append, elapsed=Watch())
    for _ in range(5):
        leader.turn()
    assert len(told) == 1
    shelf.read = lambda: (_ for _ in ()).throw(DrError(NOT_AUTHORISED, "no"))  # type: ignore[method-assign]
    leader.turn()
    assert [error.kind for error in told] == [UNREACHABLE, NOT_AUTHORISED]


def test_holding_ends_when_it_leads_and_when_it_is_stopped() -> None:
    leader = LeaseLeader(Shelf(), "a", timedelta(seconds=3), lambda: NOON)
    leader.hold(lambda: False)
    assert leader.leads()
    leader.release()
    assert not any(thread.name == "lease" for thread in threading.enumerate())
    away = LeaseLeader(Shelf(away=True), "b", timedelta(seconds=3), lambda: NOON)
    away.hold(lambda: True)
    assert not away.leads()
    away.release()


def test_replicas_have_names_of_their_own() -> None:
    assert replica_name() != replica_name()


def test_a_lease_keeps_its_age_until_it_changes() -> None:
    first = observe(None, LeaseRecord("a", LEASE, NOON, version="1"), 10)
    assert observe(first, LeaseRecord("a", LEASE, NOON, version="1"), 20) == first
    assert observe(first, LeaseRecord("a", LEASE, NOON, version="2"), 20).since == 20
    assert may_take(Seen(None, 0), "b", 0)
    assert not may_take(first, "b", 24.9)
    assert may_take(first, "b", 25)


steps = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 10), st.booleans(), st.booleans()), min_size=1, max_size=80)


@given(steps)
def test_never_two_leaders(moves: list[tuple[int, float, bool, bool]]) -> None:
    """Any order of turns, pauses, outages and lost answers."""
    shelf, watch = Shelf(), Watch()
    all_ = replicas(shelf, watch, "a", "b", "c")
    for who, pause, away, deaf in moves:
        watch.time += pause
        shelf.away, shelf.deaf = away, deaf
        all_[who].turn()
        assert sum(leader.leads() for leader in all_) <= 1
