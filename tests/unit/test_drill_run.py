"""A drill's own course over real points in memory: checks of a scenario's own, old instants by lot, the newest clean point, and
drills that come to no end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from dr.errors import UNREACHABLE, DrError
from dr.model.drills import Ask, Choice, DrillEnd, DrillOrder, RowKey, Scenario, UserCheck
from dr.model.evidence import DrillReport, DrillRow, Verdict
from dr.model.plans import PlannedRestore, Target
from dr.model.points import Check, Coverage, PointManifest
from dr.model.strategy import FailureDomain, Frequency, Objective, Place, SourceSpec, Strategy
from dr.ports import Json, ObjectInfo, RestoredItem, RestoreWork, Step, StepContext
from dr.record.codec import decode, encode
from dr.record.journal import Journal
from dr.report.drill_html import drill_html
from dr.report.drill_json import drill_json, read_drill_json
from dr.report.tables import drill_notes
from dr.run.drill import DrillRunner, drill_id, list_drills, load_report
from dr.run.drillends import DIED, LONGEST, read_endings
from dr.run.engine import Engine, Retry
from dr.run.looking import Copy, Eyes, Looker
from dr.run.measured import LivingSource, RecordWitness
from dr.run.planning import Planner
from dr.run.restore import RestoreRunner
from dr.stores.memory import MemoryStore
from tests.unit.fakes import ALL_DOMAINS, DATABASE, T0, FakeClock, manifest

SOURCE = FailureDomain.SOURCE
KEY = RowKey("appdata", SOURCE)
HOUR = timedelta(hours=1)
SPEC = SourceSpec(DATABASE, Place())
STRATEGY = Strategy(
    "test",
    (Objective("appdata", Frequency.DAILY, 90 * 24 * HOUR, HOUR, 2 * HOUR, ALL_DOMAINS, (SPEC,)),),
)
CHECK = UserCheck(
    "jobs can be read", "appdata", Ask.COMMAND, {"run": ["look", "{prefix}"]}, {"exit": 0, "output": "fine"}
)


@dataclass
class World:
    """Twelve points an hour apart; the newest `bad` of them hold what nobody can read."""

    bad: int = 0
    clock: FakeClock = field(default_factory=lambda: FakeClock(T0 + 12 * HOUR))
    control: MemoryStore = field(default_factory=lambda: MemoryStore("control"))
    vault: MemoryStore = field(default_factory=lambda: MemoryStore("vault"))
    copies: dict[str, datetime] = field(default_factory=dict)
    made: list[datetime] = field(default_factory=list)
    trouble: BaseException | None = None
    stop: bool = False

    def __post_init__(self) -> None:
        for at in self.instants:
            one = manifest(DATABASE, at)
            self.vault.put(one.name, encode(one))

    @property
    def instants(self) -> tuple[datetime, ...]:
        return tuple(T0 + number * HOUR for number in range(12))

    def order(self, scenario: Scenario, **changes: object) -> DrillOrder:
        now = self.clock.now()
        stamp = self.clock.stamp()
        base = DrillOrder(
            drill_id(scenario.name, now, "aa"), scenario, "lab", now, now, stamp, "living source", by="me"
        )
        return replace(base, **changes)  # type: ignore[arg-type]

    def runner(self, scenario: Scenario) -> DrillRunner:
        journal = Journal(self.control, self.clock, "drills", continues=True)
        engine = Engine(self.clock, retry=Retry(attempts=1), renew_every=None)
        restores = RestoreRunner(journal, self.clock, engine, lambda: self.stop)
        planner = Planner(lambda _: self.vault, _never, {"fake": Copier(self)}, STRATEGY.sha256)
        eyes = Eyes(self.look, _never, _never, _never, lambda item: Copy(item, lambda name: name))
        look = Looker(scenario.checks, eyes).look
        return DrillRunner(planner, restores, self.control, self.clock, STRATEGY, "0", 24 * HOUR, look)

    def run(
        self, scenario: Scenario, witness: RecordWitness | LivingSource | None = None, **changes: object
    ) -> DrillReport:
        order = self.order(scenario, **changes)
        found = self.runner(scenario).run(order, {"appdata": [SPEC]}, witness or self.witness(), {})
        assert load_report(self.control, order.id) == found.report
        assert not self.copies, "every copy was taken away"
        return found.report

    def witness(self) -> RecordWitness:
        from dr.model.evidence import AcknowledgedWrite

        return RecordWitness(lambda _: [AcknowledgedWrite(T0, str(DATABASE), "a", 1, "f" * 64)], self.clock.now())

    def look(self, argv: Sequence[str], copy: Mapping[str, str], seconds: float) -> tuple[int, str]:
        """The command of the check."""
        self.clock.advance(5)
        assert argv[1] == copy["DR_PREFIX"]
        assert len(self.copies) == 1, "one copy at a time"
        bad = self.copies[copy["DR_PREFIX"]] > self.instants[-1] - self.bad * HOUR
        return (0, "garbled") if bad else (0, "all is fine")


def _never(*_: object, **__: object) -> Any:
    raise AssertionError("nobody asks for this")


@dataclass
class Copier:
    """Copies take a minute."""

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
        return PlannedRestore(spec.id, domain, "fake", None, origin.as_of, target, 3, None, 0.0, ("a copy",), ())

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        return (Step("create", lambda context: self.create(work, context)),)

    def create(self, work: RestoreWork, _context: StepContext) -> Json:
        if self.world.trouble:
            raise self.world.trouble
        assert work.item.target.prefix not in self.world.copies
        self.world.clock.advance(60)
        self.world.copies[work.item.target.prefix] = work.item.instant
        self.world.made.append(work.item.instant)
        return {}

    def contents(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> Iterator[RestoredItem]:
        return iter([RestoredItem("a", "f" * 64)])

    def checks(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return (Check("count", True, "1 of 1"),)

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        self.world.copies.pop(work.item.target.prefix, None)
        return (Check("copy", True, "gone"),)


def row_of(report: DrillReport) -> DrillRow:
    (row,) = [row for row in report.rows if row.verdict is not Verdict.NOT_DRILLED]
    return row


# --- checks of a user's own, and the clocks


def test_a_check_that_passes_is_one_of_the_rows_checks() -> None:
    row = row_of(World().run(Scenario("s", "why", (KEY,), (CHECK,))))
    assert row.verdict is Verdict.MET
    assert [check.name for check in row.checks] == ["count", "jobs can be read", "contents against the witness"]


def test_a_check_that_fails_fails_its_row_and_is_named() -> None:
    row = row_of(World(bad=1).run(Scenario("s", "why", (KEY,), (CHECK,))))
    assert row.verdict is Verdict.FAILED
    assert row.findings == ("jobs can be read: command: exit 0, and nothing like 'fine': garbled",)


def test_the_four_clocks_add_up() -> None:
    world = World()
    disaster = world.clock.now() - timedelta(minutes=10)
    order = world.order(Scenario("s", "why", (KEY,), (CHECK,)), disaster_at=disaster)
    world.clock.advance(7)  # deciding what to restore
    found = world.runner(order.scenario).run(order, {"appdata": [SPEC]}, world.witness(), {})
    recovery = row_of(found.report).rto
    assert recovery.clocks
    assert recovery.clocks.detect_s == 600
    assert (recovery.clocks.decide_s, recovery.clocks.restore_s, recovery.clocks.verify_s) == (7, 60, 5)
    assert recovery.measured_s == 72


def test_what_was_asked_for_and_the_worst_rpo_stand_beside_what_was_measured() -> None:
    world = World()
    row = row_of(world.run(Scenario("s", "why", (KEY,))))
    assert row.requested == T0 + 12 * HOUR
    assert row.instant == T0 + 11 * HOUR
    assert row.worst
    assert row.worst.points == 12
    assert row.worst.seconds == 3600 + 5, "the next point was committed five seconds after its data"


# --- old points


def test_an_instant_by_lot_is_committed_before_the_restore_and_restored() -> None:
    world = World()
    report = world.run(Scenario("s", "why", (KEY,), choice=Choice.RANDOM, seed="7"))
    (drawn,), row = report.drawn, row_of(report)
    assert drawn.seed == "7"
    assert row.requested == drawn.requested
    assert row.instant == max(at for at in world.instants if at <= drawn.requested)
    assert b'"seed":"7"' in world.control.get(f"drills/{report.id}/order.json")
    again = World().run(Scenario("s", "why", (KEY,), choice=Choice.RANDOM, seed="7"))
    assert row_of(again).instant == row.instant


def test_without_a_witness_an_old_point_is_judged_by_its_instant() -> None:
    world = World()
    blind = LivingSource({}, world.clock.now())
    row = row_of(world.run(Scenario("s", "why", (KEY,), choice=Choice.RANDOM, seed="7"), blind))
    assert row.rpo.bound_s == (row.requested - row.instant).total_seconds()  # type: ignore[operator]
    assert row.rpo.witness == "none: by the restored instant"
    assert row.verdict is Verdict.MET


def test_an_old_instant_that_lies_too_far_behind_its_point_is_a_miss() -> None:
    world = World()
    for at in world.instants[3:10]:
        name = manifest(DATABASE, at).name
        info = world.vault.stat(name)
        assert isinstance(info, ObjectInfo)
        world.vault.delete(name, generation=info.generation)
    blind = LivingSource({}, world.clock.now())
    rows = [
        row_of(world.run(Scenario(f"s{seed}", "why", (KEY,), choice=Choice.RANDOM, seed=str(seed)), blind))
        for seed in range(12)
    ]
    far = [row for row in rows if row.rpo.bound_s and row.rpo.bound_s >= 7200]
    assert far
    assert {row.verdict for row in far} == {Verdict.MISSED}
    assert all("before the requested instant, the target is < 2h" in row.findings[0] for row in far)


# --- the newest clean point


CLEAN = Scenario("ransomware", "why", (KEY,), (CHECK,), choice=Choice.CLEAN)


@pytest.mark.parametrize("bad", [0, 1, 2, 5, 11])
def test_the_newest_clean_point_is_found_and_every_bad_one_tried_is_shown_to_fail(bad: int) -> None:
    world = World(bad=bad)
    report = world.run(CLEAN)
    row = row_of(report)
    assert row.instant == world.instants[11 - bad]
    assert [one.clean for one in row.tried if one.instant > row.instant] == [False] * sum(
        one.instant > row.instant for one in row.tried
    )
    assert world.made == [one.instant for one in row.tried]
    if bad:
        assert row.tried[0].instant == world.instants[11], "the newest is restored too"
        assert "jobs can be read" in row.tried[0].why
    assert len(report.teardown) == len(row.tried)
    assert all(check.passed for check in row.checks)


def test_the_search_is_part_of_the_recovery_and_of_deciding() -> None:
    row = row_of(World(bad=2).run(CLEAN))
    assert row.rto.clocks
    assert row.rto.measured_s == 65 * len(row.tried)
    assert (row.rto.clocks.restore_s, row.rto.clocks.verify_s) == (60, 5)
    assert row.rto.clocks.decide_s == 65 * (len(row.tried) - 1)


def test_when_no_point_is_clean_the_row_fails_and_says_why() -> None:
    row = row_of(World(bad=12).run(CLEAN))
    assert row.verdict is Verdict.FAILED
    assert "jobs can be read" in row.findings[0]
    assert not any(one.clean for one in row.tried)


# --- told


@pytest.mark.parametrize("choice", [Choice.CLEAN, Choice.RANDOM])
def test_all_of_it_is_told_and_reads_back(choice: Choice) -> None:
    world = World(bad=2)
    scenario = replace(CLEAN, choice=choice, seed="7", checks=CLEAN.checks if choice is Choice.CLEAN else ())
    witness = LivingSource({}, world.clock.now()) if choice is Choice.RANDOM else None
    report = world.run(scenario, witness)
    assert read_drill_json(drill_json(report)) == report
    assert decode(encode(report), DrillReport, "x") == report
    told = "\n".join(drill_notes(report, wide=True))
    assert "decide" in told
    assert "worst RPO" in told
    assert "by lot (seed 7)" in told if choice is Choice.RANDOM else "is not to be used: jobs can be read" in told
    page = drill_html(report)
    assert "Where the time went" in page
    assert "at any instant since" in page


# --- drills that come to no end


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [(KeyboardInterrupt(), "stopped by a person"), (RuntimeError("x"), "RuntimeError")],
)
def test_a_drill_that_is_stopped_is_on_record_with_reason_and_by_whom(trouble: BaseException, reason: str) -> None:
    world = World(trouble=trouble)
    with pytest.raises(type(trouble)):
        world.run(Scenario("quarterly", "why", (KEY,)))
    (ending,) = read_endings(world.control, world.clock.now())
    assert (ending.scenario, ending.how, ending.reason, ending.by) == ("quarterly", DrillEnd.ABORTED, reason, "me")
    assert list_drills(world.control) == ()


def test_a_drill_that_is_asked_to_stop_measures_nothing_and_leaves_no_copy() -> None:
    world = World(stop=True)
    with pytest.raises(KeyboardInterrupt):
        world.run(Scenario("nightly-appdata", "why", (KEY,)))
    (ending,) = read_endings(world.control, world.clock.now())
    assert (ending.how, ending.reason) == (DrillEnd.ABORTED, "stopped by a person")
    assert not world.copies


def test_a_restore_that_fails_is_a_failed_drill_with_a_report() -> None:
    world = World(trouble=DrError(UNREACHABLE, "no route"))
    row = row_of(world.run(Scenario("s", "why", (KEY,))))
    assert row.verdict is Verdict.FAILED
    assert not list(read_endings(world.control, world.clock.now()))


def test_a_drill_whose_process_died_is_on_record_once_it_must_be_dead() -> None:
    world = World()
    scenario = Scenario("nightly-appdata", "why", (KEY,))
    world.control.put(f"drills/{world.order(scenario).id}/order.json", b"{}")
    created = next(iter(world.control.list("drills/"))).created
    assert not list(read_endings(world.control, created + HOUR))
    (ending,) = read_endings(world.control, created + LONGEST + HOUR)
    assert (ending.scenario, ending.reason, ending.at) == ("nightly-appdata", DIED, world.clock.now())


def test_an_ending_is_read_as_it_was_written() -> None:
    world = World(trouble=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        world.run(Scenario("s", "why", (KEY,)))
    (ending,) = read_endings(world.control, world.clock.now())
    assert decode(encode(ending), type(ending), "x") == ending
