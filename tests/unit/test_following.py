"""Followers are begun again while this replica leads, and end with everything durable when it does not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from dr.errors import FENCED, UNREACHABLE, DrError
from dr.model.ids import SourceId
from dr.ports import Notice
from dr.run.engine import Retry
from dr.run.following import Followers, FollowReports, Stop
from dr.stores.memory import MemoryStore
from tests.unit.following import FakeFollower, World, archived, follower_contract
from tests.unit.record_fakes import DATABASE, FakeClock

OTHER = SourceId("audit", "fake", "sink")
QUICK = Retry(attempts=1, first_s=0.01, longest_s=0.02)


class Term:
    """A term of leadership over some follow functions."""

    def __init__(self, **follow: Callable[[Stop, Callable[[Notice], None]], None]) -> None:
        self.over = threading.Event()
        self.failed: list[tuple[SourceId, BaseException]] = []
        self.notices: list[Notice] = []
        reports = FollowReports(self.notices.append, lambda source, error, _pause: self.failed.append((source, error)))
        names = {"db": DATABASE, "sink": OTHER}
        self.followers = Followers({names[name]: one for name, one in follow.items()}, reports, self.over.is_set, QUICK)

    def end(self) -> None:
        self.over.set()
        self.followers.join()


def wait_until(true: Callable[[], object]) -> None:
    for _ in range(2000):
        if true():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not come true")


def test_the_fake_keeps_the_contract() -> None:
    world, vault = World(), MemoryStore()
    follower_contract(lambda: FakeFollower(world, FakeClock()), world.happen, vault)


def test_what_was_taken_is_durable_when_a_term_ends() -> None:
    world, vault = World(), MemoryStore()
    term = Term(db=partial(FakeFollower(world, FakeClock()).follow, vault))
    term.followers.start()
    world.happen("one")
    wait_until(lambda: archived(vault) == ["one"])
    world.happen("two", "three")
    term.end()
    assert archived(vault) == ["one", "two", "three"]
    assert sum(notice.count for notice in term.notices) == 3


def test_a_follower_that_fails_is_begun_again_and_the_others_go_on() -> None:
    world, vault = World(["one"]), MemoryStore()
    follower = FakeFollower(world, FakeClock())
    errors: list[BaseException] = [
        DrError(UNREACHABLE, "down"),
        DrError(FENCED, "overtaken"),
        ZeroDivisionError("a bug"),
    ]

    def shaky(stop: Stop, notice: Callable[[Notice], None]) -> None:
        if errors:
            raise errors.pop(0)
        follower.follow(vault, stop, notice)

    calm = threading.Event()
    other = FakeFollower(World(["x"]), FakeClock(), OTHER)
    term = Term(db=shaky, sink=partial(other.follow, vault))
    term.followers.start()
    wait_until(lambda: archived(vault) == ["one"] and archived(vault, OTHER) == ["x"])
    term.end()
    assert [type(error) for source, error in term.failed if source == DATABASE] == [DrError, DrError, ZeroDivisionError]
    assert not calm.is_set()


def test_a_term_that_is_over_begins_nothing_again() -> None:
    begun: list[int] = []

    def failing(_stop: Stop, _notice: object) -> None:
        begun.append(1)
        term.over.set()
        raise DrError(FENCED, "another leads")

    term = Term(db=failing)
    term.followers.start()
    term.end()
    assert begun == [1]
    assert len(term.failed) == 1, "why it ended is not told"
