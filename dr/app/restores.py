"""Restores: planned, saved, applied, resumed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from dr import __version__
from dr.app.captures import specs_of
from dr.app.core import App
from dr.app.forecasting import region_of, time_models
from dr.app.known import refuse_emptied
from dr.app.overlive import EVERYTHING, Scope, aimed, settled_together
from dr.app.settled import settled_coverage
from dr.app.who import who
from dr.errors import NOT_FOUND, REJECTED, USAGE, DrError
from dr.model.evidence import DrillRow
from dr.model.ids import SourceId
from dr.model.plans import RestorePlan
from dr.model.runs import Stamp
from dr.model.samples import RunKind
from dr.model.strategy import FailureDomain
from dr.model.timeline import compact_instant
from dr.plan.forecast import planned_step
from dr.plan.modes import MODES
from dr.plan.predict import predict
from dr.plan.standing import Standing, standing
from dr.record.catalogue import list_points
from dr.record.codec import decode
from dr.record.owner import describe
from dr.record.timings import read_timings
from dr.run.drill import list_drills, load_report
from dr.run.leasing import leased
from dr.run.planning import Planner, Predictions, Want, refuse_gaps, refuse_over_budget, refuse_skew
from dr.run.recipes import history_of, refuse_other_steps, with_steps
from dr.run.restore import RestoreResult, RestoreRunner
from dr.run.reviewing import refuse_moved, reviewed
from dr.run.timing import TimedRunner
from dr.run.tracking import Tracker

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
    max_skew: timedelta | None = None,
    scope: Scope = EVERYTHING,
) -> RestorePlan:
    """A plan that can be applied. Raises DrError as `draft_plan` and `refuse_unfit`."""
    plan = draft_plan(app, requested, components, domain, over, max_cost_usd, named, max_skew, scope)
    refuse_unfit(app, plan)
    return plan


def draft_plan(
    app: App,
    requested: datetime,
    components: Sequence[str],
    domain: FailureDomain,
    over: str,
    max_cost_usd: float | None,
    named: Sequence[str] = (),
    max_skew: timedelta | None = None,
    scope: Scope = EVERYTHING,
) -> RestorePlan:
    """A plan to look at: with its steps, its review, and gaps where the instant cannot be had. Raises DrError TARGET_*,
    OVER_BUDGET, UNKNOWN_COMPONENT."""
    now = app.clock.now()
    specs = specs_of(app, components)
    if not specs:
        raise DrError(USAGE, "the strategy declares no source that could be restored")
    aims = aimed(specs, [name for name in over.split(",") if name], named, scope)
    wants = [Want(spec, domain, target) for spec, target in aims]
    plan_id = f"restore-{compact_instant(now.replace(microsecond=0))}-{secrets.token_hex(2)}"
    plan = planner(app).plan(
        plan_id, requested, wants, now, predictions=measured_restores(app), max_cost_usd=max_cost_usd
    )
    made = replace(settled_together(plan), max_skew=max_skew)
    items = planner(app).items(made)
    timings = read_timings(app.control)
    predict = partial(planned_step, time_models(app, timings))
    return reviewed(with_steps(made, items, history_of(timings), predict), items)


def refuse_unfit(app: App, plan: RestorePlan) -> None:
    """Raises DrError INSTANT_UNREACHABLE (offers the nearest), SKEW_TOO_GREAT, LISTING_SHRANK."""
    for gap in plan.gaps:
        if gap.before is None and gap.after is None:
            refuse_listed_empty(app, gap.source.component)
    refuse_gaps(plan)
    refuse_skew(plan)


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


def runner(
    app: App, base: str = "restores", stop: Callable[[], bool] = lambda: False, since: Stamp | None = None
) -> RestoreRunner:
    """`since`: when the recovery was declared, if that was before the plan is applied."""
    return TimedRunner(
        app.journal(base),
        app.clock,
        app.engine,
        stop,
        partial(leased, app.control, app.clock, who(app)),
        what=RunKind.DRILL if base == "drills" else RunKind.RESTORE,
        region=partial(region_of, app),
        scope=app.settings.scope,
        tool_version=__version__,
        since=since,
    )


def apply(app: App, plan: RestorePlan, stop: Callable[[], bool] = lambda: False) -> RestoreResult:
    """Exactly as reviewed: pinned manifests, same strategy, same steps, and a world that has not moved. A plan whose
    application was begun goes on: what moved since is its own work. Raises DrError REJECTED, DAMAGED, LOCKED, OVER_BUDGET,
    WORLD_MOVED."""
    if plan.strategy_sha256 != app.strategy.sha256:
        hint = "make a new plan: `dr restore plan`"
        raise DrError(REJECTED, "the strategy changed since this plan was made", hint=hint)
    refuse_gaps(plan)
    refuse_over_budget(plan)
    refuse_skew(plan)
    items = planner(app).items(plan)
    if app.control.stat(f"restores/{plan.id}/plan.json") is None:
        refuse_other_steps(plan, items)
        refuse_moved(plan, items)
    return runner(app, stop=stop).apply(plan, items)


def stored_plan(app: App, plan_id: str) -> RestorePlan:
    """A plan whose application was begun. Raises DrError NOT_FOUND."""
    name = f"restores/{plan_id}/plan.json"
    if "/" in plan_id or app.control.stat(name) is None:
        raise DrError(NOT_FOUND, f"no restore {plan_id!r} was begun", hint="`dr restore status` lists them")
    return decode(app.control.get(name), RestorePlan, f"{app.control.url}/{name}")


def begun(app: App) -> tuple[str, ...]:
    """Ids of all restores that were begun, oldest first."""
    return tuple(app.journal("restores").units())


def progress_of(app: App, plan_id: str) -> Standing:
    """How far one restore is. Raises DrError NOT_FOUND."""
    plan = stored_plan(app, plan_id)
    found = standing(plan, app.journal("restores").read(plan_id).record, app.clock.now())
    return replace(found, owner=describe(found.owner) if found.owner else "")


def tracked(app: App, plan: RestorePlan) -> Tracker | None:
    """Says what is left while the plan is applied, or goes on; None for a plan that does not tell its steps."""
    if not all(item.steps for item in plan.items):
        return None
    record = app.journal("restores").read(plan.id).record
    return Tracker(plan, {outcome.step: outcome.seconds for outcome in record.outcomes})


def unfinished(app: App) -> str:
    """The one restore that was begun and is not at its end. Raises DrError NOT_FOUND when there is none, USAGE when there are
    several."""
    left = [name for name in begun(app) if not progress_of(app, name).whole]
    if not left:
        raise DrError(NOT_FOUND, "no restore is unfinished", hint="`dr restore status` lists those that were begun")
    if len(left) > 1:
        raise DrError(USAGE, f"several restores are unfinished; say which: {', '.join(left)}")
    return left[0]
