"""A restore plan in JSON: what it restores, how, how long it takes, and what it does to the world."""

from __future__ import annotations

from dr.model.graph import Estimate
from dr.model.plans import DeclaredStep, PlannedRestore, RestorePlan
from dr.model.points import Gap, Nearest
from dr.model.review import Review
from dr.plan.moved import fingerprint
from dr.plan.outlook import outlook, planned_graph
from dr.plan.skew import skew_of
from dr.plan.standing import Standing, StepStanding
from dr.report.envelope import Item, envelope, when


def restore_item(item: PlannedRestore, plan: RestorePlan | None = None) -> Item:
    """One source of a restore plan."""
    return {
        "source": str(item.source),
        "domain": str(item.domain),
        "method": item.method,
        "instant": when(item.instant),
        "behind_s": (plan.requested - item.instant).total_seconds() if plan else None,
        "point": item.point.name if item.point else None,
        "point_sha256": item.point.sha256 if item.point else None,
        "target": {"isolated": item.target.isolated, "prefix": item.target.prefix, "names": dict(item.target.names)},
        "size_bytes": item.size,
        "predicted_s": item.predicted.total_seconds() if item.predicted is not None else None,
        "cost_usd": item.cost_usd,
        "creates": list(item.creates),
        "reasons": list(item.reasons),
        "review": review_item(item.review) if item.review else None,
    }


def review_item(review: Review) -> Item:
    """`world` is what the plan's fingerprint was made over: a count here, in full in the saved plan."""
    return {
        "creates": dict(review.creates),
        "changes": list(review.changes),
        "deletes": list(review.deletes),
        "lost": list(review.lost),
        "conflicts": list(review.conflicts),
        "skipped": list(review.skipped),
        "looked_at": len(review.world),
    }


def gap_item(gap: Gap) -> Item:
    return {
        "source": str(gap.source),
        "domain": str(gap.domain),
        "requested": when(gap.requested),
        "reason": gap.reason,
        "before": when(gap.before),
        "after": when(gap.after),
        "domains": [nearest_item(one) for one in gap.domains],
    }


def nearest_item(one: Nearest) -> Item:
    """What could be had if only that were lost."""
    return {"domain": str(one.domain), "before": when(one.before), "after": when(one.after)}


def declared_item(step: DeclaredStep) -> Item:
    return {"name": step.name, "seconds": step.took.total_seconds()}


def skew_item(plan: RestorePlan) -> Item | None:
    """How far apart the sources are restored, how far they may be, and where they would be nearer."""
    skew = skew_of((str(item.source), item.instant) for item in plan.items)
    if skew is None:
        return None
    offer = plan.offer
    return {
        "seconds": skew.span.total_seconds(),
        "max_s": plan.max_skew.total_seconds() if plan.max_skew is not None else None,
        "oldest": {"source": skew.oldest_source, "instant": when(skew.oldest)},
        "newest": {"source": skew.newest_source, "instant": when(skew.newest)},
        "nearer": {"instant": when(offer.instant), "seconds": offer.skew.total_seconds()} if offer else None,
    }


def step_items(plan: RestorePlan) -> list[Item]:
    """Nodes of the graph, in an order in which they may be done."""
    critical = frozenset(outlook(plan).path)
    return [
        {
            "step": node.key,
            "item": node.item,
            "kind": str(node.step.kind),
            "needs": list(node.needs),
            "size_bytes": node.step.size or None,
            "estimate": estimate_item(node.step.estimate),
            "critical": node.key in critical,
        }
        for node in planned_graph(plan).nodes
    ]


def estimate_item(found: Estimate | None) -> Item | None:
    if found is None:
        return None
    return {
        "median_s": found.median.total_seconds(),
        "quickest_s": found.quickest.total_seconds(),
        "slowest_s": found.slowest.total_seconds(),
        "samples": found.samples,
    }


def outlook_item(plan: RestorePlan) -> Item:
    """The whole: `unknown` steps were never measured and count as nothing."""
    found = outlook(plan)
    return {
        "median_s": found.median.total_seconds(),
        "quickest_s": found.quickest.total_seconds(),
        "slowest_s": found.slowest.total_seconds(),
        "critical_path": list(found.path),
        "unknown": list(found.unknown),
        "gains": [
            {"step": gain.what, "saves_s": gain.saves.total_seconds(), "advice": gain.advice} for gain in found.gains
        ],
    }


def restore_plan(plan: RestorePlan) -> dict[str, object]:
    """The whole plan under its envelope."""
    return envelope(
        "RestorePlan",
        [restore_item(item, plan) for item in plan.items],
        id=plan.id,
        requested=when(plan.requested),
        created=when(plan.created),
        fingerprint=fingerprint(plan),
        cost_usd=plan.cost_usd,
        max_cost_usd=plan.max_cost_usd,
        declared=[declared_item(step) for step in plan.declared],
        skew=skew_item(plan),
        prediction=outlook_item(plan),
        steps=step_items(plan),
        gaps=[gap_item(gap) for gap in plan.gaps],
    )


# --- restores that were begun ----------------------------------------------------------------------------------------


def standing_item(one: Standing) -> Item:
    """One restore of `dr restore status`."""
    return {
        "id": one.plan.id,
        "state": str(one.state),
        "since": when(one.begun),
        "requested": when(one.plan.requested),
        "sources": [str(item.source) for item in one.plan.items],
        "owner": one.owner or None,
        "alive": one.alive,
        "tries": one.tries,
        "message": one.message or None,
        "remaining_s": one.remaining_s,
        "steps_done": one.done,
        "steps": [_standing_step(step) for step in one.steps],
    }


def _standing_step(step: StepStanding) -> Item:
    outcome = step.outcome
    return {
        "step": step.key,
        "state": str(step.state),
        "started": when(outcome.started.wall) if outcome else None,
        "ended": when(outcome.ended.wall) if outcome else None,
        "seconds": round(outcome.seconds, 3) if outcome else None,
        "expected_s": step.expected_s,
        "try": outcome.epoch if outcome else None,
    }
