"""Restores: planned, saved, applied, resumed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from dr.app.captures import specs_of
from dr.app.core import App
from dr.app.known import refuse_emptied
from dr.app.settled import settled_coverage
from dr.app.who import who
from dr.errors import NOT_FOUND, REJECTED, USAGE, DrError
from dr.model.evidence import DrillRow
from dr.model.ids import SourceId
from dr.model.plans import RestorePlan, Target
from dr.model.strategy import FailureDomain
from dr.model.timeline import compact_instant
from dr.plan.modes import MODES
from dr.plan.predict import predict
from dr.record.catalogue import list_points
from dr.record.codec import decode
from dr.report.envelope import Item
from dr.report.results import begun_item
from dr.run.drill import list_drills, load_report
from dr.run.leasing import leased
from dr.run.planning import Planner, Predictions, Want, refuse_gaps, refuse_over_budget
from dr.run.restore import RestoreResult, RestoreRunner

REPORTS = 20
"""Newest drill reports that predictions are made from."""


def planner(app: App) -> Planner:
    return Planner(app.vault, app.source, app.restorers, app.strategy.sha256, partial(settled_coverage, app))


def make_plan(
    app: App,
    requested: datetime,
    components: Sequence[str],
    domain: FailureDomain,
    over: str,
    max_cost_usd: float | None,
    named: Sequence[str] = (),
) -> RestorePlan:
    """A plan with no gap. Raises DrError INSTANT_UNREACHABLE (offers the nearest), TARGET_*, OVER_BUDGET, UNKNOWN_COMPONENT."""
    now = app.clock.now()
    target = Target(isolated=False, protected=over, named=tuple(named))
    wants = [Want(spec, domain, target) for spec in specs_of(app, components)]
    if not wants:
        raise DrError(USAGE, "the strategy declares no source that could be restored")
    plan_id = f"restore-{compact_instant(now.replace(microsecond=0))}-{secrets.token_hex(2)}"
    plan = planner(app).plan(
        plan_id, requested, wants, now, predictions=measured_restores(app), max_cost_usd=max_cost_usd
    )
    for gap in plan.gaps:
        if gap.before is None and gap.after is None:
            refuse_listed_empty(app, gap.source.component)
    refuse_gaps(plan)
    return plan


def refuse_listed_empty(app: App, component: str) -> None:
    """That a vault with points lists none is another trouble than an instant that nothing reaches. Raises DrError
    LISTING_SHRANK."""
    if not list_points(app.vault(component)):
        refuse_emptied(app, component)


def measured_restores(app: App) -> Predictions:
    """From the newest drill reports: how long each source took by each method."""
    found: dict[tuple[SourceId, str], list[timedelta]] = {}
    for drill in list_drills(app.control)[-REPORTS:]:
        for row in load_report(app.control, drill).rows:
            if row.rto.measured_s is not None and row.source:
                key = (SourceId.parse(row.source), _method(row))
                found.setdefault(key, []).append(timedelta(seconds=row.rto.measured_s))
    return {key: prediction for key, values in found.items() if (prediction := predict(values))}


def _method(row: DrillRow) -> str:
    """A row from a point names its manifest, one from live coverage its method."""
    return MODES[SourceId.parse(row.source).kind].point if row.point.endswith(".json") else row.point


def runner(app: App, base: str = "restores", stop: Callable[[], bool] = lambda: False) -> RestoreRunner:
    return RestoreRunner(
        app.journal(base), app.clock, app.engine, stop, partial(leased, app.control, app.clock, who(app))
    )


def apply(app: App, plan: RestorePlan, stop: Callable[[], bool] = lambda: False) -> RestoreResult:
    """Exactly as reviewed: pinned manifests, same strategy. Raises DrError REJECTED, DAMAGED, LOCKED, OVER_BUDGET."""
    if plan.strategy_sha256 != app.strategy.sha256:
        hint = "make a new plan: `dr restore plan`"
        raise DrError(REJECTED, "the strategy changed since this plan was made", hint=hint)
    refuse_gaps(plan)
    refuse_over_budget(plan)
    return runner(app, stop=stop).apply(plan, planner(app).items(plan))


def stored_plan(app: App, plan_id: str) -> RestorePlan:
    """A plan whose application was begun. Raises DrError NOT_FOUND."""
    name = f"restores/{plan_id}/plan.json"
    if "/" in plan_id or app.control.stat(name) is None:
        raise DrError(NOT_FOUND, f"no restore {plan_id!r} was begun", hint="`dr restore status` lists them")
    return decode(app.control.get(name), RestorePlan, f"{app.control.url}/{name}")


def begun(app: App) -> tuple[str, ...]:
    """Ids of all restores that were begun, oldest first."""
    return tuple(app.journal("restores").units())


def progress_of(app: App, plan_id: str) -> Item:
    """State and journalled steps of one restore. Raises DrError NOT_FOUND."""
    stored_plan(app, plan_id)
    record = app.journal("restores").read(plan_id).record
    since = min((claim.taken.wall for claim in record.claims), default=None)
    message = record.ends[-1].message if record.ends else ""
    return begun_item(plan_id, str(record.state), since, message, record.outcomes)
