"""Which CronJobs a strategy needs, as values: what each runs, as whom, when, and how long it may take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dr.model.drills import Choice, Scenario
from dr.model.strategy import Objective, Strategy
from dr.model.timeline import format_duration
from dr.plan.due import Schedule
from dr.plan.modes import MODES
from dr.plan.permissions import CAPTURE, PRUNE, RESTORE
from dr.plan.quarters import QUARTER
from dr.schedules.cron import firing_for

LONGEST_NAME = 52
"""Kubernetes adds eleven characters for the Job."""
VERIFY_BACK = timedelta(days=8)
"""A weekly verification looks a day further back than a week, so that a late one leaves no point out."""
_TEARDOWN = timedelta(hours=1)
_UNTIL_LATE = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Job:
    """One CronJob."""

    name: str
    why: str
    """For people, as a comment."""
    args: tuple[str, ...]
    identity: str
    schedule: str
    deadline: timedelta
    """Ended after this."""
    late: timedelta
    """Started so much late, or not at all: the next one does its work."""
    retries: int
    suspended: bool = False


def capture_jobs(strategy: Strategy, schedules: Sequence[Schedule]) -> tuple[Job, ...]:
    """One for each row that is captured, in the table's order."""
    found = []
    for row in strategy.objectives:
        mine = [schedule for schedule in schedules if schedule.source.component == row.component]
        if mine:
            found.append(_capture(row, mine))
    return tuple(found)


def _capture(row: Objective, schedules: Sequence[Schedule]) -> Job:
    shortest = min(schedules, key=lambda schedule: schedule.cadence)
    cadence = shortest.cadence
    for schedule in schedules:  # a firing at each slot of every source of the row
        cadence = timedelta(seconds=math.gcd(int(cadence.total_seconds()), int(schedule.cadence.total_seconds())))
    firing = firing_for(cadence)
    return Job(
        name=job_name("capture", row.component),
        why=_because(row, shortest.cadence, firing.every),
        # told how often it is started, it takes early what its next start would take too late
        args=("backup", row.component, "--scheduled", "--every", format_duration(firing.every)),
        identity=CAPTURE,
        schedule=firing.expression,
        # whoever takes longer has missed the objective, and stands in the way of the next
        deadline=row.rpo or cadence,
        late=firing.every,
        retries=2,
    )


def _because(row: Objective, cadence: timedelta, every: timedelta) -> str:
    if any(mode.log for spec in row.sources if (mode := MODES.get(spec.id.kind))):
        return (
            f"{row.component}: catches up with its changes and packs them every {format_duration(cadence)}. "
            f"The RPO of {format_duration(row.rpo)} needs the service, which follows each change"
        )
    words = (
        f"{row.component}: RPO < {format_duration(row.rpo)} needs a point every {format_duration(cadence)} (dr plan)"
    )
    if every != cadence:
        words += f", which cron cannot say: each {format_duration(every)}, firings between slots find theirs done"
    return words


def upkeep_jobs(strategy: Strategy, scenarios: Iterable[Scenario]) -> tuple[Job, ...]:
    """Prune, verify, drill: what the service does not do itself. Each row has its small drill every night, the whole exercise is
    due each calendar quarter."""
    prune = Job(
        name="dr-prune",
        why="Daily: what the retention lets go gets a tombstone, and after its grace is deleted",
        args=("points", "prune", "--scheduled"),
        identity=PRUNE,
        schedule="41 3 * * *",
        deadline=timedelta(hours=6),
        late=_UNTIL_LATE,
        retries=1,
    )
    verify = Job(
        name="dr-verify",
        why="Weekly: every byte of the points since the last time is read back",
        args=("points", "verify", "--since", format_duration(VERIFY_BACK)),
        identity=RESTORE,
        schedule="23 4 * * 0",
        deadline=timedelta(days=1),
        late=_UNTIL_LATE,
        retries=1,
    )
    drills = [_drill(strategy, scenario, number) for number, scenario in enumerate(_drillable(strategy, scenarios))]
    return (prune, verify, *drills, *([_reap()] if drills else []))


def _reap() -> Job:
    return Job(
        name="dr-reap",
        why="Hourly: what a drill that died left behind goes, once it has expired",
        args=("drill", "reap"),
        identity=RESTORE,
        schedule="11 * * * *",
        deadline=timedelta(hours=1),
        late=timedelta(minutes=30),
        retries=0,
    )


def _drillable(strategy: Strategy, scenarios: Iterable[Scenario]) -> list[Scenario]:
    """Those that run by the calendar and of which at least one row is captured, and can be judged without a person who brings a
    writer's record."""
    return [scenario for scenario in scenarios if scenario.every and _judged(strategy, scenario)]


def _judged(strategy: Strategy, scenario: Scenario) -> list[str]:
    """Components of the scenario that can be judged: an old point is judged by the instant that it restores, a new one by the
    living source or by a writer's record."""
    covered = dict.fromkeys(key.component for key in scenario.rows)
    known = _captured(strategy) if scenario.choice is Choice.RANDOM else _witnessed(strategy)
    return [component for component in covered if component in known]


def _captured(strategy: Strategy) -> set[str]:
    return {row.component for row in strategy.objectives if row.sources}


def _witnessed(strategy: Strategy) -> set[str]:
    """Components whose sources tell themselves what they held."""
    rows = [row for row in strategy.objectives if row.sources]
    return {row.component for row in rows if all(MODES[spec.id.kind].witnesses(spec) for spec in row.sources)}


def _drill(strategy: Strategy, scenario: Scenario, number: int) -> Job:
    """A quarterly one fires each day: `--if-due` decides by the calendar and by what was drilled, so that a firing that was
    missed, or a drill that died, costs a day and not a quarter."""
    quarterly = scenario.every == QUARTER
    when = "0 6 * * *" if quarterly else f"{17 + 7 * (number % 6)} {1 + number % 3} * * *"
    rtos = [row.rto for key in scenario.rows if (row := strategy.objective(key.component)) and row.sources]
    return Job(
        name=job_name("drill", scenario.name),
        why=f"{'Each calendar quarter' if quarterly else 'Nightly'}: {' '.join(scenario.why.split())}",
        args=("drill", "run", scenario.name, "--if-due", *_narrowed(strategy, scenario)),
        identity=RESTORE,
        schedule=when,
        # past its rows' objectives the drill has failed; it still needs time to take away what it made
        deadline=sum(rtos, timedelta(0)) + _TEARDOWN,
        late=timedelta(hours=1),
        retries=0,
    )


def _narrowed(strategy: Strategy, scenario: Scenario) -> tuple[str, ...]:
    """`--component` for each row that can be judged, when some can't."""
    covered = dict.fromkeys(key.component for key in scenario.rows)
    judged = _judged(strategy, scenario)
    return () if len(judged) == len(covered) else tuple(word for name in judged for word in ("--component", name))


def job_name(kind: str, what: str) -> str:
    """`dr-capture-cluster`, never longer than a CronJob's name may be."""
    return f"dr-{kind}-{what}"[:LONGEST_NAME].rstrip("-")
