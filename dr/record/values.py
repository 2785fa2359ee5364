"""Format 1: every stored value, field by field. A change here is a change of the format (docs/format.md)."""

from __future__ import annotations

from typing import Any

from dr.model.bisecting import Bisection, BisectOrder
from dr.model.dossier import Addendum, Dossier
from dr.model.drills import DrillEnd, DrillEnding
from dr.model.erasure import Erasure, Subject, SubjectKind
from dr.model.evidence import (
    Clocks,
    Drawn,
    DrillReport,
    DrillRow,
    Loss,
    Recovery,
    StepTiming,
    Tried,
    WorstRpo,
)
from dr.model.mutations import Campaign, Trial
from dr.model.plans import RestorePlan
from dr.model.points import Artefact, PointManifest
from dr.model.reaping import Reaped
from dr.model.retention import (
    Condemned,
    FreezeRecord,
    HoldKind,
    HoldRecord,
    PruneBegun,
    PruneEnded,
    PruneRecord,
    ReleaseRecord,
    Remains,
    StoredObject,
    Tombstone,
)
from dr.model.runbooks import Doing, RunbookRun, RunbookStep
from dr.model.runs import Claim, RunEnd, RunState, Stamp, StepOutcome
from dr.model.samples import Timings
from dr.model.used import Used
from dr.ports import Inspection
from dr.record import bisected, dossiers, mutated, planned, timed
from dr.record.nouns import check, domain, slot, verdict
from dr.record.shapes import (
    Shape,
    boolean,
    by_name,
    details,
    enumeration,
    instant,
    integer,
    later,
    many,
    number,
    optional,
    record,
    text,
)

stamp = record(Stamp, wall=instant, monotonic=number, boot_id=text)
claim = record(Claim, unit=text, epoch=integer, owner=text, taken=stamp, expires=instant)
step_outcome = record(StepOutcome, step=text, index=integer, epoch=integer, started=stamp, ended=stamp, data=details)
run_end = record(
    RunEnd,
    unit=text,
    epoch=integer,
    state=enumeration(RunState),
    at=stamp,
    message=text,
    error_code=text,
    point=text,
)

artefact = record(
    Artefact,
    name=text,
    role=text,
    size=integer,
    crc32c=text,
    sha256=text,
    generation=integer,
    records=optional(integer),
)
inspection = record(Inspection, artefacts=many(artefact), counts=by_name(integer), checks=many(check))
manifest = record(
    PointManifest,
    slot=slot,
    epoch=integer,
    method=text,
    as_of=instant,
    started=instant,
    committed=instant,
    artefacts=many(artefact),
    counts=by_name(integer),
    checks=many(check),
    survives=many(domain),
    retain_until=instant,
    tool_version=text,
    parents=many(text),
    details=details,
)
timing = record(StepTiming, step=text, start_s=number, end_s=number, detail=text)
clocks = record(Clocks, detect_s=number, decide_s=number, restore_s=number, verify_s=number)
recovery = record(
    Recovery,
    target_s=number,
    measured_s=optional(number),
    detection_s=optional(number),
    steps=many(timing),
    clocks=later(optional(clocks), None),
)
worst_rpo = record(WorstRpo, seconds=number, points=integer, since=instant, until=instant)
tried = record(Tried, instant=instant, point=text, sha256=text, clean=boolean, why=text)
drawn = record(Drawn, source=text, domain=domain, requested=instant, first=instant, last=instant, seed=text)
loss = record(
    Loss,
    target_s=number,
    writes_lost=optional(integer),
    oldest_lost_s=optional(number),
    acknowledged=optional(integer),
    at_least=boolean,
    guaranteed=boolean,
    witness=text,
    promise=text,
    bound_s=later(optional(number), None),
)
drill_row = record(
    DrillRow,
    component=text,
    domain=domain,
    source=text,
    verdict=verdict,
    rto=recovery,
    rpo=loss,
    instant=optional(instant),
    point=text,
    point_sha256=text,
    objects=integer,
    size=integer,
    checks=many(check),
    findings=many(text),
    requested=later(optional(instant), None),
    worst=later(optional(worst_rpo), None),
    tried=later(many(tried), ()),
)
drill_report = record(
    DrillReport,
    id=text,
    scenario=text,
    scope=text,
    requested=instant,
    disaster_at=instant,
    declared_at=instant,
    ended_at=instant,
    strategy_sha256=text,
    tool_version=text,
    rows=many(drill_row),
    teardown=many(check),
    tripwire=later(many(check), ()),
    environment=details,
    by=later(text, ""),
    drawn=later(many(drawn), ()),
    forecasts=later(many(timed.forecast), ()),
)
drill_ending = record(DrillEnding, id=text, scenario=text, how=enumeration(DrillEnd), at=instant, by=text, reason=text)

runbook_step = record(
    RunbookStep,
    index=integer,
    title=text,
    doing=enumeration(Doing),
    command=text,
    expected=many(integer),
    code=optional(integer),
    asked=boolean,
    started=instant,
    ended=instant,
)
runbook_run = record(
    RunbookRun,
    id=text,
    runbook=text,
    sha256=text,
    tool_version=text,
    by=text,
    started=instant,
    ended=instant,
    variables=by_name(text),
    steps=many(runbook_step),
)
subject = record(Subject, kind=enumeration(SubjectKind), name=text)
erasure = record(Erasure, id=text, subject=subject, at=instant, by=text, why=text)
reaped = record(Reaped, unit=text, at=instant, by=text, deleted=many(text))
used = record(Used, at=instant, strategy=text, settings=text, tool_version=text)

freeze_record = record(FreezeRecord, number=integer, on=boolean, at=instant, by=text, reason=text)
hold_record = record(
    HoldRecord,
    id=text,
    mode=enumeration(HoldKind),
    point=text,
    at=instant,
    by=text,
    reason=text,
    until=optional(instant),
)
release_record = record(ReleaseRecord, hold=text, point=text, at=instant, by=text, reason=text)
stored_object = record(StoredObject, name=text, generation=integer, size=integer)
condemned = record(Condemned, what=enumeration(Remains), name=text, objects=many(stored_object), reason=text)
tombstone = record(
    Tombstone,
    id=text,
    component=text,
    vault=text,
    decided=instant,
    due=instant,
    by=text,
    share=number,
    targets=many(condemned),
)
prune_begun = record(PruneBegun, tombstone=text, at=instant, by=text)
prune_ended = record(PruneEnded, tombstone=text, at=instant, by=text, deleted=many(text), spared=by_name(text))
prune_record = record(
    PruneRecord,
    component=text,
    at=instant,
    by=text,
    points=by_name(by_name(integer)),
    condemned=integer,
    deleted=integer,
    spared=integer,
)

KINDS: dict[type[Any], tuple[str, Shape[Any]]] = {
    PointManifest: ("point", manifest),
    Claim: ("claim", claim),
    StepOutcome: ("step", step_outcome),
    RunEnd: ("end", run_end),
    RestorePlan: ("restore-plan", planned.restore_plan),
    DrillReport: ("drill-report", drill_report),
    DrillEnding: ("drill-end", drill_ending),
    Inspection: ("inspection", inspection),
    FreezeRecord: ("freeze", freeze_record),
    HoldRecord: ("hold", hold_record),
    ReleaseRecord: ("release", release_record),
    Tombstone: ("tombstone", tombstone),
    PruneBegun: ("prune-begun", prune_begun),
    PruneEnded: ("prune-ended", prune_ended),
    PruneRecord: ("prune", prune_record),
    Used: ("used", used),
    RunbookRun: ("runbook-run", runbook_run),
    Reaped: ("reaped", reaped),
    Erasure: ("erasure", erasure),
    Dossier: ("drill-dossier", dossiers.dossier),
    Addendum: ("drill-addendum", dossiers.addendum),
    Campaign: ("mutation-campaign", mutated.campaign),
    Trial: ("mutation", mutated.trial),
    Timings: ("timings", timed.timings),
    BisectOrder: ("bisect-order", bisected.order),
    Bisection: ("bisect-report", bisected.bisection),
}
"""What is stored as a value of its own: the name of its kind and its shape."""
