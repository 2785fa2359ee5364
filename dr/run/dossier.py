"""Gathers a drill's dossier from what is stored: order, plan, journal, manifests, earlier reports. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dr.errors import NOT_FOUND, DrError
from dr.model.dossier import (
    Committed,
    Dossier,
    Identity,
    Intervention,
    JournalledStep,
    ObjectiveSet,
    Previous,
)
from dr.model.evidence import DrillReport, People
from dr.model.plans import RestorePlan
from dr.model.runs import RunEnd, StepOutcome
from dr.plan.dossier import covered_of, critical_path, exclusions_of, findings_of, trend_of, unknown_of
from dr.ports import ObjectStore
from dr.record.codec import decode, open_envelope, sha256
from dr.record.layout import UnitLayout
from dr.run.dossier_points import Around, sealed_point, segregation

BASE = "drills"


@dataclass(frozen=True, slots=True)
class Link:
    """The place in the chain that the record is to take."""

    number: int
    previous: Previous | None
    signer: str
    sealed_at: datetime
    keep_until: datetime


@dataclass(frozen=True, slots=True)
class _Order:
    """The order as it lies in the control repository."""

    body: Mapping[str, Any]
    sha256: str
    stored: datetime
    locked_until: datetime | None
    name: str

    @property
    def people(self) -> People:
        given = {"executor": str(self.body.get("by", ""))} | dict(self.body.get("people", {}))
        return People(**given)


def gather(
    around: Around,
    report: DrillReport,
    earlier: Iterable[DrillReport],
    notes: Sequence[tuple[Intervention, str]],
    link: Link,
) -> Dossier:
    """Raises DrError NOT_FOUND when the drill has no order, DAMAGED, UNREACHABLE. `notes` come with the hashes of their
    envelopes."""
    order, units = _order(around.control, report.id), units_of(around.control, report.id)
    plans = [plan for unit in units if (plan := _plan(around.control, unit))]
    items = [item for plan, _ in plans for item in plan.items]
    steps = tuple(step for unit in units for step in journalled(around.control, unit))
    objectives = tuple(_objectives(order.body))
    points = tuple(sealed_point(around, item) for item in items)
    committed = Committed(order.name, order.sha256, order.stored, _begun(around.control, report.id), order.locked_until)
    table = _table(around.control, report)
    targets = tuple(segregation(around, item) for item in items)
    identity = _identity(order, plans[0][1] if plans else "", report)
    people = order.people
    unapproved = [one.component for one in objectives if not one.approved_by]
    return Dossier(
        number=link.number,
        previous=link.previous,
        sealed_at=link.sealed_at,
        signer=link.signer,
        keep_until=link.keep_until,
        locked=True,
        identity=identity,
        people=people,
        order=committed,
        table=table,
        objectives=objectives,
        covered=covered_of(report),
        exclusions=exclusions_of(report),
        points=points,
        targets=targets,
        steps=steps,
        interventions=(*_declared(order.body, people), *(note for note, _ in notes)),
        findings=findings_of(report),
        trend=trend_of(report, earlier),
        critical=critical_path(report.rows),
        unknown=unknown_of(
            people, committed, table, unapproved, points, targets, identity.runbook, report, link.signer
        ),
        notes=tuple(digest for _, digest in notes),
    )


def units_of(control: ObjectStore, drill: str) -> tuple[str, ...]:
    """Of the journal: the drill itself, and the further rounds of a search, `<drill>.2`, `<drill>.3`..."""
    names = dict.fromkeys(info.name.split("/")[1] for info in control.list(f"{BASE}/{drill}."))
    rounds = sorted((int(number), name) for name in names if (number := name.removeprefix(f"{drill}.")).isdecimal())
    return (drill, *(name for _, name in rounds))


def _order(control: ObjectStore, drill: str) -> _Order:
    name = f"{BASE}/{drill}/order.json"
    info = control.stat(name)
    if info is None:
        raise DrError(NOT_FOUND, f"the drill {drill} has no order: what it set out to measure was never committed")
    data = control.get(name)
    body = open_envelope(data, "drill-order", f"{control.url}/{name}")
    return _Order(body, sha256(data), info.created, info.retain_until, name)


def _plan(control: ObjectStore, drill: str) -> tuple[RestorePlan, str] | None:
    """None when nothing could be planned."""
    name = f"{BASE}/{drill}/plan.json"
    if control.stat(name) is None:
        return None
    data = control.get(name)
    return decode(data, RestorePlan, f"{control.url}/{name}"), sha256(data)


def _identity(order: _Order, plan_sha256: str, report: DrillReport) -> Identity:
    runbook = order.body.get("runbook") or {}
    return Identity(
        drill=report.id,
        why=str(order.body["why"]),
        tool_version=report.tool_version,
        plan_sha256=plan_sha256,
        scenario=report.scenario,
        scenario_sha256=str(order.body.get("scenario_sha256", "")),
        runbook=str(runbook.get("name", "")),
        runbook_sha256=str(runbook.get("sha256", "")),
        strategy_sha256=report.strategy_sha256,
        witness=str(order.body["witness"]),
    )


def _table(control: ObjectStore, report: DrillReport) -> Committed:
    """The strategy's own file, kept by captures before the disaster (or never)."""
    name = f"strategies/{report.strategy_sha256}.yaml"
    info = control.stat(name) if report.strategy_sha256 else None
    if info is None:
        return Committed("", report.strategy_sha256, None, report.disaster_at)
    return Committed(name, sha256(control.get(name)), info.created, report.disaster_at, info.retain_until)


def _objectives(body: Mapping[str, Any]) -> Iterable[ObjectiveSet]:
    """Each component once, as the order has it."""
    seen: set[str] = set()
    for row in body["rows"]:
        if row["component"] not in seen and "rto_s" in row:
            seen.add(row["component"])
            yield ObjectiveSet(
                row["component"],
                float(row["rto_s"]),
                float(row["rpo_s"]),
                row.get("retention_s"),
                str(row.get("approved_by", "")),
            )


def _declared(body: Mapping[str, Any], people: People) -> Iterable[Intervention]:
    for step in body["declared"]:
        yield Intervention("declared", None, people.executor, str(step["name"]), float(step["seconds"]))


# --- the journal ----------------------------------------------------------------------------------------------------


def journalled(control: ObjectStore, drill: str) -> tuple[JournalledStep, ...]:
    """Every finished step and every end of an epoch, in order of time, with the hash of its object's bytes."""
    layout = UnitLayout(BASE, drill)
    names = [info.name for info in control.list(layout.root)]
    found = [_done(control, name) for name in names if layout.is_step(name)]
    found += [_ended(control, name) for name in names if layout.is_end(name)]
    return tuple(sorted(found, key=lambda step: (step.ended, step.log)))


def _done(control: ObjectStore, name: str) -> JournalledStep:
    data = control.get(name)
    one = decode(data, StepOutcome, f"{control.url}/{name}")
    return JournalledStep(one.step, one.epoch, one.started.wall, one.ended.wall, "done", name, sha256(data))


def _ended(control: ObjectStore, name: str) -> JournalledStep:
    data = control.get(name)
    end = decode(data, RunEnd, f"{control.url}/{name}")
    how = f"{end.state} ({end.error_code}): {end.message}" if end.error_code else f"{end.state}: {end.message}"
    return JournalledStep("end of the work", end.epoch, None, end.at.wall, how, name, sha256(data))


def _begun(control: ObjectStore, drill: str) -> datetime | None:
    """When the work was claimed, by the store's clock, which also stamped the order: so no two clocks are compared."""
    info = control.stat(UnitLayout(BASE, drill).claim(1))
    return info.created if info else None
