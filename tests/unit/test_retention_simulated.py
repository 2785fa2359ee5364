"""Years of retention on simulated time: captures, prunes, holds, drills, outages, freezes and kills.

A ledger of its own, which knows nothing of how decisions are made, says each day what must still be there, and at the end what
must be gone: nothing kept too short, nothing deleted early, nothing held deleted, nothing left for ever, storage bounded.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from dr.errors import FROZEN, TOO_MUCH_AT_ONCE, DrError
from dr.model.points import PointManifest
from dr.model.retention import HoldRecord
from dr.model.strategy import Keep
from dr.plan.retain import Rule
from dr.ports import ObjectStore
from dr.record.freeze import frozen, turn
from dr.record.holds import release
from dr.record.tombstones import Tombstones
from dr.run.prune import GRACE, Options
from dr.stores.faults import Action, Fault, Faults, FaultyStore
from tests.unit.fakes import DATABASE, FakeClock
from tests.unit.prune_world import DAY, World


@dataclass(frozen=True)
class Row:
    """What is simulated. `outage`: chance a day that captures or prunes stop for some days."""

    name: str
    retention: timedelta
    days: int
    cadence: timedelta
    prune_every: int
    keep: Keep = field(default_factory=Keep)
    outage: float = 0.01


ROWS = (
    Row("cluster, 30 d", 30 * DAY, 300, DAY, 1),
    Row("appdata, 90 d and generations", 90 * DAY, 300, DAY / 2, 1, Keep(daily=120, weekly=30, monthly=12, yearly=2)),
    Row("config, 1 y", 365 * DAY, 600, 3 * DAY, 6),
    Row("audit, 7 y", 7 * 365 * DAY, 9 * 365, 7 * DAY, 28, Keep(monthly=3), 0.002),
)


class Killed(BaseException):
    """As SIGKILL."""


def die() -> None:
    raise Killed


@dataclass
class Life:
    """One row through its years."""

    row: Row
    seed: int

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        rule = Rule(self.row.retention, self.row.keep)
        self.world = World(clock=FakeClock(), rule=rule, rules={DATABASE: rule})
        self.captured: list[PointManifest] = []
        self.held: dict[str, HoldRecord] = {}
        self.released: dict[str, datetime] = {}
        self.proven: list[str] = []
        self.gone: dict[str, datetime] = {}
        self.no_captures_until = self.no_prunes_until = self.frozen_until = self.world.now
        self.due = self.world.now
        self.kills = 0

    # --- what happens

    def run(self) -> None:
        for day in range(self.row.days):
            self.trouble()
            self.people()
            evening = self.world.now + DAY
            self.captures(evening)
            self.world.pass_(evening - self.world.now)
            if day % self.row.prune_every == 0 and self.world.now >= self.no_prunes_until:
                self.prune()
                self.must_be_there()

    def trouble(self) -> None:
        if self.dice.random() < self.row.outage:
            until = self.world.now + self.dice.randint(1, 25) * DAY
            if self.dice.random() < 0.5:
                self.no_captures_until = until
            else:
                self.no_prunes_until = until
        if self.dice.random() < 0.004:
            self.world.fail(tag="broken", end=self.dice.random() < 0.5)
        if self.dice.random() < 0.004:
            turn(self.world.control, True, self.world.now, "alice", "incident")
            self.frozen_until = self.world.now + self.dice.randint(1, 15) * DAY
        if self.world.now >= self.frozen_until:
            turn(self.world.control, False, self.world.now, "alice", "over")

    def people(self) -> None:
        there = self.world.manifests()
        if there and self.dice.random() < 0.01:
            name = self.dice.choice(there)
            point = next(one for one in self.captured if one.name == name)
            if name not in self.held:
                self.held[name] = self.world.hold(point)
        if self.held and self.dice.random() < 0.008:
            name = self.dice.choice(sorted(self.held))
            release(self.world.control, self.held.pop(name), self.world.now, "alice", "settled")
            self.released[name] = self.world.now
        if there and self.dice.random() < 0.02:
            self.proven.append(self.dice.choice(there))
            self.world.proven = frozenset(self.proven)

    def captures(self, evening: datetime) -> None:
        while self.due < evening:
            self.world.pass_(max(self.due - self.world.now, timedelta(0)))
            if self.world.now >= self.no_captures_until and not frozen(self.world.control):
                content = {"one": self.dice.randbytes(8)}
                self.captured.append(self.world.capture(content=content, journaled=False))
            self.due += self.row.cadence

    def prune(self) -> None:
        """As the CronJob does; where it asks for a person, a person looks and names the share."""
        if not self.world.manifests():
            return
        try:
            self.attempt(Options())
        except DrError as error:
            if error.kind not in (FROZEN, TOO_MUCH_AT_ONCE):
                raise
            if error.kind is TOO_MUCH_AT_ONCE:
                self.attempt(Options(allow_share=1.0))

    def attempt(self, options: Options) -> None:
        before = set(self.world.manifests())
        stores: dict[str, ObjectStore] = {}
        if self.dice.random() < max(0.05, 0.01 * self.row.prune_every):
            faults = Faults((Fault(Action.CALL, "put|delete", first=self.dice.randint(0, 6), call=die),))
            stores = {
                "control": FaultyStore(self.world.control, faults),
                "vault": FaultyStore(self.world.vault, faults),
            }
        try:
            self.world.prune(options, **stores)
        except Killed:
            self.kills += 1
        for name in before - set(self.world.manifests()):
            self.gone[name] = self.world.now

    # --- what must be

    def must_be_there(self) -> None:
        there, now = set(self.world.manifests()), self.world.now
        for point in self.captured:
            if point.name not in there:
                assert point.name in self.gone, f"{point.name} vanished without a prune"
        assert not self.held.keys() & self.gone.keys(), "a held point was deleted"
        for name, at in self.gone.items():
            assert at >= self.released.get(name, at), "deleted before its release"
        if self.captured:
            assert self.captured[-1].name in there, "the newest point was deleted"
        horizon = now - self.row.retention
        reaching = [point for point in self.captured if point.as_of <= horizon]
        needed = [point for point in self.captured if point.as_of > horizon] + reaching[-1:]
        assert all(point.name in there for point in needed), "an instant of the retention can no longer be restored"
        proven = [point.name for point in self.captured if point.name in self.world.proven]
        assert not proven or proven[-1] in there, "the newest proven point was deleted"
        self.captured = [one for one in self.captured if one.name in there or one.as_of > horizon - 60 * DAY]

    def settled(self) -> None:
        """When all trouble is over: nothing is left that nobody needs."""
        world = self.world
        if frozen(world.control):
            turn(world.control, False, world.now, "alice", "")
        for record in self.held.values():
            release(world.control, record, world.now, "alice", "")
        for _ in range(4):
            self.captured.append(world.capture(journaled=False))
            world.prune(Options(allow_share=1.0))
            world.pass_(GRACE + DAY)
        world.prune(Options(allow_share=1.0))
        assert not [one for one in Tombstones(world.control, "appdata").standing() if one.begun]
        assert not world.orphans(), "data that belongs to no point was left"
        world.whole()
        keep = self.row.keep
        extra = keep.daily + keep.weekly + keep.monthly + keep.yearly
        horizon = world.now - self.row.retention
        old = [name for name in world.manifests() if self._due(name) <= horizon]
        # beyond the retention: what reaches back, what is proven, the generations, and what waits in the grace period
        waiting = {
            target.name for one in Tombstones(world.control, "appdata").standing() for target in one.tombstone.targets
        }
        assert len([name for name in old if name not in waiting]) <= 2 + extra

    def _due(self, name: str) -> datetime:
        from dr.record.layout import point_slot

        slot = point_slot(name)
        assert slot is not None
        return slot.due


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.partition(",")[0])
def test_years_of_retention(row: Row) -> None:
    life = Life(row, seed=5)
    life.run()
    assert life.gone, "something must have been pruned, or nothing was tested"
    assert life.kills
    # nothing goes before its retention and the grace are over
    commits = {one.name: one.committed for one in life.captured}
    for name, at in life.gone.items():
        if name in commits:
            assert at >= commits[name] + row.retention
    for name, at in life.gone.items():
        assert at - life._due(name) >= row.retention + GRACE, f"{name} was deleted early"
    life.settled()


def test_without_trouble_storage_is_bounded_every_day() -> None:
    row = Row("calm", 30 * DAY, 120, DAY, 1, outage=0.0)
    world = World(rule=Rule(row.retention), rules={DATABASE: Rule(row.retention)})
    for _ in range(row.days):
        world.capture(journaled=False)
        world.pass_(DAY)
        world.prune()
        # the retention, the point that reaches back, the grace, today's
        assert len(world.manifests()) <= 30 + 1 + 7 + 1
        assert len(world.objects("data/")) == 2 * len(world.manifests())
