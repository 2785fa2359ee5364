"""The safety rule over living data: nothing is touched before an undo point stands, and what was there can be had again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from dr.errors import BACKUP_FAILED, REJECTED, RESTORE_FAILED, VERIFICATION_FAILED, DrError
from dr.model.ids import Slot
from dr.model.plans import PlannedRestore, PointRef, RestorePlan, Target
from dr.model.points import Check, PointManifest
from dr.model.strategy import FailureDomain, Place, SourceSpec
from dr.ports import Inspection, Json, RestoreWork, Salvaged, Step, StepContext
from dr.record.catalogue import ReadPoint, find_point
from dr.record.codec import encode
from dr.record.journal import Journal
from dr.record.summary import metadata_of
from dr.run.engine import Engine
from dr.run.overlive import ONLY_RELEASE, UNDO_OF, OverLive, UndoPoints
from dr.run.restore import Restored, RestoreItem, RestoreRunner
from dr.run.runner import Captured, CaptureResult
from dr.run.undo import CUT_BACK, Undone, undo_item, without_needless
from dr.stores.memory import MemoryStore
from tests.unit.fakes import CLUSTER, DATABASE, T0, FakeClock, FakeInspector, FakeRestorer, artefact, manifest, planned

NAME = DATABASE.name
OVER = Target(isolated=False, protected=NAME)
MINUTE = timedelta(minutes=1)


@dataclass
class Guard:
    """Says what it did, in order."""

    did: list[str]
    living: bool = True
    unwilling: str = ""

    def prepare(self, spec: SourceSpec, planned: PlannedRestore) -> tuple[Json, tuple[str, ...]]:
        return {"prepared": True}, ("fenced first",)

    def survey(self, work: RestoreWork) -> Json:
        self.did.append("survey")
        return {"living": self.living, "writers": []}

    def fence(self, work: RestoreWork, context: StepContext) -> Json:
        self.did.append("fence")
        if self.unwilling:
            raise DrError(RESTORE_FAILED, self.unwilling)
        return {"fenced": ["web"]}

    def settled(self, work: RestoreWork, fenced: datetime) -> datetime:
        return fenced + MINUTE

    def around(self, work: RestoreWork, apply: Sequence[Step], keep: Step, prove: Step) -> Sequence[Step]:
        return (keep, *apply, prove)

    def salvage(self, work: RestoreWork, undo: PointManifest | None) -> Iterator[Salvaged]:
        yield Salvaged("a/1", "changed", "f" * 64)
        yield Salvaged("a/2", "newer", "e" * 64)

    def release(self, work: RestoreWork, context: StepContext) -> Json:
        self.did.append("release")
        return {"opened": ["web"]}


@dataclass
class World:
    """One source that lives, its vault, and a capture that makes undo points of it."""

    clock: FakeClock = field(default_factory=FakeClock)
    did: list[str] = field(default_factory=list)
    capture_error: DrError | None = None
    behind: timedelta = timedelta(0)
    inspected: tuple[Check, ...] = ()
    held: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.control = MemoryStore("control", now=self.clock.now)
        self.vault = MemoryStore("vault", now=self.clock.now)
        self.guard = Guard(self.did)
        self.inner = FakeRestorer(ran=self.did)

    def capture(self, slot: Slot, living: Sequence[str]) -> CaptureResult:
        self.did.append("undo point")
        if self.capture_error:
            return CaptureResult(slot, Captured.FAILED, error=self.capture_error)
        made = manifest(as_of=self.clock.now() - self.behind, slot=slot)
        if self.vault.stat(made.name) is None:
            self.vault.put(made.name, encode(made), metadata=metadata_of(made))
        return CaptureResult(slot, Captured.COMMITTED, find_point(self.vault, made.name).summary)

    @property
    def restorer(self) -> OverLive:
        undo = UndoPoints(self.capture, lambda name, why: self.held.append((name, why)))
        inspector = FakeInspector(Inspection((artefact(),), {"items": 1}, self.inspected))
        return OverLive(self.inner, self.guard, lambda: undo, lambda: self.control, lambda: {"fake": inspector})

    def item(self, target: Target = OVER) -> PlannedRestore:
        return replace(planned(DATABASE), point=None, target=target)

    def apply(self, target: Target = OVER, restorer: OverLive | None = None) -> RestoreItem:
        item = RestoreItem(self.item(target), restorer or self.restorer, self.vault, None)
        plan = RestorePlan("restore-1", T0, T0, "s", (item.planned,))
        journal = Journal(self.control, self.clock, "restores", continues=True)
        self.result = RestoreRunner(journal, self.clock, Engine(self.clock)).apply(plan, [item])
        return item

    @property
    def error(self) -> DrError:
        (found,) = self.result.items
        assert found.restored is Restored.FAILED
        assert found.error is not None
        return found.error


@pytest.fixture
def world() -> World:
    return World()


# --- the order


def test_the_writers_are_fenced_and_an_undo_point_stands_before_anything_is_made(world: World) -> None:
    world.apply()
    assert world.did == ["survey", "fence", "undo point", "create", "release"]
    assert world.result.ok


def test_the_undo_point_is_held_and_journalled_with_all_that_pins_it(world: World) -> None:
    world.apply()
    undo = world.result.items[0].outcomes["undo-point"]
    assert [name for name, _ in world.held] == [undo["point"]]
    found = find_point(world.vault, str(undo["point"]))
    assert (undo["generation"], undo["sha256"]) == (found.ref.generation, found.ref.sha256)
    assert "restore-1" in world.held[0][1]


def test_it_waits_until_a_capture_holds_all_that_was_written_before_the_fence(world: World) -> None:
    world.apply()
    undo, fence = (world.result.items[0].outcomes[name] for name in ("undo-point", "fence"))
    assert str(undo["as_of"]) >= str(fence["at"])
    assert world.clock.now() - T0 >= MINUTE


def test_a_copy_beside_what_lives_is_made_as_ever(world: World) -> None:
    for target in (Target(isolated=True, prefix="drill-1-"), Target(isolated=False, protected="another")):
        assert [
            step.name for step in world.restorer.steps(RestoreWork("p", world.item(target), None, world.vault))
        ] == ["create"]


def test_where_nothing_lives_there_is_nothing_to_go_back_to(world: World) -> None:
    world.guard.living = False
    world.apply()
    assert world.result.ok
    assert "undo point" not in world.did
    assert world.result.items[0].outcomes["undo-point"]["point"] == ""


# --- what stops it


@pytest.mark.parametrize(
    ("change", "kind", "word"),
    [
        ({"capture_error": DrError(BACKUP_FAILED, "the export was cancelled")}, RESTORE_FAILED, "cancelled"),
        ({"behind": timedelta(hours=1)}, RESTORE_FAILED, "before the writers stopped"),
        ({"inspected": (Check("data/x", False, "a bit flipped"),)}, VERIFICATION_FAILED, "a bit flipped"),
    ],
)
def test_without_a_sound_undo_point_nothing_is_made(
    world: World, change: Mapping[str, object], kind: object, word: str
) -> None:
    for name, value in change.items():
        setattr(world, name, value)
    world.apply()
    assert world.error.kind is kind
    assert word in world.error.message
    assert "create" not in world.did
    if "behind" not in change:
        assert not world.held


def test_writers_that_do_not_stop_stop_the_restore(world: World) -> None:
    world.guard.unwilling = "app/web-1 still runs"
    world.apply()
    assert world.did == ["survey", "fence"]


def test_a_result_that_is_not_as_it_was_keeps_the_fence_and_says_how_to_go_back(world: World) -> None:
    world.inner.said = (Check("counts", False, "3 of 4"),)
    world.apply()
    assert "3 of 4" in world.error.message
    assert "dr restore undo restore-1" in world.error.hint
    assert "release" not in world.did


# --- what was written since


def test_what_is_replaced_is_listed_beside_the_plan(world: World) -> None:
    world.apply()
    kept = world.result.items[0].outcomes["salvage"]
    lines = [json.loads(line) for line in world.control.get(str(kept["object"])).splitlines()]
    assert kept["kept"] == 2
    assert lines[0]["kind"] == "salvage"
    assert [(line["path"], line["why"]) for line in lines[1:]] == [("a/1", "changed"), ("a/2", "newer")]


# --- crashes


class Killed(BaseException):
    """kill -9, as far as Python can."""


@pytest.mark.parametrize("last", ["survey", "fence", "undo-point", "salvage", "create", "prove"])
def test_killed_after_any_step_it_goes_on_and_makes_nothing_twice(world: World, last: str) -> None:
    class Dying(MemoryStore):
        armed = True

        def put(self, name: str, data: bytes, **more: object) -> object:  # type: ignore[override]
            found = super().put(name, data, **more)  # type: ignore[arg-type]
            if self.armed and name.endswith(f".{last}.json"):
                self.armed = False
                raise Killed
            return found

    world.control = Dying("control", now=world.clock.now)
    with pytest.raises(Killed):
        world.apply()
    world.clock.advance(3600)
    world.apply()
    assert world.result.ok
    assert [world.did.count(name) for name in ("fence", "undo point", "create", "release")] == [1, 1, 1, 1]
    assert len(list(world.vault.list("points/"))) == 1


def test_an_undo_point_whose_journal_entry_was_lost_is_found_again(world: World) -> None:
    """The slot derives from the plan and the journalled fence."""
    item = world.item()
    work = RestoreWork("restore-1", item, None, world.vault)
    steps = {step.name: step for step in world.restorer.steps(work)}

    @dataclass
    class Context:
        clock: FakeClock
        outcomes: dict[str, Json]
        attempt: int = 1

        def outcome(self, step: str) -> Json:
            return self.outcomes[step]

        def progress(self, done: float, total: float | None, unit: str) -> None:
            """Nobody watches."""

    context = Context(world.clock, {})
    for name in ("survey", "fence"):
        context.outcomes[name] = steps[name].run(context)
    first, second = steps["undo-point"].run(context), steps["undo-point"].run(context)
    assert first["point"] == second["point"]


# --- undo


def undone(item: PlannedRestore, **outcomes: Json) -> PlannedRestore | None:
    names = {name.replace("_", "-"): data for name, data in outcomes.items()}
    found = Undone("restore-1", item, names)
    made = manifest(method="firestore-export")
    read = ReadPoint(manifest=made, ref=PointRef(made.name, 7, "a" * 64), summary=None)  # type: ignore[arg-type]
    return undo_item(
        found, lambda _name: read, lambda point, target: replace(planned(), target=target, method=point.method)
    )


SURVEYED: Json = {"living": True}


def test_the_undo_restores_the_undo_point_over_the_same_part() -> None:
    scoped = replace(planned(DATABASE), target=replace(OVER, scope=("tenant:t-1",), names={"database": "old-copy"}))
    tenant = replace(scoped, details={"tenant": "tenants/t-1"})
    found = undone(tenant, survey=SURVEYED, undo_point={"point": "points/x.json"}, prove={})
    assert found is not None
    assert found.point is not None
    assert found.point.generation == 7
    assert found.target.scope == ("tenant:t-1",)
    assert "database" not in found.target.names, "it gets a database of its own"
    assert found.target.named == ("secret:*", "newer")
    assert found.details[UNDO_OF] == "restore-1"


def test_a_cut_over_is_cut_back_and_one_that_was_backed_out_needs_nothing() -> None:
    whole = replace(planned(DATABASE), target=OVER, details={"database": NAME})
    found = undone(whole, survey=SURVEYED, undo_point={"point": "points/x.json"}, prove={})
    assert found is not None
    assert (found.method, found.point) == (CUT_BACK, None)
    assert undone(whole, survey=SURVEYED, back_out={"backed_out": True}) is None
    with pytest.raises(DrError, check=lambda error: error.kind is REJECTED):
        undone(replace(whole, method=CUT_BACK), survey=SURVEYED)


def test_where_only_the_fence_was_there_only_the_fence_is_taken_away(world: World) -> None:
    cluster = replace(planned(CLUSTER), target=Target(False, protected=CLUSTER.name))
    found = undone(cluster, survey=SURVEYED)
    assert found is not None
    assert found.details[ONLY_RELEASE]
    work = RestoreWork("restore-1-undo", replace(found, source=DATABASE, target=OVER), None, world.vault)
    assert [step.name for step in world.restorer.steps(work)] == ["unfence"]


def test_a_cluster_that_goes_back_alone_lets_the_writers_write() -> None:
    release = replace(planned(DATABASE), details={ONLY_RELEASE: True})
    cluster = planned(CLUSTER)
    assert without_needless([release, cluster]) == (cluster,)
    assert without_needless([release]) == (release,)


def test_the_undo_of_what_ended_in_the_middle_takes_no_undo_point(world: World) -> None:
    cluster = replace(planned(CLUSTER), target=Target(False, protected=CLUSTER.name))
    half = undone(cluster, survey=SURVEYED, undo_point={"point": "points/x.json"})
    assert half is not None
    assert half.details["no_undo_point"]
    whole = undone(cluster, survey=SURVEYED, undo_point={"point": "points/x.json"}, prove={})
    assert whole is not None
    assert "no_undo_point" not in whole.details


def test_the_outline_says_what_will_be_done_first(world: World) -> None:
    spec = SourceSpec(DATABASE, Place(), {})
    over = world.restorer.outline(spec, manifest(), T0, FailureDomain.LOGICAL, OVER)
    assert over.details["prepared"]
    assert "fenced first" in over.reasons
    beside = world.restorer.outline(spec, manifest(), T0, FailureDomain.LOGICAL, Target(True, prefix="drill-"))
    assert "prepared" not in beside.details
