"""Captures: by hand, by CronJob, by the service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from dr.app.core import App
from dr.app.known import all_points, durations_of
from dr.errors import CONFIGURATION, OVER_BUDGET, DrError
from dr.model.ids import Slot, SourceId
from dr.model.points import PointSummary
from dr.model.strategy import SourceSpec
from dr.plan.due import DueSlot, Schedule, SourceState, due_slots, source_state
from dr.plan.rows import schedules
from dr.run.runner import CaptureResult

LOOK_BACK = 3
"""Cadences of journal that are read to decide what is due: more says nothing about the current slot."""


def specs_of(app: App, components: Sequence[str]) -> tuple[SourceSpec, ...]:
    """Sources to capture. Raises DrError UNKNOWN_COMPONENT; CONFIGURATION when a named row is not captured yet."""
    for row in app.rows(components):
        if components and not row.sources:
            raise DrError(CONFIGURATION, f"{row.component} is not captured yet: the strategy declares no source for it")
    return app.specs(components)


def slots_now(app: App, components: Sequence[str], tag: str) -> tuple[Slot, ...]:
    """Manual slots of this instant; `tag` keeps them apart from all others."""
    due = app.clock.now().replace(microsecond=0)
    return tuple(Slot(spec.id, due, tag) for spec in specs_of(app, components))


def refuse_captures_over(app: App, components: Sequence[str], max_cost_usd: float | None) -> None:
    """Raises DrError OVER_BUDGET with the arithmetic when one capture of each source would cost more."""
    if max_cost_usd is None:
        return
    facts = [app.source(spec).observe() for spec in specs_of(app, components)]
    total = sum(fact.capture_cost_usd for fact in facts)
    if total > max_cost_usd:
        words = "; ".join(fact.cost_arithmetic for fact in facts if fact.cost_arithmetic)
        raise DrError(
            OVER_BUDGET,
            f"these captures are estimated at {total:.4f} $ ({words}), above --max-cost {max_cost_usd:.4f} $",
        )


def capture_all(app: App, slots: Sequence[Slot], stop: Callable[[], bool] = lambda: False) -> tuple[CaptureResult, ...]:
    """Each slot in a thread of its own; results in the order of `slots`."""
    with ThreadPoolExecutor(max(1, len(slots)), thread_name_prefix="capture") as pool:
        return tuple(pool.map(lambda slot: capture(app, slot, stop), slots))


def capture(app: App, slot: Slot, stop: Callable[[], bool] = lambda: False) -> CaptureResult:
    """One slot to its end."""
    spec = app.spec(slot.source)
    vault = app.vault(slot.source.component)
    app.prepare(slot.source.component)
    return app.capture_runner(stop).capture(app.source(spec), slot, vault, app.terms(spec))


# --- what is due -----------------------------------------------------------------------------------------------------


def scheduled(app: App, points: Sequence[PointSummary], components: Sequence[str] = ()) -> tuple[Schedule, ...]:
    """The derived cadence of every source asked for."""
    wanted = {spec.id for spec in specs_of(app, components)}
    return tuple(s for s in schedules(app.strategy, durations_of(points)) if s.source in wanted)


def states(
    app: App, plan: Sequence[Schedule], points: Sequence[PointSummary], now: datetime
) -> dict[SourceId, SourceState]:
    """What the journal and the vaults know of each scheduled source."""
    journal = app.journal()
    newest: dict[SourceId, datetime] = {}
    for point in points:
        newest[point.source] = max(point.as_of, newest.get(point.source, point.as_of))
    found = {}
    for schedule in plan:
        history = journal.history(schedule.source, now - schedule.cadence * LOOK_BACK)
        records = [facts.record for facts in history]
        found[schedule.source] = source_state(schedule.source, records, newest.get(schedule.source), now)
    return found


def due_now(app: App, components: Sequence[str] = ()) -> tuple[DueSlot, ...]:
    """Slots to run now, most urgent first."""
    now = app.clock.now()
    points = all_points(app, components)
    plan = scheduled(app, points, components)
    return due_slots(plan, states(app, plan, points, now), now)
