"""Format 1 of a drill's dossier and of what is appended to it, field by field."""

from __future__ import annotations

from dr.model.dossier import (
    Addendum,
    Committed,
    CriticalStep,
    Dossier,
    DrillFinding,
    Exclusion,
    Identity,
    Intervention,
    JournalledStep,
    ObjectiveSet,
    Past,
    Previous,
    Said,
    SealedPoint,
    Segregation,
    Severity,
)
from dr.model.evidence import People
from dr.record.nouns import domain, verdict
from dr.record.shapes import boolean, by_name, enumeration, instant, integer, many, number, optional, record, text

people = record(People, executor=text, witness=text, approver=text, ticket=text)
_identity = record(
    Identity,
    drill=text,
    why=text,
    tool_version=text,
    plan_sha256=text,
    scenario=text,
    scenario_sha256=text,
    runbook=text,
    runbook_sha256=text,
    strategy_sha256=text,
    witness=text,
)
_committed = record(
    Committed,
    name=text,
    sha256=text,
    stored=optional(instant),
    before=optional(instant),
    locked_until=optional(instant),
)
_objective = record(
    ObjectiveSet, component=text, rto_s=number, rpo_s=number, retention_s=optional(number), approved_by=text
)
_point = record(
    SealedPoint,
    component=text,
    domain=domain,
    source=text,
    vault=text,
    name=text,
    sha256=text,
    as_of=instant,
    artefacts=optional(integer),
    size=integer,
    artefacts_sha256=text,
    locked_until=optional(instant),
    note=text,
)
_segregation = record(
    Segregation,
    component=text,
    domain=domain,
    source=text,
    isolated=boolean,
    prefix=text,
    names=by_name(text),
    source_place=text,
    vault_place=text,
)
_step = record(
    JournalledStep,
    step=text,
    epoch=integer,
    started=optional(instant),
    ended=instant,
    exit=text,
    log=text,
    log_sha256=text,
)
_intervention = record(Intervention, kind=text, at=optional(instant), by=text, text=text, seconds=optional(number))
_finding = record(DrillFinding, id=text, severity=enumeration(Severity), where=text, what=text)
_past = record(
    Past,
    drill=text,
    at=instant,
    component=text,
    domain=domain,
    source=text,
    verdict=verdict,
    recovery_s=optional(number),
    oldest_lost_s=optional(number),
    size=integer,
)
_critical = record(
    CriticalStep, component=text, domain=domain, step=text, start_s=number, end_s=number, waited_s=number
)
_previous = record(Previous, number=integer, drill=text, sha256=text)

dossier = record(
    Dossier,
    number=integer,
    previous=optional(_previous),
    sealed_at=instant,
    signer=text,
    keep_until=instant,
    locked=boolean,
    identity=_identity,
    people=people,
    order=_committed,
    table=_committed,
    objectives=many(_objective),
    covered=many(text),
    exclusions=many(record(Exclusion, component=text, domain=domain, reason=text)),
    points=many(_point),
    targets=many(_segregation),
    steps=many(_step),
    interventions=many(_intervention),
    findings=many(_finding),
    trend=many(_past),
    critical=many(_critical),
    unknown=many(text),
    notes=many(text),
)
addendum = record(
    Addendum,
    drill=text,
    number=integer,
    said=enumeration(Said),
    at=instant,
    by=text,
    recorded_by=text,
    text=text,
    finding=text,
    owner=text,
    due=text,
    retest=text,
    seal=text,
    follows=text,
)
