"""A drill: restore into isolated targets by the code of a real restore, check, measure, tear down, report.

It never triggers a backup: it restores what the schedule made. It destroys nothing: it only declares the instant of the disaster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dr.errors import DAMAGED, NOT_FOUND, VERIFICATION_FAILED, DrError, ErrorKind
from dr.model.drills import Choice, DrillEnd, DrillEnding, DrillOrder
from dr.model.evidence import Drawn, DrillReport, DrillRow
from dr.model.forecast import Forecast
from dr.model.ids import SourceId
from dr.model.plans import PlannedRestore
from dr.model.points import Check
from dr.model.strategy import Strategy
from dr.model.timeline import compact_instant
from dr.ports import Clock, ObjectStore
from dr.record.codec import decode, encode
from dr.run.drillorder import order_body
from dr.run.drillplan import Asked, DrillPlanner, NotPlanned, Specs
from dr.run.looking import blind
from dr.run.measured import Measured, Witness, witness_at
from dr.run.planning import Planner, Predictions
from dr.run.restore import ItemResult, RestoreItem, RestoreRunner
from dr.run.restore import Restored as State
from dr.run.runner import retain
from dr.run.searching import searched
from dr.run.tripwire import apart, tripped
from dr.run.verdicts import ItemResult as Journalled
from dr.run.verdicts import judged_rows

BASE = "drills"
ENDED = "ended.json"
_BROKEN = (VERIFICATION_FAILED, DAMAGED)


@dataclass(frozen=True, slots=True)
class DrillResult:
    """The report, and the kinds of errors that ended its rows (for the exit code)."""

    report: DrillReport
    errors: tuple[ErrorKind, ...]
    unsealed: DrError | None = None
    """Why the report, which is kept, could not be sealed."""

    @property
    def damaged(self) -> bool:
        """Some recovery point is not what its manifest promises."""
        return any(kind in _BROKEN for kind in self.errors)


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of all that the drill restored, in one round or in several."""

    journals: tuple[Journalled, ...]
    unplanned: tuple[NotPlanned, ...]
    teardown: tuple[Check, ...]
    errors: tuple[ErrorKind, ...]


@dataclass(frozen=True, slots=True)
class DrillRunner:
    """`restores` applies plans over the journal of drills; `look` makes the scenario's own checks on a copy."""

    planner: Planner
    restores: RestoreRunner
    control: ObjectStore
    clock: Clock
    strategy: Strategy
    tool_version: str
    retention: timedelta
    look: Callable[[PlannedRestore], tuple[Check, ...]] = field(default=blind)
    forecast: Callable[[], tuple[Forecast, ...]] = field(default=tuple)
    """Asked when all is restored and torn down: with this drill's own times."""

    def run(
        self,
        order: DrillOrder,
        specs: Specs,
        witness: Witness,
        environment: Mapping[str, object],
        predictions: Predictions | None = None,
    ) -> DrillResult:
        """Whatever fails becomes a finding in the report. Raises DrError only when the drill itself could not be run or
        recorded; that too is recorded, as far as the store can be reached."""
        planner = DrillPlanner(self.planner, self.strategy, specs, predictions)
        order = replace(order, drawn=self._lots(order, planner))
        self._declare(order)
        try:
            return self._run(order, planner, witness, environment)
        except BaseException as error:
            with suppress(DrError):  # the first trouble is what the person must see
                keep_ending(self.control, ending_of(order, error, self.clock.now()))
            raise

    def _run(
        self, order: DrillOrder, planner: DrillPlanner, witness: Witness, environment: Mapping[str, object]
    ) -> DrillResult:
        restored = self._restore(order, planner, witness)
        rows = judged_rows(order, self.strategy, restored.journals, restored.unplanned)
        rows = tuple(self._beside(order, planner, row) for row in rows)
        report = self._report(order, rows, restored.teardown, environment)
        self._keep(report)
        return DrillResult(report, restored.errors)

    def _lots(self, order: DrillOrder, planner: DrillPlanner) -> tuple[Drawn, ...]:
        retention = {row.component: row.retention for row in self.strategy.objectives}
        return planner.lots(order, retention, order.declared.wall)

    def _declare(self, order: DrillOrder) -> None:
        """Targets and instants are committed before anything is restored: they cannot be bent to the result."""
        self.control.put(f"{BASE}/{order.id}/order.json", order_body(order, self.strategy))

    # --- restoring

    def _restore(self, order: DrillOrder, planner: DrillPlanner, witness: Witness) -> Restored:
        asked = planner.asked(order)
        if order.scenario.choice is Choice.CLEAN:
            return self._search(order, planner, witness, asked)
        results, unplanned = self._round(order, planner, witness, order.id, asked)
        teardown = tuple(check for result in results for check in torn_down(result))
        errors = tuple(result.error.kind for result in results if result.error)
        journals = tuple(journalled(result) for result in results)
        return Restored(journals, (*planner.uncaptured(order), *unplanned), teardown, errors)

    def _round(
        self, order: DrillOrder, planner: DrillPlanner, witness: Witness, plan_id: str, asked: Sequence[Asked]
    ) -> tuple[tuple[ItemResult, ...], tuple[NotPlanned, ...]]:
        made = planner.plan(plan_id, order.requested, asked, self.clock.now())
        items = [self._measured(order, item, witness) for item in made.items]
        results = self.restores.apply(made.plan, items).items if items else ()
        refuse_parked(results)
        return results, made.unplanned

    def _measured(self, order: DrillOrder, item: RestoreItem, witness: Witness) -> RestoreItem:
        disaster = order.disaster_of(str(item.planned.source), item.planned.domain)
        return replace(item, restorer=Measured(item.restorer, witness_at(witness, disaster), self.look))

    def _search(self, order: DrillOrder, planner: DrillPlanner, witness: Witness, asked: Sequence[Asked]) -> Restored:
        """The newest clean point of each source: copy after copy, never two at once."""
        teardown: list[Check] = []

        def go(number: int, wanted: Sequence[Asked]) -> tuple[Sequence[ItemResult], Sequence[NotPlanned]]:
            plan_id = order.id if number == 1 else f"{order.id}.{number}"
            results, unplanned = self._round(order, planner, witness, plan_id, wanted)
            teardown.extend(check for result in results for check in torn_down(result))
            return results, unplanned

        searches = searched([(one, planner.candidates(one)) for one in asked], go)
        ended = self.clock.stamp()
        answers = [(search, search.answer) for search in searches]
        journals = tuple(
            replace(journalled(answer), tried=tuple(search.log), ended=ended) for search, answer in answers if answer
        )
        missing = [
            NotPlanned(
                search.asked.key,
                str(search.asked.spec.id),
                "; ".join(tried.why for tried in search.log) or "there is no point to restore",
            )
            for search, answer in answers
            if answer is None
        ]
        errors = tuple(answer.error.kind for _, answer in answers if answer and answer.error)
        return Restored(journals, (*planner.uncaptured(order), *missing), tuple(teardown), errors)

    # --- reporting

    def _beside(self, order: DrillOrder, planner: DrillPlanner, row: DrillRow) -> DrillRow:
        """What stands beside the measured figures: who witnessed, what was asked for, the worst RPO of all that time."""
        if not row.rto.steps or not row.source:
            return row
        witness = order.witness if row.rpo.bound_s is None else "none: by the restored instant"
        requested = order.requested_of(row.source, row.domain)
        worst = planner.worst(SourceId.parse(row.source), row.domain, order.disaster_at)
        return replace(row, rpo=replace(row.rpo, witness=witness), requested=requested, worst=worst)

    def _report(
        self,
        order: DrillOrder,
        rows: tuple[DrillRow, ...],
        teardown: tuple[Check, ...],
        environment: Mapping[str, object],
    ) -> DrillReport:
        tripwire, torn = apart(teardown)
        return DrillReport(
            id=order.id,
            scenario=order.scenario.name,
            scope=order.scope,
            requested=order.requested,
            disaster_at=order.disaster_at,
            declared_at=order.declared.wall,
            ended_at=self.clock.now(),
            strategy_sha256=self.strategy.sha256,
            tool_version=self.tool_version,
            rows=rows,
            teardown=torn,
            tripwire=tripwire,
            environment=dict(environment) | {"why": order.scenario.why, "scenario_sha256": order.scenario.sha256},
            by=order.by,
            drawn=order.drawn,
            forecasts=self._forecasts(),
        )

    def _forecasts(self) -> tuple[Forecast, ...]:
        """What was measured is reported also when older times cannot be read; `dr drill forecast` says why."""
        try:
            return self.forecast()
        except DrError:
            return ()

    def _keep(self, report: DrillReport) -> None:
        """Evidence is locked like a point."""
        info = self.control.put(f"{BASE}/{report.id}/report.json", encode(report))
        retain(self.control, info.name, info.generation, report.ended_at + self.retention)


def drill_id(scenario: str, at: datetime, nonce: str) -> str:
    """`quarterly-20250528T100000Z-3f2a`: one path element, order of names within a scenario is order of time."""
    return f"{scenario}-{compact_instant(at.replace(microsecond=0))}-{nonce}"


def journalled(result: ItemResult) -> Journalled:
    """The item as its journal has it, with the restorer's own step names."""
    return Journalled(result.item.planned, result.own_steps, result.error.message if result.error else "")


def torn_down(result: ItemResult) -> tuple[Check, ...]:
    """The tripwire, then delete what this drill created; what could not be deleted is a failed check, never an exception that
    hides the report."""
    looked = tripped(result)
    try:
        return (*looked, *result.item.restorer.teardown(result.work, result.outcomes))
    except DrError as error:
        return (
            *looked,
            Check(f"teardown of {result.item.key}", False, error.message),
        )


def refuse_parked(results: Sequence[ItemResult]) -> None:
    """A drill that a person stopped measured nothing. What it made goes first; raises KeyboardInterrupt."""
    if any(result.restored is State.PARKED for result in results):
        for result in results:
            torn_down(result)
        raise KeyboardInterrupt


def ending_of(order: DrillOrder, error: BaseException, at: datetime) -> DrillEnding:
    """A drill that was declared and leaves no report says why, and who had ordered it."""
    words = error.message if isinstance(error, DrError) else type(error).__name__
    reason = "stopped by a person" if isinstance(error, KeyboardInterrupt) else words
    return DrillEnding(order.id, order.scenario.name, DrillEnd.ABORTED, at, order.by, reason)


def keep_ending(control: ObjectStore, ending: DrillEnding) -> None:
    """Create-only, beside the order. Raises DrError."""
    control.put(f"{BASE}/{ending.id}/{ENDED}", encode(ending))


def list_drills(control: ObjectStore) -> tuple[str, ...]:
    """Ids of all drills that left a report, oldest first within a scenario."""
    names = (info.name.split("/") for info in control.list(f"{BASE}/"))
    return tuple(parts[1] for parts in names if len(parts) == 3 and parts[2] == "report.json")


def load_report(control: ObjectStore, drill: str) -> DrillReport:
    """Raises DrError NOT_FOUND, DAMAGED, NEWER_FORMAT."""
    name = f"{BASE}/{drill}/report.json"
    if control.stat(name) is None:
        raise DrError(NOT_FOUND, f"there is no report of a drill {drill!r}", hint="`dr drill list` lists them")
    return decode(control.get(name), DrillReport, f"{control.url}/{name}")
