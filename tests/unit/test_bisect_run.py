"""A search restores, asks, removes; it goes on where it died, and stops when its check does not work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from dr.errors import OVER_BUDGET, REJECTED, RESTORE_FAILED, UNREACHABLE, DrError
from dr.model.bisecting import Answer, BisectOrder, Finding
from dr.model.plans import PlannedRestore, RestorePlan, Target
from dr.model.points import Check, Coverage, PointManifest
from dr.model.strategy import FailureDomain, Place, SourceSpec
from dr.ports import Json, ObjectInfo, ObjectStore, RestoreWork, Step, StepContext
from dr.record.codec import encode
from dr.record.journal import Journal
from dr.run.bisect import BisectRunner, CheckRun
from dr.run.engine import Engine, Parked, Retry
from dr.run.planning import Planner
from dr.run.restore import RestoreRunner
from dr.stores.memory import MemoryStore
from tests.unit.fakes import DATABASE, T0, FakeClock, artefact, manifest

SPEC = SourceSpec(DATABASE, Place())


class Died(BaseException):
    """kill -9, as far as this process can play it: from then on it reaches nothing."""


@dataclass
class Dying:
    """A store whose process dies before or after a write."""

    inner: MemoryStore
    at: int
    after: bool
    writes: int = 0
    dead: bool = False

    def __getattr__(self, name: str) -> object:
        if self.dead:
            raise Died
        return getattr(self.inner, name)

    def put(self, name: str, data: bytes, **more: Any) -> ObjectInfo:
        if self.dead:
            raise Died
        number, self.writes = self.writes, self.writes + 1
        self.dead = number == self.at
        if self.dead and not self.after:
            raise Died
        info = self.inner.put(name, data, **more)
        if self.dead:
            raise Died
        return info


@dataclass
class World:
    """Points five minutes apart, a target that copies come into, and a check that knows from when on all is bad."""

    count: int = 16
    bad_from: int = 9
    dumb: Sequence[int] = ()
    clock: FakeClock = field(default_factory=lambda: FakeClock(T0 + timedelta(days=1)))
    control: MemoryStore = field(default_factory=lambda: MemoryStore("control"))
    vault: MemoryStore = field(default_factory=lambda: MemoryStore("vault"))
    copies: dict[str, datetime] = field(default_factory=dict)
    made: list[datetime] = field(default_factory=list)
    asked: list[datetime] = field(default_factory=list)
    broken: dict[datetime, DrError] = field(default_factory=dict)
    code: int | None = None
    stop: bool = False
    asking: BaseException | None = None

    def __post_init__(self) -> None:
        for at in self.instants:
            one = manifest(DATABASE, at, artefacts=(artefact(),))
            self.vault.put(one.name, encode(one))

    @property
    def instants(self) -> tuple[datetime, ...]:
        return tuple(T0 + timedelta(minutes=5 * number) for number in range(self.count))

    def order(self, **changes: object) -> BisectOrder:
        base = BisectOrder(
            "bisect-1",
            "check",
            ("appdata",),
            FailureDomain.SOURCE,
            self.instants,
            T0,
            "me",
            "sha",
            timedelta(minutes=1),
        )
        return replace(base, **changes)  # type: ignore[arg-type]

    def runner(self, control: ObjectStore | None = None) -> BisectRunner:
        """Of a new process."""
        place = control or self.control
        journal = Journal(place, self.clock, "bisects", continues=True, dead=lambda _owner, _boot: True)
        engine = Engine(self.clock, retry=Retry(attempts=1), renew_every=None)
        restores = RestoreRunner(journal, self.clock, engine, stop=lambda: self.stop)
        planner = Planner(lambda _: self.vault, _no_source, {"fake": Copier(self)}, "sha")
        return BisectRunner(planner, restores, engine, place, self.clock, self.ask)

    def ask(self, _order: BisectOrder, number: int, items: Sequence[PlannedRestore]) -> CheckRun:
        (item,) = items
        if self.asking:
            raise self.asking
        at = self.copies[item.target.prefix]
        self.asked.append(at)
        assert list(self.copies) == [item.target.prefix], "one copy at a time"
        index = self.instants.index(at)
        if self.code is not None:
            return CheckRun(self.code, "no such file")
        return CheckRun(125 if index in self.dumb else int(index >= self.bad_from), f"looked at {index}")


def _no_source(_spec: SourceSpec) -> object:
    raise AssertionError("the living source is not asked")


@dataclass
class Copier:
    """A restorer that copies into the world."""

    world: World
    method: str = "fake"

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: datetime,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        assert isinstance(origin, PointManifest)
        assert target.isolated
        return PlannedRestore(spec.id, domain, "fake", None, origin.as_of, target, 3, None, 0.5, (), ())

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        def copy(_context: StepContext) -> Json:
            if work.item.instant in self.world.broken:
                raise self.world.broken[work.item.instant]
            self.world.clock.advance(3)
            self.world.copies[work.item.target.prefix] = work.item.instant
            self.world.made.append(work.item.instant)
            return {"at": work.item.target.prefix}

        return (Step("copy", copy),)

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        gone = self.world.copies.pop(work.item.target.prefix, None)
        return (Check("copy", True, "deleted" if gone else "was not there"),)


def test_the_last_clean_point_is_found_and_nothing_is_left() -> None:
    world = World()
    found = world.runner().run(world.order(), [SPEC])
    assert found.good
    assert (found.last_clean, found.first_bad) == (world.instants[8], world.instants[9])
    assert len(found.guesses) <= 6
    assert world.asked[:2] == [world.instants[15], world.instants[0]]
    assert world.copies == {}
    assert all(check.passed for check in found.teardown)
    first = found.guesses[0]
    assert (first.answer, first.exit_code, first.tail, first.restore_s) == (Answer.BAD, 1, "looked at 15", 3.0)
    assert first.points[0].startswith("points/")
    assert len(first.sha256) == 64


def test_a_finished_search_tells_the_same_again_and_restores_nothing() -> None:
    world = World()
    found = world.runner().run(world.order(), [SPEC])
    made = list(world.made)
    assert world.runner().run(world.order(), [SPEC]) == found
    assert world.made == made


def test_it_goes_on_wherever_it_died_and_asks_nothing_twice() -> None:
    """Killed before and after every write of its journal: the same answer, no copy left, no answered point asked again."""
    whole = World()
    wanted = whole.runner().run(whole.order(), [SPEC])
    writes = [info.name for info in whole.control.list("bisects/")]
    assert len(writes) > 30
    for index in range(2 * len(writes)):
        world = World()
        with pytest.raises(Died):
            world.runner(cast(ObjectStore, Dying(world.control, index // 2, after=bool(index % 2)))).run(
                world.order(), [SPEC]
            )
        found = world.runner().run(world.order(), [SPEC])
        assert (found.last_clean, found.first_bad) == (wanted.last_clean, wanted.first_bad), writes[index // 2]
        assert [guess.candidate for guess in found.guesses] == [guess.candidate for guess in wanted.guesses]
        assert world.copies == {}, writes[index // 2]
        assert len(world.asked) <= len(wanted.guesses) + 1, "only the check that was under way is run again"


def test_ends_that_do_not_fit_are_said() -> None:
    clean = World(bad_from=99)
    found = clean.runner().run(clean.order(), [SPEC])
    assert (found.finding, found.last_clean, len(clean.asked)) == (Finding.NOTHING_BAD, clean.instants[-1], 1)
    bad = World(bad_from=0)
    found = bad.runner().run(bad.order(), [SPEC])
    assert (found.finding, found.last_clean, len(bad.asked)) == (Finding.NOTHING_CLEAN, None, 2)
    assert bad.copies == {}


def test_what_cannot_be_told_is_gone_around_and_counted() -> None:
    world = World(dumb=(7, 8))
    found = world.runner().run(world.order(), [SPEC])
    assert (found.last_clean, found.first_bad, found.untold) == (world.instants[6], world.instants[9], 2)


def test_a_point_that_cannot_be_restored_cannot_be_told() -> None:
    world = World()
    world.broken[world.instants[8]] = DrError(RESTORE_FAILED, "the import was refused")
    found = world.runner().run(world.order(), [SPEC])
    assert found.last_clean == world.instants[7]
    (guess,) = [guess for guess in found.guesses if guess.candidate == world.instants[8]]
    assert (guess.answer, guess.exit_code, guess.why) == (Answer.UNKNOWN, None, "not restored: the import was refused")


def test_a_point_that_is_gone_by_then_is_not_taken_for_another() -> None:
    world = World()
    order = world.order(candidates=(*world.instants[:-1], world.instants[-1] + timedelta(seconds=1)))
    found = world.runner().run(order, [SPEC])
    assert "the point is gone" in found.guesses[0].why
    assert found.last_clean == world.instants[8]


def test_a_store_that_is_away_stops_the_search_which_goes_on_later() -> None:
    world = World()
    world.broken[world.instants[0]] = DrError(UNREACHABLE, "no route")
    with pytest.raises(DrError, match="no route"):
        world.runner().run(world.order(), [SPEC])
    world.broken.clear()
    assert world.runner().run(world.order(), [SPEC]).good
    assert world.asked.count(world.instants[15]) == 1


def test_a_check_that_does_not_work_is_no_answer() -> None:
    """Its copy is removed; with the check mended the same point is asked again."""
    world = World(code=127)
    with pytest.raises(DrError, match="exit code 127") as caught:
        world.runner().run(world.order(), [SPEC])
    assert caught.value.kind is REJECTED
    assert "no such file" in caught.value.hint
    assert world.copies == {}
    world.code = None
    found = world.runner().run(world.order(), [SPEC])
    assert found.last_clean == world.instants[8]
    assert found.guesses[0].answer is Answer.BROKEN


def test_a_copy_that_was_reaped_meanwhile_is_made_again() -> None:
    """The journal says that it is restored, and nothing is there: the check must not be asked about nothing."""
    world = World()
    world.asking = Died()
    with pytest.raises(Died):
        world.runner().run(world.order(), [SPEC])
    world.asking = None
    world.copies.clear()
    world.control.put("bisects/bisect-1-001/reaped.json", b"{}")
    found = world.runner().run(world.order(), [SPEC])
    assert found.good
    assert [guess.answer for guess in found.guesses[:2]] == [Answer.BROKEN, Answer.BAD]
    assert found.guesses[0].candidate == found.guesses[1].candidate == world.instants[15]


def test_a_stop_parks_and_is_resumed() -> None:
    world = World(stop=True)
    with pytest.raises(Parked):
        world.runner().run(world.order(), [SPEC])
    world.stop = False
    assert world.runner().run(world.order(), [SPEC]).good


def test_the_whole_search_must_be_within_its_budget() -> None:
    """Six copies at half a dollar."""
    world = World()
    with pytest.raises(DrError) as caught:
        world.runner().run(world.order(max_cost_usd=2.9), [SPEC])
    assert caught.value.kind is OVER_BUDGET
    assert world.made == []
    assert World().runner().run(World().order(max_cost_usd=3.0), [SPEC]).good


def test_a_copy_that_is_left_behind_fails_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """I9."""
    world = World()
    runner = world.runner()
    left = lambda _self, _work, _outcomes: (Check("copy", False, "left alone"),)  # noqa: E731
    monkeypatch.setattr(Copier, "teardown", left)
    runner.ask.__self__.copies = _Forgetful()  # type: ignore[attr-defined]
    found = runner.run(world.order(), [SPEC])
    assert found.finding is Finding.FOUND
    assert not found.good


class _Forgetful(dict[str, datetime]):
    """Shows only the newest copy, as the check's assertion wants it."""

    def __setitem__(self, key: str, value: datetime) -> None:
        self.clear()
        super().__setitem__(key, value)


def test_plans_of_guesses_are_isolated() -> None:
    world = World()
    world.runner().run(world.order(), [SPEC])
    from dr.record.codec import decode

    names = [info.name for info in world.control.list("bisects/") if info.name.endswith("plan.json")]
    plans = [decode(world.control.get(name), RestorePlan, name) for name in names]
    assert len(plans) >= 4
    assert all(
        item.target.isolated and item.target.prefix.startswith("drill-") for plan in plans for item in plan.items
    )
    assert len({item.target.prefix for plan in plans for item in plan.items}) == len(plans)
