"""Which drills are due, by the calendar and by what the control repository has of those before."""

from __future__ import annotations

from collections.abc import Iterator

from dr.app.core import App
from dr.app.watched import watched
from dr.model.drills import Scenario
from dr.plan.exercises import past_of
from dr.plan.quarters import DrillStanding, drill_standing
from dr.scenarios import load_scenario, shipped


def standing_of(app: App, scenario: Scenario) -> DrillStanding:
    """Asked anew: what another machine did counts. Raises DrError."""
    known = watched(app, fresh=True)
    return drill_standing(scenario.every, past_of(known.drills, scenario.name), app.clock.now())


def standings(app: App) -> Iterator[tuple[Scenario, DrillStanding]]:
    """Of every shipped scenario."""
    lines = watched(app, fresh=True).drills
    for scenario in map(load_scenario, shipped()):
        yield scenario, drill_standing(scenario.every, past_of(lines, scenario.name), app.clock.now())
