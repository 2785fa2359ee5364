"""Format 1: restore plans, with the graph and the review that they carry."""

from __future__ import annotations

from dr.model.graph import Estimate, PlannedStep, StepKind
from dr.model.plans import DeclaredStep, Offer, PlannedRestore, PointRef, RestorePlan, Target
from dr.model.points import Gap, Nearest
from dr.model.review import Review
from dr.record.nouns import domain, source_id
from dr.record.shapes import (
    boolean,
    by_name,
    details,
    duration,
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

estimate = record(Estimate, median=duration, quickest=duration, slowest=duration, samples=integer)
planned_step = record(
    PlannedStep,
    name=text,
    kind=enumeration(StepKind),
    beside=later(boolean, False),
    after=later(many(text), ()),
    size=later(integer, 0),
    estimate=later(optional(estimate), None),
)
review = record(
    Review,
    creates=by_name(integer),
    changes=many(text),
    deletes=many(text),
    lost=many(text),
    conflicts=many(text),
    skipped=many(text),
    world=by_name(text),
)
nearest = record(Nearest, domain=domain, before=optional(instant), after=optional(instant))
gap = record(
    Gap,
    source=source_id,
    domain=domain,
    requested=instant,
    reason=text,
    before=optional(instant),
    after=optional(instant),
    domains=later(many(nearest), ()),
)

target = record(
    Target,
    isolated=boolean,
    prefix=text,
    names=by_name(text),
    protected=text,
    named=many(text),
    scope=later(many(text), ()),
)
point_ref = record(PointRef, name=text, generation=integer, sha256=text)
planned_restore = record(
    PlannedRestore,
    source=source_id,
    domain=domain,
    method=text,
    point=optional(point_ref),
    instant=instant,
    target=target,
    size=integer,
    predicted=optional(duration),
    cost_usd=number,
    creates=many(text),
    reasons=many(text),
    details=details,
    steps=later(many(planned_step), ()),
    review=later(optional(review), None),
)
declared_step = record(DeclaredStep, name=text, took=duration)
restore_plan = record(
    RestorePlan,
    id=text,
    requested=instant,
    created=instant,
    strategy_sha256=text,
    items=many(planned_restore),
    gaps=many(gap),
    max_cost_usd=optional(number),
    declared=many(declared_step),
    max_skew=later(optional(duration), None),
    offer=later(optional(record(Offer, instant=instant, skew=duration)), None),
)
