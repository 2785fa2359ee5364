"""The undo of a restore over what lives, as a plan."""

from __future__ import annotations

from dr.app.core import App
from dr.app.overlive import undo_plan
from dr.app.restores import planner, stored_plan
from dr.errors import NOT_FOUND, DrError
from dr.model.plans import RestorePlan
from dr.record.timings import read_timings
from dr.run.recipes import history_of, with_steps
from dr.run.reviewing import reviewed


def undo_of(app: App, restore: str) -> tuple[RestorePlan, bool]:
    """The plan, and whether it was begun already (then it goes on). Raises DrError NOT_FOUND, REJECTED."""
    plan = stored_plan(app, restore)
    try:
        return stored_plan(app, f"{restore}-undo"), True
    except DrError as error:
        if error.kind is not NOT_FOUND:
            raise
    made = undo_plan(app, plan, app.clock.now())
    items = planner(app).items(made)
    return reviewed(with_steps(made, items, history_of(read_timings(app.control))), items), False
