"""Make a restore plan: gather what is known, choose purely, let each restorer say what it would do. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache

from dr.errors import INSTANT_UNREACHABLE, NOT_FOUND, OVER_BUDGET, SKEW_TOO_GREAT, UNREACHABLE, DrError
from dr.model.ids import SourceId
from dr.model.plans import Offer, PlannedRestore, RestorePlan, Target
from dr.model.points import Coverage, Gap, PointManifest, PointSummary
from dr.model.strategy import FailureDomain, SourceSpec
from dr.model.timeline import format_instant
from dr.plan.choose import Chosen, choose, instant_at, nearest_by_domain, usable_of
from dr.plan.modes import MODES
from dr.plan.predict import Prediction, rounded
from dr.plan.skew import Instants, skew_of, tightest
from dr.ports import ObjectStore, Restorer, Source
from dr.record.catalogue import list_points, load_pinned, read_point
from dr.run.restore import RestoreItem


@dataclass(frozen=True, slots=True)
class Want:
    """One source to bring back after the loss of a domain."""

    spec: SourceSpec
    domain: FailureDomain
    target: Target


Predictions = Mapping[tuple[SourceId, str], Prediction]
"""By source and method, from restores and drills that were measured."""


@dataclass(frozen=True, slots=True)
class Planner:
    """Everything that planning reads through."""

    vault: Callable[[str], ObjectStore]
    source: Callable[[SourceSpec], Source]
    restorers: Mapping[str, Restorer]
    strategy_sha256: str
    logged: Callable[[SourceSpec, datetime], tuple[Coverage, ...]] = lambda _spec, _requested: ()
    """What a change log in the vault covers, once it has passed the requested instant."""
    listed: Callable[[str], Sequence[PointSummary]] | None = None
    """Points of a component's vault; None lists them anew for each plan."""

    def listing_once(self) -> Planner:
        """For several plans of one moment: each vault is listed once, a listing that failed is tried again."""
        return replace(self, listed=cache(self._list))

    def _list(self, component: str) -> Sequence[PointSummary]:
        return list_points(self.vault(component))

    def plan(
        self,
        plan_id: str,
        requested: datetime,
        wants: Sequence[Want],
        now: datetime,
        *,
        predictions: Predictions | None = None,
        max_cost_usd: float | None = None,
    ) -> RestorePlan:
        """Items for what can be restored, gaps for what cannot. Raises DrError TARGET_EXISTS, TARGET_PROTECTED, OVER_BUDGET."""
        listed = self.listed or self._list
        points = {name: listed(name) for name in {want.spec.id.component for want in wants}}
        coverage = {want.spec.id: self._coverage(want, requested) for want in wants}
        found = [self._one(want, requested, points, coverage, predictions or {}, now) for want in wants]
        items = tuple(entry for entry in found if isinstance(entry, PlannedRestore))
        gaps = tuple(entry for entry in found if isinstance(entry, Gap))
        offer = None if gaps else self._offer(items, wants, points, coverage, now)
        plan = RestorePlan(plan_id, requested, now, self.strategy_sha256, items, gaps, max_cost_usd, offer=offer)
        refuse_over_budget(plan)
        return plan

    def _coverage(self, want: Want, requested: datetime) -> tuple[Coverage, ...]:
        """None of a source that is gone or silent: restoring is for just that case. Nor is a source asked whose own loss is
        to be answered (its history dies with it), nor one that keeps no history."""
        mode = MODES.get(want.spec.id.kind)
        if mode and mode.log:
            return self.logged(want.spec, requested)
        if want.domain is not FailureDomain.LOGICAL or mode is None or not mode.live:
            return ()
        try:
            live = self.source(want.spec).observe().coverage
        except DrError as error:
            if error.kind not in (NOT_FOUND, UNREACHABLE):
                raise
            return ()
        return (live,) if live else ()

    def _one(
        self,
        want: Want,
        requested: datetime,
        points: Mapping[str, Sequence[PointSummary]],
        coverage: Mapping[SourceId, tuple[Coverage, ...]],
        predictions: Predictions,
        now: datetime,
    ) -> PlannedRestore | Gap:
        source = want.spec.id
        chosen = choose(requested, source, want.domain, points[source.component], coverage[source], now)
        if isinstance(chosen, Gap):
            return self._with_domains(chosen, want, points[source.component], now)
        planned = self._outline(want, chosen)
        prediction = predictions.get((source, planned.method))
        return replace(
            planned,
            predicted=prediction.slowest if prediction else planned.predicted,
            reasons=(*chosen.reasons, *planned.reasons, *(_spread(prediction) if prediction else ())),
        )

    def _with_domains(self, gap: Gap, want: Want, points: Sequence[PointSummary], now: datetime) -> Gap:
        """What every other loss would have left, of the living source too."""
        live = self._coverage(replace(want, domain=FailureDomain.LOGICAL), gap.requested)
        return replace(gap, domains=nearest_by_domain(gap.requested, gap.source, points, live, now))

    def _offer(
        self,
        items: Sequence[PlannedRestore],
        wants: Sequence[Want],
        points: Mapping[str, Sequence[PointSummary]],
        coverage: Mapping[SourceId, tuple[Coverage, ...]],
        now: datetime,
    ) -> Offer | None:
        """Whether asking for another instant would bring the sources nearer to each other."""

        if len({item.instant for item in items}) < 2:
            return None
        usable = {
            str(want.spec.id): usable_of(
                want.spec.id, want.domain, points[want.spec.id.component], coverage[want.spec.id]
            )
            for want in wants
        }

        def at(instant: datetime) -> Instants | None:
            found = [(source, instant_at(instant, mine, now)) for source, mine in usable.items()]
            chosen = [(source, one) for source, one in found if one]
            return chosen if len(chosen) == len(found) else None

        found = tightest([(str(item.source), item.instant) for item in items], at)
        return Offer(*found) if found else None

    def _outline(self, want: Want, chosen: Chosen) -> PlannedRestore:
        restorer = self.restorers[chosen.method]
        if chosen.point is None:
            assert chosen.coverage is not None
            return restorer.outline(want.spec, chosen.coverage, chosen.instant, want.domain, want.target)
        point = read_point(self.vault(want.spec.id.component), chosen.point)
        planned = restorer.outline(want.spec, point.manifest, chosen.instant, want.domain, want.target)
        return replace(planned, point=point.ref, size=point.manifest.size)

    def items(self, plan: RestorePlan) -> tuple[RestoreItem, ...]:
        """The plan's items with their pinned manifests. Raises DrError DAMAGED or NOT_FOUND when one is not what was reviewed."""
        return tuple(self._item(planned) for planned in plan.items)

    def _item(self, planned: PlannedRestore) -> RestoreItem:
        vault = self.vault(planned.source.component)
        manifest: PointManifest | None = load_pinned(vault, planned.point) if planned.point else None
        return RestoreItem(planned, self.restorers[planned.method], vault, manifest)


def refuse_over_budget(plan: RestorePlan) -> None:
    """Raises DrError OVER_BUDGET when the estimate is above what was allowed."""
    if plan.max_cost_usd is not None and plan.cost_usd > plan.max_cost_usd:
        text = f"this restore is estimated at {plan.cost_usd:.2f} $, above --max-cost {plan.max_cost_usd:.2f} $"
        raise DrError(OVER_BUDGET, text)


def refuse_gaps(plan: RestorePlan) -> None:
    """Raises DrError INSTANT_UNREACHABLE naming the first gap and its nearest instants."""
    for gap in plan.gaps:
        raise DrError(INSTANT_UNREACHABLE, f"{gap.source} cannot be restored: {gap.reason}", hint=nearest(gap))


def refuse_skew(plan: RestorePlan) -> None:
    """Raises DrError SKEW_TOO_GREAT when the instants lie further apart than was allowed, naming what would be nearer."""
    skew = skew_of((str(item.source), item.instant) for item in plan.items)
    if plan.max_skew is None or skew is None or skew.span <= plan.max_skew:
        return
    offer = plan.offer
    text = (
        f"{skew.oldest_source} would be restored to {format_instant(skew.oldest)} and {skew.newest_source} to "
        f"{format_instant(skew.newest)}, {rounded(skew.span)} apart; --max-skew allows {rounded(plan.max_skew)}"
    )
    hint = f"at {format_instant(offer.instant)} they are {rounded(offer.skew)} apart" if offer else "nothing is nearer"
    raise DrError(SKEW_TOO_GREAT, text, hint=hint)


def nearest(gap: Gap) -> str:
    """What can be had instead, in one sentence."""
    found = [f"{format_instant(at)} ({word})" for at, word in ((gap.before, "before"), (gap.after, "after")) if at]
    return f"the nearest that can be restored: {' and '.join(found)}" if found else "no instant can be restored yet"


def _spread(prediction: Prediction) -> tuple[str, ...]:
    words = f"predicted from {prediction}"
    return (words if prediction.spread > timedelta(0) else f"{words}, no spread known",)
