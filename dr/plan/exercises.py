"""Drills by the calendar: the whole exercise each quarter, and for each row that is captured its own small one each night. Pure.

Named as the shipped scenarios are (a test compares), so that `dr status` need not read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dr.model.strategy import Strategy
from dr.plan.proof import DrillLine
from dr.plan.quarters import NIGHT, QUARTER, DrillStanding, Past, drill_standing

QUARTERLY = "quarterly"


@dataclass(frozen=True, slots=True)
class Exercise:
    """One scenario that is due by the calendar, and the rows that it drills."""

    scenario: str
    every: str
    components: tuple[str, ...]
    standing: DrillStanding


def nightly(component: str) -> str:
    """Name of the row's own small drill."""
    return f"nightly-{component}"


def exercises(strategy: Strategy, lines: Sequence[DrillLine], now: datetime) -> tuple[Exercise, ...]:
    """The quarterly one first; none where nothing is captured."""
    captured = tuple(row.component for row in strategy.objectives if row.sources)
    wanted = [(QUARTERLY, QUARTER, captured)] if captured else []
    wanted += [(nightly(component), NIGHT, (component,)) for component in captured]
    return tuple(
        Exercise(scenario, every, components, drill_standing(every, past_of(lines, scenario), now))
        for scenario, every, components in wanted
    )


def past_of(lines: Iterable[DrillLine], scenario: str) -> list[Past]:
    """Every drill of that scenario that is known."""
    return [Past(line.at, line.how) for line in lines if line.scenario == scenario]


def next_drill(found: Iterable[Exercise], component: str) -> datetime | None:
    """When the row is drilled next; in the past when it should have been."""
    return min((one.standing.next for one in found if component in one.components and one.standing.next), default=None)
