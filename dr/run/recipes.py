"""The steps of a restore plan, told by the restorers themselves: what is planned is what will run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from dr.errors import REJECTED, DrError
from dr.model.graph import Estimate, PlannedStep
from dr.model.ids import SourceId
from dr.model.plans import PlannedRestore, RestorePlan
from dr.model.samples import Timings
from dr.plan.outlook import Sample, estimate
from dr.ports import Step
from dr.run.restore import RestoreItem, chains_of, works_of
from dr.run.walking import recipe_graph

Predict = Callable[[PlannedRestore, str], Estimate | None]
"""Of one step of an item; None where too little is known for bounds."""
History = Mapping[tuple[SourceId, str, str], Sequence[Sample]]
"""By source, method and step, oldest first."""


def history_of(timings: Iterable[Timings]) -> History:
    """Steps that came to their end; one that was cut off says only how long it took at least."""
    found: dict[tuple[SourceId, str, str], list[Sample]] = {}
    for run in sorted(timings, key=lambda one: one.at):
        for item in run.items:
            for step in item.steps:
                if step.ended:
                    found.setdefault((item.source, item.method, step.step), []).append((item.size, step.seconds))
    return found


def with_steps(
    plan: RestorePlan, items: Sequence[RestoreItem], history: History, predict: Predict = lambda _item, _step: None
) -> RestorePlan:
    """The plan with each item's recipe and what it should take: as `predict` says, else from the history as it is. Raises
    DrError REJECTED when items wait for each other."""
    recipes = [tuple(item.restorer.steps(work)) for item, work in zip(items, works_of(plan, items), strict=True)]
    recipe_graph(chains_of(items, recipes))
    planned = tuple(
        replace(
            item.planned,
            steps=tuple(_planned(item, step, history, predict(item.planned, step.name)) for step in recipe),
        )
        for item, recipe in zip(items, recipes, strict=True)
    )
    return replace(plan, items=planned)


def _planned(item: RestoreItem, step: Step, history: History, predicted: Estimate | None) -> PlannedStep:
    samples = history.get((item.planned.source, item.planned.method, step.name), ())
    found = predicted or estimate(samples, step.size)
    return PlannedStep(step.name, step.kind, step.beside, step.after, step.size, found)


def refuse_other_steps(plan: RestorePlan, items: Sequence[RestoreItem]) -> None:
    """A saved plan is applied by the steps that were reviewed, or not at all. Raises DrError REJECTED."""
    for item, work in zip(items, works_of(plan, items), strict=True):
        reviewed = [step.name for step in item.planned.steps]
        steps = [step.name for step in item.restorer.steps(work)]
        if reviewed and steps != reviewed:
            text = f"this dr would restore {item.planned.source} by other steps than were reviewed"
            raise DrError(REJECTED, text, hint="make a new plan: `dr restore plan`")
