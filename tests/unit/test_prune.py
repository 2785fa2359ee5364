"""Prunes over a vault: what goes, what stays, what is refused, and that a kill at any moment leaves no harm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from dr.errors import (
    CLOCK_SKEW,
    FROZEN,
    LISTING_SHRANK,
    NEWER_FORMAT,
    NOT_AUTHORISED,
    TOO_MUCH_AT_ONCE,
    DrError,
    ErrorKind,
)
from dr.model.ids import SourceId
from dr.model.retention import FreezeRecord, HoldKind, PruneEnded, Remains
from dr.model.strategy import Keep
from dr.plan.retain import Rule, Why
from dr.ports import ObjectStore
from dr.record.freeze import turn
from dr.record.holds import active_holds, new_hold, place, release
from dr.record.tombstones import Tombstones
from dr.run.prune import Options
from dr.stores.faults import Action, Fault, Faults, FaultyStore
from dr.stores.memory import MemoryStore
from tests.unit.fakes import DATABASE
from tests.unit.prune_world import DAY, World, names

ALL_OF_IT = Options(allow_share=1.0)


def refused(kind: ErrorKind, call: Callable[[], object]) -> DrError:
    with pytest.raises(DrError) as caught:
        call()
    assert caught.value.kind is kind, caught.value
    return caught.value


def test_condemned_first_deleted_after_the_grace() -> None:
    world = World()
    points = world.daily(32)
    before = world.objects()
    first = world.prune()
    going = names(points[:2])  # the third is the reach
    assert [target.name for stone in first.condemned for target in stone.targets] == going[::-1]
    assert world.objects() == before, "nothing is deleted in the grace period"
    world.pass_(7 * DAY - timedelta(seconds=1))
    assert not world.prune(ALL_OF_IT).deleted
    world.pass_(timedelta(seconds=1))
    again = world.prune(ALL_OF_IT)
    assert again.deleted == set(going)
    assert not set(going) & set(world.manifests())
    assert not world.orphans()
    world.whole()


def test_a_second_prune_condemns_nothing_twice() -> None:
    world = World()
    world.daily(32)
    assert world.prune().condemned
    assert not world.prune().condemned


def test_everything_listed_is_decided_with_a_reason() -> None:
    world = World()
    points = world.daily(32)
    result = world.prune()
    assert [decision.name for decision in result.decided.points] == names(points)
    assert all(decision.reasons for decision in result.decided.points)


def test_a_dry_run_changes_nothing_and_tells_refusals() -> None:
    world = World()
    world.daily(32)
    turn(world.control, True, world.now, "alice", "incident")
    before = world.objects(), list(world.control.list())
    result = world.prune(Options(dry_run=True, allow_share=0.01))
    assert (world.objects(), list(world.control.list())) == before
    assert [refusal.kind for refusal in result.refusals] == [FROZEN, TOO_MUCH_AT_ONCE]
    assert sum(not decision.keep for decision in result.decided.points) == 2


# --- I5: a hold always wins -------------------------------------------------------------------------------------------


def test_i5_a_hold_in_the_grace_period_saves_the_point() -> None:
    world = World()
    points = world.daily(32)
    world.prune()
    held = world.hold(points[0])
    world.pass_(7 * DAY)
    result = world.prune(ALL_OF_IT)
    assert result.spared == {points[0].name: "something speaks for it by now"}
    assert points[0].name in world.manifests()
    assert points[1].name not in world.manifests()
    release(world.control, held, world.now, "alice", "settled")
    assert [t.name for stone in world.prune(ALL_OF_IT).condemned for t in stone.targets][-1] == points[0].name
    world.pass_(7 * DAY)
    world.prune(ALL_OF_IT)
    assert points[0].name not in world.manifests()


def test_i5_a_hold_placed_after_the_decision_still_wins() -> None:
    """It comes while the prune is already deleting: right before the point's own turn."""
    world = World()
    points = world.daily(32)
    world.prune()
    world.pass_(7 * DAY)

    def late() -> None:
        world.hold(points[0])

    # points are deleted newest first: the hold comes with the deletion of points[1]
    faults = Faults((Fault(Action.CALL, "delete", points[1].name, call=late),))
    result = world.prune(ALL_OF_IT, vault=FaultyStore(world.vault, faults))
    assert result.spared == {points[0].name: "held by alice: lawsuit"}
    assert points[0].name in world.manifests()
    world.whole()


def test_i5_what_a_point_needs_that_is_held_at_the_last_moment_stays_too() -> None:
    world = World()
    base = world.capture()
    world.pass_(timedelta(hours=1))
    child = world.capture(parents=(base.name,))
    world.pass_(DAY)
    world.daily(32)
    world.prune(ALL_OF_IT)
    world.pass_(7 * DAY)
    faults = Faults((Fault(Action.CALL, "list", "holds/.*", first=0, call=lambda: world.hold(child)),))
    result = world.prune(ALL_OF_IT, control=FaultyStore(world.control, faults))
    assert result.spared[child.name] == "held by alice: lawsuit"
    assert result.spared[base.name] == f"needed by {child.name}"
    world.whole()


def test_a_lease_of_a_restore_holds_until_it_runs_out() -> None:
    world = World()
    points = world.daily(32)
    world.prune()
    world.pass_(7 * DAY)
    lease = new_hold(HoldKind.LEASE, points[0].name, world.now, "bob", "restore-1", world.now + DAY)
    place(world.control, lease)
    assert points[0].name in world.prune(ALL_OF_IT).spared
    world.pass_(DAY)
    assert not active_holds(world.control, world.now)


def test_a_hold_of_the_store_alone_keeps_the_point() -> None:
    world = World()
    points = world.daily(32)
    world.prune()
    artefact = points[0].artefacts[1]
    world.vault.hold(artefact.name, generation=artefact.generation, held=True)
    world.pass_(7 * DAY)
    assert points[0].name in world.prune(ALL_OF_IT).spared


def test_a_record_of_a_hold_that_cannot_be_read_holds() -> None:
    world = World()
    points = world.daily(32)
    world.control.put(f"holds/{points[0].slot.id}/20250601T000000Z-ab12cd34.json", b"{")
    world.control.put(f"holds/{points[1].slot.id}/of-a-later-version", b"?")
    decisions = {decision.name: decision for decision in world.prune(ALL_OF_IT).decided.points}
    for point in points[:2]:
        assert [reason.why for reason in decisions[point.name].reasons] == [Why.HOLD]


def test_an_expired_hold_holds_no_more() -> None:
    world = World()
    points = world.daily(32)
    world.hold(points[0], until=world.now + DAY)
    assert [reason.why for reason in world.prune().decided.points[0].reasons] == [Why.HOLD]
    world.pass_(DAY)
    assert not world.prune(ALL_OF_IT).decided.points[0].keep


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_refuses_to_remove_more_than_a_tenth_at_once() -> None:
    world = World()
    world.daily(40)
    before = world.objects()
    error = refused(TOO_MUCH_AT_ONCE, world.prune)
    assert "25.0%" in error.message
    assert "--allow-share 25%" in error.hint
    assert world.objects() == before
    assert not list(world.control.list("tombstones/"))
    assert world.prune(Options(allow_share=0.25)).condemned


def test_bytes_count_as_much_as_numbers() -> None:
    world = World()
    for day in range(40):
        world.capture(content={"big": b"x" * (9000 if day < 1 else 10)})
        world.pass_(DAY if day else 8 * DAY)
    world.pass_(DAY)
    assert "9" in refused(TOO_MUCH_AT_ONCE, world.prune).message


def test_tombstones_that_fall_due_together_go_a_tenth_at_a_time() -> None:
    world = World()
    world.daily(32)
    for day in range(20):
        world.prune(Options(grace=(20 - day if day < 11 else 99) * DAY))
        world.daily(1)
    sizes = []
    while True:
        before = len(world.manifests())
        result = world.prune(Options(grace=99 * DAY))
        sizes.append((before - len(world.manifests())) / before)
        if not result.unsettled:
            break
        assert "left for the next run" in result.unsettled[0]
    assert len(sizes) > 2
    assert 0 < max(sizes) <= 0.1
    world.whole()


def test_i5_an_empty_listing_is_an_error() -> None:
    assert "empty" in refused(LISTING_SHRANK, World().prune).message
    refused(LISTING_SHRANK, lambda: World().prune(Options(accept_shrunk=True)))


def test_refuses_when_points_are_gone_that_it_did_not_remove() -> None:
    world = World()
    points = world.daily(32)
    world.prune()
    world.daily(3)
    lost = points[20]
    world.pass_(60 * DAY)  # its lock is over
    info = world.vault.stat(lost.name)
    assert info is not None
    world.vault.delete(lost.name, generation=info.generation)
    error = refused(LISTING_SHRANK, lambda: world.prune(ALL_OF_IT))
    assert "1 points of appdata/firestore/energent-metadata-production due in 2025-06 are gone" in error.message
    assert world.prune(Options(allow_share=1.0, accept_shrunk=True)).deleted
    world.prune(ALL_OF_IT)


def test_new_points_do_not_hide_lost_ones() -> None:
    world = World()
    points = world.daily(32)
    world.prune()
    world.pass_(40 * DAY)
    info = world.vault.stat(points[5].name)
    assert info is not None
    world.vault.delete(points[5].name, generation=info.generation)
    world.daily(20)
    refused(LISTING_SHRANK, lambda: world.prune(ALL_OF_IT))


class Elsewhen(MemoryStore):
    """A store with a clock of its own."""

    ahead = timedelta(0)

    def server_time(self):  # type: ignore[no-untyped-def]
        return self._now() + self.ahead


@pytest.mark.parametrize(("ahead", "runs"), [(290, True), (-290, True), (310, False), (-310, False)])
def test_refuses_when_the_clocks_differ(ahead: float, runs: bool) -> None:
    world = World()
    world.vault = store = Elsewhen(now=world.clock.now)
    world.daily(32)
    store.ahead = timedelta(seconds=ahead)
    if runs:
        assert world.prune().condemned
    else:
        assert "clock" in refused(CLOCK_SKEW, world.prune).message


def test_refuses_when_our_clock_went_back() -> None:
    world = World()
    world.daily(32)
    world.prune()
    world.pass_(-DAY)
    refused(CLOCK_SKEW, world.prune)


def test_frozen_nothing_is_pruned_and_a_freeze_stops_a_prune_that_runs() -> None:
    world = World()
    points = world.daily(32)
    world.prune()
    world.pass_(7 * DAY)

    def freeze() -> None:
        turn(world.control, True, world.now, "alice", "incident")

    faults = Faults((Fault(Action.CALL, "delete", points[1].name, call=freeze),))
    refused(FROZEN, lambda: world.prune(ALL_OF_IT, vault=FaultyStore(world.vault, faults)))
    assert points[0].name in world.manifests()
    refused(FROZEN, lambda: world.prune(ALL_OF_IT))
    turn(world.control, False, world.now, "alice", "")
    assert points[0].name in world.prune(ALL_OF_IT).deleted
    world.whole()


@pytest.mark.parametrize("name", ["tombstones/appdata/x/decided.json", "prunes/appdata/20990101T000000Z-aa.json"])
def test_refuses_records_of_a_newer_format(name: str) -> None:
    world = World()
    world.daily(32)
    kind = "tombstone" if "tomb" in name else "prune"
    world.control.put(name, b'{"format":2,"kind":"%s"}\n' % kind.encode())
    refused(NEWER_FORMAT, world.prune)


def test_too_much_behind_what_was_removed_is_left_and_said() -> None:
    """Dead data counts for no share, so it goes first; the points behind it are more than this run may remove."""
    world = World()
    dead = world.fail(tag="dead")
    world.daily(32)
    stones = Tombstones(world.control, "appdata")
    world.prune()
    (stone,) = (one.tombstone for one in stones.standing())
    stones.end(PruneEnded(stone.id, world.now, "a test", (), {}))
    for number, of_the_dead in enumerate((True, False)):
        targets = tuple(target for target in stone.targets if (target.name == dead) is of_the_dead)
        stones.decide(replace(stone, id=f"{number}", share=0.0, due=world.now, targets=targets))
    before = world.manifests()
    result = world.prune(Options(allow_share=0.0))
    assert not world.objects(dead)
    assert world.manifests() == before
    assert "left for the next run" in result.unsettled[0]
    refused(TOO_MUCH_AT_ONCE, lambda: world.prune(Options(allow_share=0.0)))


# --- what cannot be understood stays ----------------------------------------------------------------------------------


def test_unreadable_manifests_stay_and_are_said() -> None:
    world = World()
    points = world.daily(32)
    assert isinstance(world.vault, MemoryStore)
    world.vault.corrupt(points[0].name, b"not what it was")
    result = world.prune()
    by_name = {decision.name: decision for decision in result.decided.points}
    assert by_name[points[0].name].keep
    assert by_name[points[0].name].reasons[0].why is Why.UNREADABLE
    assert [target.name for stone in result.condemned for target in stone.targets] == [points[1].name]


def test_a_point_whose_artefact_is_gone_stays_for_a_person_to_look_at() -> None:
    world = World()
    points = world.daily(32)
    lost = points[0].artefacts[0]
    world.vault.delete(lost.name, generation=lost.generation)
    decision = next(d for d in world.prune().decided.points if d.name == points[0].name)
    assert decision.keep
    assert lost.name in str(decision.reasons[0])


def test_points_of_a_source_that_left_the_table_stay() -> None:
    world = World()
    other = SourceId("appdata", "firestore", "old-database")
    gone = world.capture(other)
    world.pass_(DAY)
    world.daily(32)
    decision = next(d for d in world.prune().decided.points if d.name == gone.name)
    assert decision.reasons[0].why is Why.NO_ROW


def test_what_lies_elsewhere_is_left_alone() -> None:
    world = World()
    world.daily(32)
    for name in ("format.json", "data/readme.txt", "points/notes.txt", "log/x/y", "kopia/blob", "data/slot/x/y"):
        world.vault.put(name, b"?")
    for _ in range(3):
        world.prune(ALL_OF_IT)
        world.pass_(30 * DAY)
    assert {"format.json", "data/readme.txt", "points/notes.txt", "log/x/y", "kopia/blob", "data/slot/x/y"} <= {
        info.name for info in world.objects()
    }


def test_a_listing_that_tells_longer_than_the_manifest_is_not_believed_over_it() -> None:
    """Metadata is a hint that other identities may change; before a point goes its manifest is asked."""
    world = World()
    points = world.daily(32)
    target = points[0]
    info = world.vault.stat(target.name)
    assert info is not None
    longer = replace(target, retain_until=world.now + DAY)
    world.vault.delete(info.name, generation=info.generation)
    from dr.record.codec import encode
    from dr.record.summary import metadata_of

    world.vault.put(target.name, encode(longer), metadata=metadata_of(target))
    decision = next(d for d in world.prune().decided.points if d.name == target.name)
    assert [reason.why for reason in decision.reasons] == [Why.COMMITTED_FOR]


def test_the_strategy_may_change_in_the_grace_period() -> None:
    world = World()
    points = world.daily(32)
    world.prune()
    world.rules[DATABASE] = Rule(30 * DAY, Keep(monthly=3))
    world.pass_(7 * DAY)
    world.rules[DATABASE] = Rule(60 * DAY)
    assert set(world.prune(ALL_OF_IT).spared) == set(names(points[:2]))


# --- dead runs --------------------------------------------------------------------------------------------------------


def test_data_of_dead_runs_is_collected_when_surely_dead() -> None:
    world = World()
    failed = world.fail(tag="failed")
    silent = world.fail(end=False, tag="silent")
    world.vault.put("data/appdata.firestore.stranger@20250101T000000Z/1/half", b"no run is known")
    world.daily(6)
    assert not world.prune().condemned
    world.daily(2)
    young = world.fail(tag="young")
    result = world.prune()
    assert {target.name for stone in result.condemned for target in stone.targets} == {failed, silent}
    world.daily(6)
    assert not world.prune().deleted
    world.daily(2)
    assert world.prune().deleted == {failed, silent}
    assert world.objects(young)
    assert world.objects("data/appdata.firestore.stranger")


def test_a_run_that_is_taken_over_in_the_grace_period_keeps_its_data() -> None:
    world = World()
    prefix = world.fail(end=False, tag="silent")
    world.daily(8)
    assert world.prune().condemned
    world.journal().claim(prefix.split("/")[1])
    world.pass_(7 * DAY)
    assert world.prune().spared == {prefix: "something speaks for it by now"}
    assert world.objects(prefix)
    world.pass_(DAY)
    world.prune()
    world.pass_(7 * DAY)
    assert world.prune().deleted == {prefix}


def test_another_attempt_of_a_committed_slot_goes_the_attempt_that_counts_stays() -> None:
    world = World()
    point = world.capture()
    dead = world._stage(point.slot, 7, "half", b"of an attempt that lost").name.rpartition("/")[0] + "/"
    world.pass_(DAY)
    world.daily(8)
    assert [target.name for stone in world.prune().condemned for target in stone.targets] == [dead]
    world.daily(8)
    assert world.prune().deleted == {dead}
    world.whole()


def test_quarantine_is_kept_for_the_retention_of_the_row() -> None:
    world = World()
    world.vault.put("quarantine/firestore.db/one", b"poison")
    world.daily(36)
    assert [(what, fate.keep) for what, fate in world.prune(ALL_OF_IT).decided.others] == [(Remains.QUARANTINE, True)]
    world.daily(1)
    world.prune(ALL_OF_IT)
    world.pass_(7 * DAY)
    world.prune(ALL_OF_IT)
    assert not world.objects("quarantine/")


# --- faults -----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """As SIGKILL: nothing of ours handles it."""


def die() -> None:
    raise Killed


def due_world() -> World:
    world = World()
    world.fail(tag="dead")
    world.daily(33)
    world.prune()
    world.pass_(7 * DAY)
    return world


def writes_of_a_prune() -> int:
    world, faults = due_world(), Faults()
    world.prune(ALL_OF_IT, control=FaultyStore(world.control, faults), vault=FaultyStore(world.vault, faults))
    return sum(operation in ("put", "delete") for operation, _ in faults.log)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_i6_i11_killed_at_any_write_the_next_prune_finishes(after: bool) -> None:
    count = writes_of_a_prune()
    assert count > 10
    for index in range(count):
        world = due_world()
        faults = Faults((Fault(Action.CALL, "put|delete", first=index, call=die),))
        stores: dict[str, ObjectStore] = {
            name: Dying(store, faults) if after else FaultyStore(store, faults)
            for name, store in (("control", world.control), ("vault", world.vault))
        }
        with pytest.raises(Killed):
            world.prune(ALL_OF_IT, **stores)
        world.whole()
        for _ in range(2):
            world.prune(ALL_OF_IT)
            world.pass_(8 * DAY)
        world.prune(ALL_OF_IT)
        world.whole()
        assert not world.orphans(), f"killed at write {index}"
        assert not [one for one in Tombstones(world.control, "appdata").standing() if one.begun]


class Dying(FaultyStore):
    """Dies after the operation took effect."""

    def put(self, name, data, **more):  # type: ignore[no-untyped-def, override]
        info = self._inner.put(name, data, **more)
        self._faults.strike("put", name) and die()
        return info

    def delete(self, name, *, generation):  # type: ignore[no-untyped-def, override]
        self._inner.delete(name, generation=generation)
        self._faults.strike("delete", name) and die()


def test_a_lost_reply_to_a_deletion_changes_nothing() -> None:
    world = due_world()
    faults = Faults((Fault(Action.LOSE_REPLY, "delete", first=1, times=1),))
    with pytest.raises(DrError):
        world.prune(ALL_OF_IT, vault=FaultyStore(world.vault, faults))
    world.prune(ALL_OF_IT)
    assert not world.orphans()


def test_an_identity_that_may_not_delete_is_told_so() -> None:
    world = due_world()
    before = world.manifests()
    faults = Faults((Fault(Action.ERROR, "delete", times=10**6, kind=NOT_AUTHORISED),))
    refused(NOT_AUTHORISED, lambda: world.prune(ALL_OF_IT, vault=FaultyStore(world.vault, faults)))
    assert world.manifests() == before


def test_two_prunes_at_once_delete_what_one_would() -> None:
    world, alone = due_world(), due_world()
    alone.prune(ALL_OF_IT)
    other = Faults((Fault(Action.CALL, "delete", first=0, call=lambda: world.prune(ALL_OF_IT) and None),))
    world.prune(ALL_OF_IT, vault=FaultyStore(world.vault, other))
    assert world.manifests() == alone.manifests()
    world.whole()
    assert world.prune(ALL_OF_IT).refusals == ()


def test_a_freeze_record_of_anybody_counts() -> None:
    world = due_world()
    from dr.record.codec import encode

    world.control.put("freeze/000001.json", encode(FreezeRecord(1, True, world.now, "someone", "")))
    refused(FROZEN, world.prune)
