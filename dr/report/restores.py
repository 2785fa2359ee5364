"""Restore plans, what became of them, and restores that were begun: as items for JSON and as sheets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from dr.model.plans import PlannedRestore, RestorePlan
from dr.model.runs import StepOutcome
from dr.model.timeline import format_instant
from dr.plan.standing import Standing, StepStanding
from dr.report import words
from dr.report.envelope import Item
from dr.report.plan_notes import gap_notes, outlook_notes, review_notes, skew_notes
from dr.report.sheet import Cell, Sheet, Tone, cell, columns_of

SHOWN = 4
"""Things named before the rest is counted."""


# --- restore ---------------------------------------------------------------------------------------------------------


def plan_sheet(plan: RestorePlan, now: datetime, *, wide: bool = False) -> Sheet:
    """What will be done: the point, its age, what is lost, what is created, predicted time and cost."""
    columns = columns_of("source", "from", "restored to", ">age", ">not restored", ">size", ">predicted", ">cost")
    rows = tuple(_plan_row(plan, item, now) for item in plan.items)
    return Sheet(columns, rows, tuple(_plan_notes(plan, wide)), empty="nothing to restore")


def _plan_row(plan: RestorePlan, item: PlannedRestore, now: datetime) -> tuple[Cell, ...]:
    lost = (plan.requested - item.instant).total_seconds()
    return (
        cell(item.source),
        cell(item.method),
        cell(format_instant(item.instant)),
        cell(words.span((now - item.instant).total_seconds())),
        cell(f"the last {words.span(lost)} before T" if lost else "nothing before T"),
        cell(words.size(item.size)),
        cell(words.span(item.predicted.total_seconds()) if item.predicted is not None else "not measured yet"),
        cell(f"{item.cost_usd:.4f} $"),
    )


def folded(entries: Sequence[str]) -> Sequence[str]:
    """A long list as its beginning and a count."""
    more = len(entries) - SHOWN
    return entries if more <= 1 else (*entries[:SHOWN], f"... and {more} more kinds of things (-o wide lists them)")


def recovery_notes(plan: RestorePlan, took: float) -> Iterable[str]:
    """What was declared, and the recovery time with it."""
    if plan.declared:
        steps = ", ".join(f"{step.name} {words.span(step.took.total_seconds())}" for step in plan.declared)
        whole = took + sum(step.took.total_seconds() for step in plan.declared)
        yield f"declared, not measured: {steps}; recovery time with it: {words.span(whole)}"


def _plan_notes(plan: RestorePlan, wide: bool) -> Iterable[str]:
    yield f"plan {plan.id}, requested {format_instant(plan.requested)}"
    yield from skew_notes(plan)
    yield from gap_notes(plan)
    yield from outlook_notes(plan, wide)
    for step in plan.declared:
        yield f"  before it, as declared: {step.name} {words.span(step.took.total_seconds())}"
    for item in plan.items:
        yield f"{item.source}:"
        yield from (f"  creates {entry}" for entry in (item.creates if wide else folded(item.creates)))
        yield from (f"  {reason}" for reason in item.reasons)
        yield from (f"  {text}" for text in review_notes(item.review, wide))
    over = dict.fromkeys(item.target.protected for item in plan.items if item.target.protected)
    written = f"live objects of {', '.join(over)} are written over, as named" if over else "the sources are not written"
    yield f"what is written after the restored instants is not in the restored copies; {written}"


def restored_item(source: str, domain: str, state: str, error: str, steps: Sequence[StepOutcome]) -> Item:
    return {
        "source": source,
        "domain": domain,
        "state": state,
        "error": error or None,
        "steps": [{"step": step.step, "seconds": round(step.seconds, 3)} for step in steps],
    }


def restored_sheet(items: Sequence[Mapping[str, object]], notes: Sequence[str]) -> Sheet:
    """One line a step."""
    rows: list[tuple[Cell, ...]] = []
    for item in items:
        steps = item["steps"]
        assert isinstance(steps, list)
        for step in steps:
            rows.append(
                (cell(item["source"]), cell(step["step"]), cell(words.span(step["seconds"])), cell("done", Tone.GOOD))
            )
        tone = Tone.GOOD if item["state"] == "done" else Tone.BAD
        total = sum(step["seconds"] for step in steps)
        rows.append((cell(item["source"]), cell("all"), cell(words.span(total)), cell(item["state"], tone)))
        if item["error"]:
            notes = (*notes, f"{item['source']}: {item['error']}")
    return Sheet(
        columns_of("source", "step", ">took", "state"), tuple(rows), tuple(notes), empty="nothing was restored"
    )


# --- restores that were begun ----------------------------------------------------------------------------------------

TONES = {"done": Tone.GOOD, "running": Tone.PLAIN, "failed": Tone.BAD, "waiting": Tone.DIM}


def begun_sheet(items: Sequence[Standing], *, steps: bool) -> Sheet:
    """One line a restore; `steps`: and one for each of its steps, what is to come too."""
    rows: list[tuple[Cell, ...]] = []
    for one in items:
        tone = Tone.GOOD if one.whole else Tone.WARN
        done = f"{one.done} of {len(one.steps)} steps"
        rows.append((cell(one.plan.id), cell(done), cell(_since(one)), cell(_left(one)), cell(_state(one), tone)))
        rows += [_step_row(step) for step in (one.steps if steps else ())]
    notes = tuple(note for one in items for note in _begun_notes(one))
    columns = columns_of("restore", "step", "at", ">took", "state")
    return Sheet(columns, tuple(rows), notes, empty="no restore was begun yet")


def _since(one: Standing) -> str:
    return format_instant(one.begun) if one.begun else words.NOTHING


def _left(one: Standing) -> str:
    return f"about {words.span(one.remaining_s)} left" if one.remaining_s else ""


def _state(one: Standing) -> str:
    return "being worked on" if one.alive else str(one.state)


def _step_row(step: StepStanding) -> tuple[Cell, ...]:
    outcome, state = step.outcome, str(step.state)
    took = words.span(outcome.seconds) if outcome else f"~{words.span(step.expected_s)}" if step.expected_s else ""
    at = format_instant(outcome.ended.wall) if outcome else ""
    return (cell(""), cell(step.key), cell(at), cell(took), cell(state, TONES[state]))


def _begun_notes(one: Standing) -> Iterable[str]:
    if one.message and not one.whole:
        yield f"{one.plan.id}: {one.message}"
    if one.alive:
        yield f"{one.plan.id} is being worked on by {one.owner}"
    elif not one.whole:
        yield f"go on with: dr restore resume {one.plan.id}"
