"""What stands below the table of a restore plan: skew, gaps, the graph and its critical path, and the review."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from dr.model.graph import PlannedStep
from dr.model.plans import RestorePlan
from dr.model.review import Review
from dr.model.timeline import format_instant
from dr.plan.graph import Node
from dr.plan.outlook import Outlook, outlook, planned_graph
from dr.plan.skew import skew_of
from dr.report import words

SHOWN = 4
"""Things named before the rest is counted."""
GAINS = 3
"""Changes that are named: further ones buy less."""


def skew_notes(plan: RestorePlan) -> Iterable[str]:
    """How far apart the sources are restored."""
    skew = skew_of((str(item.source), item.instant) for item in plan.items)
    if skew is None or len(plan.items) < 2:
        return
    if not skew.span:
        yield "every source is restored to the same instant"
        return
    allowed = f", of {words.span(plan.max_skew.total_seconds())} allowed" if plan.max_skew is not None else ""
    yield (
        f"skew {words.span(skew.span.total_seconds())}{allowed}: {skew.oldest_source} at {format_instant(skew.oldest)}, "
        f"{skew.newest_source} at {format_instant(skew.newest)}"
    )
    if plan.offer:
        near = f"{words.span(plan.offer.skew.total_seconds())} apart" if plan.offer.skew else "all at one instant"
        yield f"  at {format_instant(plan.offer.instant)} they would be {near}"


def gap_notes(plan: RestorePlan) -> Iterable[str]:
    """What cannot be restored, and what could be, loss by loss."""
    for gap in plan.gaps:
        yield f"{gap.source} CANNOT be restored: {gap.reason}"
        yield from (f"  if only {one.domain} is lost: {_near(one.before, one.after)}" for one in gap.domains)


def _near(before: datetime | None, after: datetime | None) -> str:
    found = [f"{format_instant(at)} ({word})" for at, word in ((before, "before"), (after, "after")) if at]
    return " and ".join(found) or "nothing"


# --- the graph ------------------------------------------------------------------------------------------------------


def outlook_notes(plan: RestorePlan, wide: bool) -> Iterable[str]:
    """How long it should take, what decides that, and what would shorten it. `wide`: every step."""
    found = outlook(plan)
    if not any(item.steps for item in plan.items):
        return
    yield _whole(found)
    if found.measured:
        names = short_names(plan)
        yield f"  critical path: {' > '.join(names[key] for key in found.path)}"
        yield from (
            f"  {names.get(gain.what, gain.what)} could save at most {words.span(gain.saves.total_seconds())}: {gain.advice}"
            for gain in found.gains[:GAINS]
        )
    if wide:
        critical = frozenset(found.path)
        yield from (step_line(node, node.key in critical) for node in planned_graph(plan).nodes)


def short_names(plan: RestorePlan) -> Mapping[str, str]:
    """Key of a step -> `appdata import`, for people; with several sources in a row `appdata/db-2 import`."""
    components = Counter(item.source.component for item in plan.items)
    return {
        f"{item.key}.{step.name}": f"{component}{'' if components[component] == 1 else f'/{item.source.name}'} {step.name}"
        for item in plan.items
        for component in (item.source.component,)
        for step in item.steps
    }


def _whole(found: Outlook) -> str:
    unknown = f"; {len(found.unknown)} steps were never measured and are not counted" if found.unknown else ""
    if not found.measured:
        return "no step was measured yet: how long it takes is not known"
    low, high = words.span(found.quickest.total_seconds()), words.span(found.slowest.total_seconds())
    return f"takes about {words.span(found.median.total_seconds())} ({low} to {high} by what was measured){unknown}"


def step_line(node: Node[PlannedStep], critical: bool) -> str:
    """One node of the graph."""
    found = node.step.estimate
    took = "not measured"
    if found:
        low, high = words.span(found.quickest.total_seconds()), words.span(found.slowest.total_seconds())
        runs = "1 run" if found.samples == 1 else f"{found.samples} runs"
        took = f"{words.span(found.median.total_seconds())} ({low} to {high}, {runs})"
    after = f" after {', '.join(node.needs)}" if node.needs else ""
    return f"  {'*' if critical else ' '} {node.key} [{node.step.kind}] {took}{after}"


# --- the review -----------------------------------------------------------------------------------------------------


def review_notes(review: Review | None, wide: bool) -> Iterable[str]:
    """What happens to the living world, the worst last."""
    if review is None:
        return
    kinds = (
        ("changes", review.changes),
        ("deletes", review.deletes),
        ("leaves out", review.skipped),
        ("conflict", review.conflicts),
        ("lost", review.lost),
    )
    for word, texts in kinds:
        yield from (f"{word}: {text}" for text in _some(texts, wide))


def _some(texts: Sequence[str], wide: bool) -> Iterable[str]:
    more = len(texts) - SHOWN
    yield from texts if wide or more <= 1 else texts[:SHOWN]
    if not wide and more > 1:
        yield f"... and {more} more (-o wide lists them)"
