"""Captures: by hand, by CronJob, by the service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from dr.app.core import App
from dr.app.known import durations_of, recent_points
from dr.errors import CONFIGURATION, LOCKED, OVER_BUDGET, DrError
from dr.model.ids import Slot, SourceId
from dr.model.points import PointSummary
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant
from dr.plan.due import (
    Agenda,
    DueSlot,
    Phase,
    Schedule,
    SourceState,
    Standing,
    agenda,
    source_state,
    standing,
)
from dr.plan.patience import claim_lease, unmeasured
from dr.plan.rows import schedules
from dr.run.clock import SteadyClock
from dr.run.closing import close_passed_over
from dr.run.runner import Captured, CaptureResult

LOOK_BACK = 3
"""Cadences of journal that are read to decide what is due: more says nothing about the current slot."""
CLOSE_BACK = 100
"""Cadences in which slots that dead owners left are looked for: by their names in one listing."""
EARLY = timedelta(seconds=30)
"""A one-shot that is started so shortly before its slot is due waits for it."""


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


def never() -> bool:
    """Nobody asks to stop."""
    return False


def capture_all(app: App, slots: Sequence[Slot], stop: Callable[[], bool] = never) -> tuple[CaptureResult, ...]:
    """Each slot in a thread of its own; results in the order of `slots`."""
    with ThreadPoolExecutor(max(1, len(slots)), thread_name_prefix="capture") as pool:
        return tuple(pool.map(lambda slot: capture(app, slot, stop), slots))


def capture(
    app: App,
    slot: Slot,
    stop: Callable[[], bool] = never,
    *,
    hurry: Callable[[], bool] = never,
    patient: Callable[[int], timedelta] = unmeasured,
    since: datetime | None = None,
) -> CaptureResult:
    """One slot to its end; then older ones, due since `since`, whose owner died and that this one has passed over.

    `stop` is asked before each step, `hurry` inside steps too; `patient`: as the runner's `patience`.
    """
    return capture_of(app, slot, app.spec(slot.source), stop, hurry=hurry, patient=patient, since=since)


def capture_of(
    app: App,
    slot: Slot,
    spec: SourceSpec,
    stop: Callable[[], bool] = never,
    *,
    hurry: Callable[[], bool] = never,
    patient: Callable[[int], timedelta] = unmeasured,
    since: datetime | None = None,
) -> CaptureResult:
    """As `capture`, of a source that is told otherwise than by the table."""
    vault = app.vault(slot.source.component)
    app.prepare(slot.source.component)
    lease = lease_of(app, slot.source)
    renew_every = min(timedelta(seconds=20), lease / 4)
    base = app.capture_runner(stop)
    runner = replace(
        base,
        journal=replace(base.journal, lease=lease),
        engine=replace(base.engine, hurry=hurry, renew_every=renew_every),
        patience=patient,
    )
    result = runner.capture(app.source(spec), slot, vault, app.terms(spec))
    if result.ok and since is not None:
        # the point is there whatever becomes of the others: the next capture finds them again
        with suppress(DrError):
            close_passed_over(runner, slot, vault, since)
    return result


def lease_of(app: App, source: SourceId) -> timedelta:
    """How long a silent owner keeps a slot of this source."""
    row = app.strategy.objective(source.component)
    return claim_lease(row.rpo if row else timedelta(0))


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
        reader = replace(journal, lease=lease_of(app, schedule.source))
        history = reader.history(schedule.source, now - schedule.cadence * LOOK_BACK)
        records = [facts.record for facts in history]
        found[schedule.source] = source_state(schedule.source, records, newest.get(schedule.source), now)
    return found


def left_since(app: App, schedule: Schedule) -> datetime:
    """Slots that were due before are not looked for any more when what dead owners left is closed."""
    return app.clock.now() - schedule.cadence * CLOSE_BACK


def steady(app: App) -> SteadyClock:
    """Decide by the control repository's clock from here on, where it has one."""
    clock = app.clock = SteadyClock(app.clock)
    clock.correct(app.control.server_time())
    return clock


def agenda_now(app: App, components: Sequence[str] = ()) -> Agenda:
    """What is due, most urgent first, and where every source stands."""
    now = app.clock.now()
    points = recent_points(app, components)
    plan = scheduled(app, points, components)
    return agenda(plan, states(app, plan, points, now), now)


def due_now(app: App, components: Sequence[str] = ()) -> tuple[DueSlot, ...]:
    """Slots to run now, most urgent first."""
    return agenda_now(app, components).due


# --- one-shots that somebody else's clock starts -----------------------------------------------------------------------


def standings_now(app: App, components: Sequence[str], every: timedelta) -> tuple[Standing, ...]:
    """Where each source stands for a command that is started every `every`. Started a little before its slot is due, by
    a clock that is ahead, it waits for it."""
    found = _standings(app, components, every)
    early = [s.next - app.clock.now() for s in found if s.phase is Phase.DONE and s.next - app.clock.now() <= EARLY]
    if not early:
        return found
    app.clock.sleep(max(early).total_seconds())
    return _standings(app, components, every)


def _standings(app: App, components: Sequence[str], every: timedelta) -> tuple[Standing, ...]:
    now = app.clock.now()
    points = recent_points(app, components)
    plan = scheduled(app, points, components)
    known = states(app, plan, points, now)
    return tuple(standing(s, known[s.source], now, asked_every=every) for s in plan)


def capture_scheduled(
    app: App, components: Sequence[str], every: timedelta, stop: Callable[[], bool] = never
) -> tuple[CaptureResult, ...]:
    """The due slot of each source; nothing for one that is done; LOCKED for one that another process works on."""

    def run(found: Standing) -> CaptureResult:
        if found.phase is Phase.BUSY:
            until = format_instant(found.next)
            busy = DrError(LOCKED, f"{found.slot.source} is being captured by another process, at least until {until}")
            return CaptureResult(found.slot, Captured.LOCKED, error=busy)
        return capture(app, found.slot, stop, patient=found.schedule.patience, since=left_since(app, found.schedule))

    wanted = [found for found in standings_now(app, components, every) if found.phase is not Phase.DONE]
    with ThreadPoolExecutor(max(1, len(wanted)), thread_name_prefix="capture") as pool:
        return tuple(pool.map(run, wanted))
