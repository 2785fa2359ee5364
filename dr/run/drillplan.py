"""What a drill restores: each row by itself, so that what cannot be planned fails its own row and no other. Reads only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from dr.errors import DrError
from dr.model.drills import Choice, DrillOrder, RowKey
from dr.model.evidence import Drawn, WorstRpo
from dr.model.ids import SourceId
from dr.model.plans import RestorePlan, Target
from dr.model.points import Coverage, Gap, PointSummary
from dr.model.strategy import FailureDomain, SourceSpec, Strategy
from dr.plan.lots import draw
from dr.plan.worst import worst_rpo
from dr.run.planning import Planner, Predictions, Want
from dr.run.restore import RestoreItem

Specs = Mapping[str, Sequence[SourceSpec]]


@dataclass(frozen=True, slots=True)
class NotPlanned:
    """A row that the scenario covers and that could not even be planned; that fails it."""

    key: RowKey
    source: str
    reason: str


def gap_reason(gap: Gap) -> str:
    """The gap as a finding."""
    return f"{gap.source}: cannot be restored: {gap.reason}"


@dataclass(frozen=True, slots=True)
class Asked:
    """One source of one row, and the instant that it is restored to."""

    key: RowKey
    spec: SourceSpec
    requested: datetime


@dataclass(frozen=True, slots=True)
class Planned:
    """One round of a drill."""

    plan: RestorePlan
    items: tuple[RestoreItem, ...]
    unplanned: tuple[NotPlanned, ...]


@dataclass(frozen=True)
class DrillPlanner:
    """Lists each vault once for the whole drill: what the drill itself takes time for must not move its points."""

    planner: Planner
    strategy: Strategy
    specs: Specs
    predictions: Predictions | None = None

    @cached_property
    def _planner(self) -> Planner:
        return self.planner.listing_once()

    def asked(self, order: DrillOrder) -> tuple[Asked, ...]:
        """Every source of every row of the scenario that is captured."""
        return tuple(
            Asked(key, spec, order.requested_of(str(spec.id), key.domain))
            for key in order.scenario.rows
            for spec in self.specs.get(key.component, ())
        )

    def uncaptured(self, order: DrillOrder) -> tuple[NotPlanned, ...]:
        return tuple(
            NotPlanned(key, key.component, f"{key.component} is not captured yet: there is nothing to restore")
            for key in order.scenario.rows
            if not self.specs.get(key.component)
        )

    def plan(self, plan_id: str, requested: datetime, wanted: Sequence[Asked], now: datetime) -> Planned:
        """One plan for all that is wanted, each at its own instant."""
        plans, unplanned = [], list[NotPlanned]()
        for one in wanted:
            want = Want(one.spec, one.key.domain, Target(isolated=True, prefix=prefix_of(plan_id, one.key.domain)))
            try:
                plan = self._planner.plan(plan_id, one.requested, [want], now, predictions=self.predictions)
            except DrError as error:
                unplanned.append(NotPlanned(one.key, str(one.spec.id), error.message))
                continue
            plans.append(plan)
            unplanned += [NotPlanned(one.key, str(one.spec.id), gap_reason(gap)) for gap in plan.gaps]
        items = tuple(item for plan in plans for item in plan.items)
        whole = RestorePlan(plan_id, requested, now, self.strategy.sha256, items)
        return Planned(whole, self._planner.items(whole), tuple(unplanned))

    # --- what there is

    def points(self, component: str) -> Sequence[PointSummary]:
        listed = self._planner.listed
        assert listed is not None
        return listed(component)

    def coverage(self, spec: SourceSpec, requested: datetime) -> tuple[Coverage, ...]:
        """Of a change log; nothing when it does not answer: then the plan says so."""
        try:
            return self._planner.logged(spec, requested)
        except DrError:
            return ()

    def candidates(self, one: Asked) -> tuple[datetime, ...]:
        """Instants of the points that survive the row's loss, from the newest at the requested instant."""
        points = self.points(one.key.component)
        mine = {p.as_of for p in points if p.source == one.spec.id and one.key.domain in p.survives}
        return tuple(sorted((at for at in mine if at <= one.requested), reverse=True))

    def lots(self, order: DrillOrder, retention: Mapping[str, timedelta], now: datetime) -> tuple[Drawn, ...]:
        """For a scenario whose instants are by lot: one for each source that has something to restore."""
        if order.scenario.choice is not Choice.RANDOM:
            return ()
        return tuple(self._lots(order, retention, now))

    def _lots(self, order: DrillOrder, retention: Mapping[str, timedelta], now: datetime) -> Iterator[Drawn]:
        for one in self.asked(order):
            component, seed = one.key.component, order.scenario.seed or order.id
            coverage = self.coverage(one.spec, order.requested)
            points = [point for point in self.points(component) if point.as_of <= order.requested]
            found = draw(seed, one.spec.id, one.key.domain, points, coverage, now - retention[component])
            if found:
                yield found

    def worst(self, source: SourceId, domain: FailureDomain, until: datetime) -> WorstRpo | None:
        """None when nothing was captured by then."""
        spec = next(spec for spec in self.specs[source.component] if spec.id == source)
        return worst_rpo(source, domain, self.points(source.component), self.coverage(spec, until), until)


def prefix_of(drill: str, domain: FailureDomain) -> str:
    """Of everything that a drill creates for one domain: short, because names of resources are."""
    return f"drill-{hashlib.sha256(drill.encode()).hexdigest()[:6]}-{domain}-"


def at_instants(asked: Sequence[Asked], instants: Sequence[datetime]) -> tuple[Asked, ...]:
    """The same, each at an instant of its own."""
    return tuple(replace(one, requested=at) for one, at in zip(asked, instants, strict=True))
