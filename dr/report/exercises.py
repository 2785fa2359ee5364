"""Below the status: drills by the calendar, and the SLA credit at risk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from dr.plan.credit import AtRisk
from dr.plan.exercises import Exercise, next_drill
from dr.plan.overview import Overview
from dr.plan.quarters import NIGHT
from dr.report import words
from dr.report.envelope import Item, when


def with_next_drill(item: Item, found: Sequence[Exercise]) -> Item:
    """A row's line of `dr status`, with the instant of its next drill."""
    return {**item, "next_drill": when(next_drill(found, str(item["component"])))}


def exercise_item(one: Exercise) -> Item:
    return {
        "scenario": one.scenario,
        "every": one.every,
        "components": list(one.components),
        "due": one.standing.due,
        "late": one.standing.late,
        "next": when(one.standing.next),
        "why": one.standing.why,
    }


def risk_item(risk: AtRisk | None) -> Item | None:
    if risk is None:
        return None
    return {"percent_of_month": risk.percent, "slow": list(risk.slow), "unknown": list(risk.unknown)}


def exercise_notes(found: Overview, now: datetime) -> Iterable[str]:
    """The quarterly exercise with its standing; the nightly ones in one line; what a slow recovery would cost."""
    for one in found.exercises:
        if one.every != NIGHT:
            yield f"drill {one.scenario}: {_standing(one, now)}"
    due = [one.scenario for one in found.exercises if one.every == NIGHT and one.standing.due]
    if due:
        yield f"drills due tonight: {', '.join(due)}"
    if found.at_risk is not None:
        yield risk_words(found.at_risk)


def _standing(one: Exercise, now: datetime) -> str:
    standing = one.standing
    if standing.due:
        return f"{'LATE' if standing.late else 'due now'} ({standing.why}); run it: dr drill run {one.scenario}"
    return (
        f"due {words.instant(standing.next)} ({standing.why})"
        if standing.next and standing.next > now
        else standing.why
    )


def risk_words(risk: AtRisk) -> str:
    """`SLA credit at risk: 25 % of the month: cluster/source took 5 h; never drilled: audit/source`."""
    if not risk.percent:
        return "SLA credit at risk: none, by the last drill of every row"
    why = [*risk.slow, *([f"never drilled: {_counted(risk.unknown)}"] if risk.unknown else [])]
    return f"SLA credit at risk: {risk.percent:g} % of the month: {'; '.join(why)}"


def _counted(names: Sequence[str]) -> str:
    """Domains of one component together."""
    found: dict[str, list[str]] = {}
    for name in names:
        component, _, domain = name.partition("/")
        found.setdefault(component, []).append(domain)
    return ", ".join(f"{component} ({', '.join(domains)})" for component, domains in found.items())
