"""What a dead drill left goes: by its journal, else by its labels; nothing that lives, has no expiry, or is not what was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from dr.components.cluster.layout import BACKUPS, LABEL_EXPIRES, LABEL_PLAN, LOCATIONS
from dr.components.cluster.sweeping import Sweeping
from dr.components.cluster.teardown import patient
from dr.errors import LOCKED, NOT_FOUND, RESTORE_FAILED, UNREACHABLE, DrError
from dr.model.plans import RestorePlan
from dr.model.points import Check
from dr.model.reaping import SANDBOX_LIFE, Reaped, Sandbox
from dr.model.runs import Stamp
from dr.plan.reaping import spared
from dr.ports import Json, RestoreWork
from dr.record.codec import decode
from dr.record.journal import Journal
from dr.run.engine import Engine, Retry
from dr.run.reaper import Reaper, Swept
from dr.run.restore import RestoreItem, RestoreRunner
from dr.stores.memory import MemoryStore
from dr.vendors.kubernetes_objects import NAMESPACES, KubeObject
from tests.unit.record_fakes import NOON, FakeClock, FakeRestorer
from tests.unit.test_restore_run import planned
from tests.unit.velero_world import TickingClock, world

LATER = SANDBOX_LIFE + timedelta(minutes=1)


# --- the decision


def test_what_expired_and_has_no_owner_is_reaped() -> None:
    dead = Sandbox("drill-1", NOON, torn_down=False)
    assert spared(dead, NOON + LATER) == ""
    assert "expires at" in spared(dead, NOON + timedelta(hours=23))
    assert spared(dead, NOON + timedelta(minutes=1), named=True) == ""
    assert spared(replace(dead, torn_down=True), NOON + LATER) != ""
    living = replace(dead, alive_until=NOON + LATER + timedelta(minutes=1))
    assert "works on it" in spared(living, NOON + LATER)
    assert "works on it" in spared(living, NOON + LATER, named=True)


# --- by the journal


class Leftovers(FakeRestorer):
    """What it made stands in a store until its teardown, which can be told to fail."""

    def __init__(self, made: MemoryStore) -> None:
        super().__init__(made)
        self.fails = False
        self.seen_outcomes: list[Mapping[str, Json]] = []

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        self.seen_outcomes.append(outcomes)
        return (Check("copy", not self.fails, "no answer" if self.fails else "deleted"),)


class World:
    """A drill that was killed in its first step."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.control = MemoryStore("control", now=self.clock.now)
        self.restorer = Leftovers(MemoryStore("made"))
        self.plan = RestorePlan("drill-1", NOON, NOON, "sha", (planned("appdata", {}),))
        self.owner_is_dead = True
        self.opened: Callable[[RestorePlan], list[RestoreItem]] = self.items

    @property
    def journal(self) -> Journal:
        return Journal(self.control, self.clock, "drills", continues=True, dead=lambda _o, _b: self.owner_is_dead)

    def items(self, plan: RestorePlan) -> list[RestoreItem]:
        return [RestoreItem(item, self.restorer, MemoryStore(), None) for item in plan.items]

    def die(self) -> None:
        engine = Engine(self.clock, retry=Retry(attempts=1), renew_every=None)
        runner = RestoreRunner(self.journal, self.clock, engine)
        self.restorer.failing = "create"
        runner.apply(self.plan, self.items(self.plan))

    def reap(self, named: str = "") -> list[Swept]:
        reaper = Reaper([self.journal], lambda plan: self.opened(plan), (), self.clock, "me")
        return list(reaper.run(named))


class Moving(FakeClock):
    """Time passes whenever somebody looks."""

    def now(self) -> datetime:
        self.advance(0.001)
        return super().now()

    def stamp(self) -> Stamp:
        self.advance(0.001)
        return super().stamp()


@pytest.fixture
def here() -> World:
    found = World()
    found.die()
    return found


def test_a_dead_drill_is_torn_down_once_it_has_expired_and_that_is_on_record(here: World) -> None:
    assert here.reap() == []
    here.clock.advance(LATER.total_seconds())
    (swept,) = here.reap()
    assert (swept.unit, swept.clean) == ("drill-1", True)
    record = decode(here.control.get("drills/drill-1/reaped.json"), Reaped, "reaped")
    assert (record.by, record.deleted) == ("me", ("copy",))
    assert here.reap() == []


def test_who_names_a_drill_need_not_wait(here: World) -> None:
    (swept,) = here.reap("drill-1")
    assert swept.clean
    with pytest.raises(DrError) as caught:
        here.reap("drill-2")
    assert caught.value.kind is NOT_FOUND


def test_an_owner_who_is_known_to_be_dead_is_not_waited_for_whatever_the_clock_does(here: World) -> None:
    """The journal says of such a one that he lived until it was read, which is after the reaper began."""
    here.journal.claim("drill-1")
    here.clock = Moving(here.clock.time)
    (swept,) = here.reap("drill-1")
    assert swept.clean


def test_a_living_drill_is_left_alone(here: World) -> None:
    here.owner_is_dead = False
    here.clock.advance(LATER.total_seconds())
    here.journal.claim("drill-1")
    assert here.reap() == []
    with pytest.raises(DrError) as caught:
        here.reap("drill-1")
    assert caught.value.kind is LOCKED


def test_what_could_not_be_removed_is_told_and_tried_again(here: World) -> None:
    here.restorer.fails = True
    (swept,) = here.reap("drill-1")
    assert [check.detail for check in swept.checks] == ["no answer"]
    here.restorer.fails = False
    (swept,) = here.reap("drill-1")
    assert swept.clean


def test_an_item_that_cannot_be_opened_any_more_is_told(here: World) -> None:
    def gone(_plan: RestorePlan) -> list[RestoreItem]:
        raise DrError(RESTORE_FAILED, "the point was pruned")

    here.opened = gone
    (swept,) = here.reap("drill-1")
    assert [check.detail for check in swept.checks] == ["the point was pruned"]
    assert here.control.stat("drills/drill-1/reaped.json") is None


# --- by labels

EXPIRED, LIVES = str(int((datetime.fromisoformat("2026-01-01T00:00:00+00:00")).timestamp())), "99999999999"


def labelled(name: str, uid: str, **labels: str) -> Mapping[str, object]:
    return {"metadata": {"name": name, "uid": uid, "labels": labels}}


class Cluster:
    def __init__(self) -> None:
        self.world, self.clock = world(), TickingClock()
        self.made: Mapping[str, str] | None = None

    def put(self, name: str, uid: str = "uid-1", **labels: str) -> None:
        self.world.kube.put("v1/namespaces", "", labelled(name, uid, **labels))

    def sweep(self) -> Mapping[str, tuple[bool, str]]:
        found = Sweeping(self.world.velero, self.clock).sweep(self.clock.now(), lambda plan: self.made)
        return {check.name: (check.passed, check.detail) for check in found}

    def stands(self, name: str) -> KubeObject | None:
        return self.world.kube.get(NAMESPACES, name)


def test_an_expired_namespace_that_no_journal_knows_goes() -> None:
    here = Cluster()
    here.put("drill-app", **{LABEL_PLAN: "p", LABEL_EXPIRES: EXPIRED})
    assert here.sweep() == {"namespaces drill-app": (True, "deleted")}
    assert here.stands("drill-app") is None
    assert here.stands("app") is not None


def test_what_has_no_expiry_or_another_uid_is_left_and_named() -> None:
    here = Cluster()
    here.made = {"drill-b": "uid-of-the-drill"}
    here.put("drill-a", **{LABEL_PLAN: "p"})
    here.put("drill-b", **{LABEL_PLAN: "p", LABEL_EXPIRES: EXPIRED})
    here.put("drill-c", **{LABEL_PLAN: "p", LABEL_EXPIRES: "soon"})
    found = here.sweep()
    assert [passed for passed, _ in found.values()] == [False] * 3
    assert "no dr/expires" in found["namespaces drill-a"][1]
    assert "uid" in found["namespaces drill-b"][1]
    assert all(here.stands(name) for name in ("drill-a", "drill-b", "drill-c"))


def test_what_has_not_expired_and_what_is_not_labelled_is_of_no_concern() -> None:
    here = Cluster()
    here.put("drill-a", **{LABEL_PLAN: "p", LABEL_EXPIRES: LIVES})
    here.put("other", **{LABEL_EXPIRES: EXPIRED})
    assert here.sweep() == {}
    assert here.stands("drill-a")
    assert here.stands("other")


def test_objects_of_velero_and_the_copies_go_and_those_of_a_real_restore_stay() -> None:
    here = Cluster()
    kube, bucket = here.world.kube, here.world.bucket
    spec = {"objectStorage": {"bucket": "velero", "prefix": "restores/dr-1"}}
    expired = {LABEL_PLAN: "p", LABEL_EXPIRES: EXPIRED}
    kube.put("velero.io/v1/backupstoragelocations", "velero", {**labelled("dr-1", "u", **expired), "spec": spec})
    kube.put("velero.io/v1/backups", "velero", labelled("real", "u", **{LABEL_PLAN: "q"}))
    for name in ("restores/dr-1/backups/x", "restores/dr-10/backups/x", "backups/real"):
        bucket.put(name, b"x")
    assert here.sweep() == {"backupstoragelocations.velero.io dr-1": (True, "deleted")}
    assert kube.get(LOCATIONS, "dr-1", "velero") is None
    assert kube.get(BACKUPS, "real", "velero") is not None
    assert [info.name for info in bucket.list()] == ["backups/real", "restores/dr-10/backups/x"]


# --- patience


def test_a_teardown_outlasts_an_api_server_that_is_away() -> None:
    clock, answers = TickingClock(), iter([False] * 20 + [True])

    def ask() -> str:
        if not next(answers):
            raise DrError(UNREACHABLE, "no answer")
        return "there"

    assert patient(ask, "ask", clock) == "there"
    assert clock.passed > 10
