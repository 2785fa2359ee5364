"""Records of holds; leases of restores; and that a lease and a prune never miss each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from dr.errors import LOCKED, DrError
from dr.model.plans import PointRef, RestorePlan
from dr.model.retention import HoldKind
from dr.record.holds import active_holds, new_hold, place, release
from dr.record.tombstones import Tombstones
from dr.run.leasing import LEASE, leased
from dr.run.prune import Options
from dr.stores.faults import Action, Fault, Faults, FaultyStore
from tests.unit.fakes import DATABASE, T0, manifest, planned
from tests.unit.prune_world import DAY, World

POINT = manifest().name


def test_holds_last_until_released_and_only_their_own() -> None:
    world = World()
    first = new_hold(HoldKind.HOLD, POINT, T0, "alice", "lawsuit")
    second = new_hold(HoldKind.HOLD, POINT, T0, "bob", "curious")
    for record in (first, second):
        place(world.control, record)
    assert set(active_holds(world.control, T0)[POINT]) == {first, second}
    release(world.control, second, T0, "bob", "satisfied")
    assert active_holds(world.control, T0 + 9999 * DAY) == {POINT: (first,)}
    release(world.control, first, T0, "alice", "settled")
    assert active_holds(world.control, T0) == {}


def test_a_hold_with_an_end_ends_by_itself_without_being_read() -> None:
    world = World()
    place(world.control, new_hold(HoldKind.EXTENSION, POINT, T0, "alice", "audit", T0 + DAY))
    assert POINT in active_holds(world.control, T0 + DAY - timedelta(microseconds=1))
    faults = Faults()
    assert active_holds(FaultyStore(world.control, faults), T0 + DAY) == {}
    assert [operation for operation, _ in faults.log] == ["list"]


def test_holds_of_one_point_are_those_of_all() -> None:
    world = World()
    other = manifest(as_of=T0 + DAY).name
    for name in (POINT, other):
        place(world.control, new_hold(HoldKind.HOLD, name, T0, "alice", "x"))
    assert active_holds(world.control, T0, POINT) == {POINT: active_holds(world.control, T0)[POINT]}


def test_a_record_under_the_name_of_another_point_holds_the_point_of_the_name() -> None:
    world = World()
    record = new_hold(HoldKind.HOLD, POINT, T0, "alice", "x")
    place(world.control, record)
    (info,) = world.control.list("holds/")
    other = manifest(as_of=T0 + DAY)
    world.control.put(info.name.replace(manifest().slot.id, other.slot.id), world.control.get(info.name))
    assert other.name in active_holds(world.control, T0)


# --- leases -----------------------------------------------------------------------------------------------------------


def plan_of(*names: str) -> RestorePlan:
    items = tuple(replace(planned(DATABASE), point=PointRef(name, 1, "f" * 64)) for name in names)
    return RestorePlan("restore-1", T0, T0, "s", (*items, replace(planned(), point=None)))


def test_a_plan_holds_its_points_while_it_works_and_lets_them_go_when_done() -> None:
    world = World()
    with leased(world.control, world.clock, "bob", plan_of(POINT)) as let_go:
        (record,) = active_holds(world.control, world.now)[POINT]
        assert (record.mode, record.by, record.until) == (HoldKind.LEASE, "bob", world.now + LEASE)
        let_go()
    assert active_holds(world.control, world.now) == {}


def test_a_plan_that_failed_keeps_its_lease_until_it_runs_out() -> None:
    world = World()
    with pytest.raises(RuntimeError), leased(world.control, world.clock, "bob", plan_of(POINT)):
        raise RuntimeError
    assert POINT in active_holds(world.control, world.now)
    world.pass_(LEASE)
    assert active_holds(world.control, world.now) == {}


def test_a_release_that_cannot_be_written_fails_no_restore() -> None:
    world = World()
    faults = Faults((Fault(Action.ERROR, "put", ".*released.*", times=99),))
    with leased(FaultyStore(world.control, faults), world.clock, "bob", plan_of(POINT)) as let_go:
        let_go()


def due_point() -> tuple[World, str]:
    world = World()
    points = world.daily(32)
    world.prune()
    world.pass_(7 * DAY)
    return world, points[0].name


def prune(world: World, *, at: str = "", call: Callable[[], None] | None = None) -> None:
    faults = Faults((Fault(Action.CALL, "list|put|delete", at, call=call),) if call else ())
    world.prune(
        Options(allow_share=1.0), control=FaultyStore(world.control, faults), vault=FaultyStore(world.vault, faults)
    )


def restore(world: World, name: str, seen: list[str]) -> None:
    """The point must be whole for as long as the lease says that it is held."""
    try:
        with leased(world.control, world.clock, "bob", plan_of(name)):
            seen.append("restored" if name in world.manifests() else "gone")
    except DrError as error:
        seen.append("refused" if error.kind is LOCKED else error.message)


@pytest.mark.parametrize("moment", ["tombstones/.*begun.*", "holds/.*", "freeze/", "points/.*", "tombstones/.*ended.*"])
def test_i5_a_restore_and_a_prune_of_the_same_moment_never_miss_each_other(moment: str) -> None:
    """Whatever the prune is about to do when the restore comes: it is refused, or its point stays."""
    world, name = due_point()
    seen: list[str] = []
    prune(world, at=moment, call=lambda: restore(world, name, seen))
    assert seen
    assert seen[0] in ("restored", "refused")
    assert (name in world.manifests()) or seen[0] == "refused"


def test_a_point_that_is_only_condemned_can_be_restored_from_and_is_saved_by_it() -> None:
    world, name = due_point()
    seen: list[str] = []
    restore(world, name, seen)
    assert seen == ["restored"]
    prune(world)
    assert name in world.manifests()


def test_a_tombstone_that_cannot_be_read_stops_no_restore() -> None:
    world = World()
    world.control.put("tombstones/appdata/x/decided.json", b"{")
    world.control.put("tombstones/appdata/x/begun-20250528T000000Z-ab.json", b"{")
    with leased(world.control, world.clock, "bob", plan_of(POINT)):
        assert POINT in active_holds(world.control, world.now)
    with pytest.raises(DrError):
        Tombstones(world.control, "appdata").standing()
