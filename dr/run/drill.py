"""A drill: restore into isolated targets by the code of a real restore, check, measure, tear down, report.

It never triggers a backup: it restores what the schedule made. It destroys nothing: it only declares the instant of the disaster.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dr.errors import DAMAGED, NOT_FOUND, VERIFICATION_FAILED, DrError, ErrorKind
from dr.model.drills import DrillOrder, RowKey
from dr.model.evidence import DrillReport, DrillRow
from dr.model.plans import RestorePlan, Target
from dr.model.points import Check
from dr.model.strategy import FailureDomain, SourceSpec, Strategy
from dr.model.timeline import compact_instant, format_instant
from dr.ports import Clock, ObjectStore
from dr.record.codec import decode, dump, encode
from dr.run.measured import Measured, Witness
from dr.run.planning import Planner, Predictions, Want
from dr.run.restore import ItemResult, RestoreItem, RestoreRunner
from dr.run.runner import retain
from dr.run.verdicts import ItemResult as Journalled
from dr.run.verdicts import NotPlanned, gap_reason, judged_rows

BASE = "drills"
_BROKEN = (VERIFICATION_FAILED, DAMAGED)


@dataclass(frozen=True, slots=True)
class DrillResult:
    """The report, and the kinds of errors that ended its rows (for the exit code)."""

    report: DrillReport
    errors: tuple[ErrorKind, ...]

    @property
    def damaged(self) -> bool:
        """Some recovery point is not what its manifest promises."""
        return any(kind in _BROKEN for kind in self.errors)


@dataclass(frozen=True, slots=True)
class DrillRunner:
    """`restores` applies plans over the journal of drills."""

    planner: Planner
    restores: RestoreRunner
    control: ObjectStore
    clock: Clock
    strategy: Strategy
    tool_version: str
    retention: timedelta

    def run(
        self,
        order: DrillOrder,
        specs: Mapping[str, Sequence[SourceSpec]],
        witness: Witness,
        environment: Mapping[str, object],
        predictions: Predictions | None = None,
    ) -> DrillResult:
        """Whatever fails becomes a finding in the report. Raises DrError only when the drill itself could not be run or recorded."""
        self._declare(order)
        plan, items, unplanned = self._plan(order, specs, predictions)
        results = self._apply(plan, [replace(item, restorer=Measured(item.restorer, witness)) for item in items])
        rows = judged_rows(order, self.strategy, [journalled(result) for result in results], unplanned)
        teardown = tuple(check for result in results for check in torn_down(result))
        report = self._report(order, rows, teardown, environment)
        self._keep(report)
        return DrillResult(report, tuple(result.error.kind for result in results if result.error))

    def _apply(self, plan: RestorePlan, items: Sequence[RestoreItem]) -> tuple[ItemResult, ...]:
        return self.restores.apply(plan, items).items if items else ()

    def _declare(self, order: DrillOrder) -> None:
        """Targets and instants are committed before anything is restored: they cannot be bent to the result."""
        rows = [
            {"component": key.component, "domain": str(key.domain), **self._targets(key)} for key in order.scenario.rows
        ]
        body: dict[str, object] = {
            "format": 1,
            "kind": "drill-order",
            "id": order.id,
            "scenario": order.scenario.name,
            "why": order.scenario.why,
            "scope": order.scope,
            "requested": format_instant(order.requested),
            "disaster_at": format_instant(order.disaster_at),
            "declared_at": format_instant(order.declared.wall),
            "strategy_sha256": self.strategy.sha256,
            "witness": order.witness,
            "declared": [{"name": step.name, "seconds": step.took.total_seconds()} for step in order.steps],
            "rows": rows,
        }
        self.control.put(f"{BASE}/{order.id}/order.json", dump(body))

    def _targets(self, key: RowKey) -> Mapping[str, float]:
        row = self.strategy.objective(key.component)
        return {"rto_s": row.rto.total_seconds(), "rpo_s": row.rpo.total_seconds()} if row else {}

    def _plan(
        self, order: DrillOrder, specs: Mapping[str, Sequence[SourceSpec]], predictions: Predictions | None
    ) -> tuple[RestorePlan, tuple[RestoreItem, ...], list[NotPlanned]]:
        """Each row by itself: what cannot be planned fails its own row and no other."""
        plans: list[RestorePlan] = []
        unplanned: list[NotPlanned] = []
        planner, now = self.planner.listing_once(), self.clock.now()
        for key in order.scenario.rows:
            mine = specs.get(key.component, ())
            if not mine:
                unplanned.append(
                    NotPlanned(key, key.component, f"{key.component} is not captured yet: there is nothing to restore")
                )
            for spec in mine:
                want = Want(spec, key.domain, Target(isolated=True, prefix=prefix_of(order.id, key.domain)))
                try:
                    plan = planner.plan(order.id, order.requested, [want], now, predictions=predictions)
                except DrError as error:
                    unplanned.append(NotPlanned(key, str(spec.id), error.message))
                    continue
                plans.append(plan)
                unplanned += [NotPlanned(key, str(spec.id), gap_reason(gap)) for gap in plan.gaps]
        whole = RestorePlan(
            order.id, order.requested, now, self.strategy.sha256, tuple(item for plan in plans for item in plan.items)
        )
        return whole, self.planner.items(whole), unplanned

    def _report(
        self,
        order: DrillOrder,
        rows: tuple[DrillRow, ...],
        teardown: tuple[Check, ...],
        environment: Mapping[str, object],
    ) -> DrillReport:
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
            rows=tuple(
                replace(row, rpo=replace(row.rpo, witness=order.witness)) if row.rto.steps else row for row in rows
            ),
            teardown=teardown,
            environment=dict(environment) | {"why": order.scenario.why},
        )

    def _keep(self, report: DrillReport) -> None:
        """Evidence is locked like a point."""
        info = self.control.put(f"{BASE}/{report.id}/report.json", encode(report))
        retain(self.control, info.name, info.generation, report.ended_at + self.retention)


def drill_id(scenario: str, at: datetime, nonce: str) -> str:
    """`quarterly-20250528T100000Z-3f2a`: one path element, order of names within a scenario is order of time."""
    return f"{scenario}-{compact_instant(at.replace(microsecond=0))}-{nonce}"


def prefix_of(drill: str, domain: FailureDomain) -> str:
    """Of everything that a drill creates for one domain: short, because names of resources are."""
    return f"drill-{hashlib.sha256(drill.encode()).hexdigest()[:6]}-{domain}-"


def journalled(result: ItemResult) -> Journalled:
    """The item as its journal has it, with the restorer's own step names."""
    return Journalled(result.item.planned, result.own_steps, result.error.message if result.error else "")


def torn_down(result: ItemResult) -> tuple[Check, ...]:
    """Delete what this drill created; what could not be deleted is a failed check, never an exception that hides the report."""
    try:
        return result.item.restorer.teardown(result.work, result.outcomes)
    except DrError as error:
        return (Check(f"teardown of {result.item.key}", False, error.message),)


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
