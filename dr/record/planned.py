"""Format 1: the parts of a restore plan that its graph and its review are made of."""

from __future__ import annotations

from dr.model.graph import Estimate, PlannedStep, StepKind
from dr.model.points import Nearest
from dr.model.review import Review
from dr.model.strategy import FailureDomain
from dr.record.shapes import (
    boolean,
    by_name,
    duration,
    enumeration,
    instant,
    integer,
    later,
    many,
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
nearest = record(Nearest, domain=enumeration(FailureDomain), before=optional(instant), after=optional(instant))
