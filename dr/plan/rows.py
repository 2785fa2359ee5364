"""The plan: for every row of the table and every failure domain, the cadence, the worst case and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dr.model.ids import SourceId
from dr.model.strategy import FailureDomain, Objective, Place, SourceSpec, Strategy
from dr.plan.cadence import Cadence, best_effort, continuous_cadence, derive_cadence
from dr.plan.cost import Cost, dollars, month_of_captures, pitr_month_cost
from dr.plan.due import Schedule
from dr.plan.modes import MODES, CaptureMode
from dr.plan.predict import predict, rounded
from dr.plan.prices import prices_from
from dr.plan.survive import Survival, survival
from dr.ports import SourceFacts

NOT_CAPTURED = "not captured yet"
NOWHERE = Place()
PACK_PATIENCE = 7
"""Packs of a change log are urgent only when so many of them are missing."""


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One row and domain. `worst` None: this RPO cannot be kept; `met` is False then, and the reasons say why."""

    component: str
    domain: FailureDomain
    sources: tuple[str, ...]
    cadence: timedelta | None
    duration: timedelta | None
    """Of one capture, as reckoned with; `measured` says whether by measurement."""
    measured: bool
    continuous: bool
    """Captured as it changes; the cadence is then that of the log's packs."""
    rto: timedelta
    rpo: timedelta
    worst: timedelta | None
    met: bool
    declared: bool
    """Not met, but all that the declared capture mode promises: `0 lost, not guaranteed`. No miss."""
    judged: bool
    """The strategy wants this domain; the others are shown for information."""
    month_usd: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _SourcePlan:
    """What one source contributes to every domain of its row."""

    spec: SourceSpec
    mode: CaptureMode
    cadence: Cadence
    facts: SourceFacts | None
    survival: tuple[Survival, ...]
    month: Cost | None


Durations = Mapping[SourceId, Sequence[timedelta]]
"""Measured captures of each source, start to commit, oldest first."""


def plan_table(
    strategy: Strategy,
    vaults: Mapping[str, Place],
    facts: Mapping[SourceId, SourceFacts],
    durations: Durations,
    modes: Mapping[str, CaptureMode] = MODES,
) -> tuple[PlannedRow, ...]:
    """One row for each component and domain, in the table's order.

    `vaults`: where each component's vault lives; `facts`: what was observed (a source that could not be asked is absent).
    """
    rows: list[PlannedRow] = []
    for objective in strategy.objectives:
        plans = _source_plans(strategy, objective, vaults.get(objective.component, NOWHERE), facts, durations, modes)
        rows += [_row(objective, domain, plans) for domain in FailureDomain]
    return tuple(rows)


def schedules(
    strategy: Strategy, durations: Durations, modes: Mapping[str, CaptureMode] = MODES
) -> tuple[Schedule, ...]:
    """The cadence of every source, for the scheduler: by the same arithmetic as the plan shows, and where that finds none, as
    often as can be."""
    found = []
    for objective in strategy.objectives:
        for spec in objective.sources:
            mode = modes.get(spec.id.kind)
            if mode and (schedule := _schedule(strategy, objective, spec, mode, durations)):
                found.append(schedule)
    return tuple(found)


def _schedule(
    strategy: Strategy, objective: Objective, spec: SourceSpec, mode: CaptureMode, durations: Durations
) -> Schedule | None:
    cadence = _cadence(strategy, objective, spec, mode, durations)
    prediction = predict(durations.get(spec.id, ()))
    every = cadence.every or best_effort(objective.rpo, prediction, strategy.margin, mode.granularity_of(spec))
    if every is None:
        return None
    # packs can wait: what they hold is durable in the log already
    rpo = PACK_PATIENCE * every if mode.log else objective.rpo
    return Schedule(spec.id, every, rpo, cadence.duration, bool(mode.log), cadence.measured)


def _cadence(
    strategy: Strategy, objective: Objective, spec: SourceSpec, mode: CaptureMode, durations: Durations
) -> Cadence:
    prediction = predict(durations.get(spec.id, ()))
    if mode.log:
        return continuous_cadence(mode.pack_every(spec), prediction, mode.noun)
    return derive_cadence(objective.rpo, prediction, strategy.margin, mode.granularity_of(spec), objective.frequency)


def _source_plans(
    strategy: Strategy,
    objective: Objective,
    vault: Place,
    facts: Mapping[SourceId, SourceFacts],
    durations: Durations,
    modes: Mapping[str, CaptureMode],
) -> tuple[_SourcePlan, ...]:
    plans = []
    for spec in objective.sources:
        if mode := modes.get(spec.id.kind):
            cadence = _cadence(strategy, objective, spec, mode, durations)
            seen = facts.get(spec.id)
            month = _month(strategy, cadence, seen)
            plans.append(_SourcePlan(spec, mode, cadence, seen, survival(spec.place, vault), month))
    return tuple(plans)


def _month(strategy: Strategy, cadence: Cadence, facts: SourceFacts | None) -> Cost | None:
    if facts is None or cadence.every is None:
        return None
    words = facts.cost_arithmetic or "no charge for reading"
    cost = month_of_captures(Cost(facts.capture_cost_usd, words), cadence.every)
    if facts.coverage and facts.size:
        cost += pitr_month_cost(facts.size, prices_from(strategy.prices))
    return cost


def _row(objective: Objective, domain: FailureDomain, plans: tuple[_SourcePlan, ...]) -> PlannedRow:
    complete = bool(plans) and len(plans) == len(objective.sources)
    answers = [_answer(plan, domain) for plan in plans]
    worsts = [worst for worst, _ in answers]
    worst = max((w for w in worsts if w is not None), default=None) if complete and None not in worsts else None
    met = worst is not None and (worst < objective.rpo or (not worst and all(map(_continuous, plans))))
    reasons = tuple(dict.fromkeys(reason for _, found in answers for reason in found))
    everies = [plan.cadence.every for plan in plans if plan.cadence.every]
    return PlannedRow(
        component=objective.component,
        domain=domain,
        sources=tuple(str(spec.id) for spec in objective.sources),
        cadence=min(everies, default=None),
        duration=max((plan.cadence.duration for plan in plans), default=None),
        measured=bool(plans) and all(plan.cadence.measured for plan in plans),
        continuous=bool(plans) and all(map(_continuous, plans)),
        rto=objective.rto,
        rpo=objective.rpo,
        worst=worst,
        met=met,
        declared=not met and complete and all(_survives(plan, domain) and plan.mode.promise for plan in plans),
        judged=domain in objective.domains,
        month_usd=sum(plan.month.usd for plan in plans if plan.month) if any(plan.month for plan in plans) else None,
        reasons=(*_not_captured(objective, plans), *reasons),
    )


def _not_captured(objective: Objective, plans: tuple[_SourcePlan, ...]) -> tuple[str, ...]:
    if not objective.sources:
        return (f"{NOT_CAPTURED}: the row declares no source",)
    captured = {plan.spec.id for plan in plans}
    return tuple(f"{NOT_CAPTURED}: {spec.id}" for spec in objective.sources if spec.id not in captured)


def _answer(plan: _SourcePlan, domain: FailureDomain) -> tuple[timedelta | None, tuple[str, ...]]:
    """Worst case of one source for one domain, with reasons."""
    if plan.mode.log:
        return _answer_of_log(plan, domain)
    live = _live(plan, domain)
    place = next(entry for entry in plan.survival if entry.domain is domain)
    words = f"{domain} domain: {plan.mode.noun} {'survives' if place.survives else 'does not survive'}: {place.reason}"
    worst = plan.cadence.worst if place.survives else None
    tail = (*plan.cadence.reasons, *_month_words(plan))
    if live is not None and (worst is None or live[0] <= worst):
        return live[0], (live[1], words, *tail)
    return worst, (words + _live_gap(plan), *tail)


def _answer_of_log(plan: _SourcePlan, domain: FailureDomain) -> tuple[timedelta | None, tuple[str, ...]]:
    """A change log in the vault: every instant of it is a recovery point; what was in flight is the mode's promise."""
    place = next(entry for entry in plan.survival if entry.domain is domain)
    words = (
        f"{domain} domain: the {plan.mode.noun} {'survives' if place.survives else 'does not survive'}: {place.reason}"
    )
    guaranteed = place.survives and domain in plan.mode.guaranteed
    promise = (
        plan.mode.promise
        if guaranteed or not plan.mode.guaranteed
        else f"{plan.mode.promise}, not with domain {domain}"
    )
    return timedelta(0) if guaranteed else None, (words, promise, *plan.cadence.reasons, *_month_words(plan))


def _continuous(plan: _SourcePlan) -> bool:
    return bool(plan.mode.log)


def _survives(plan: _SourcePlan, domain: FailureDomain) -> bool:
    return any(entry.survives for entry in plan.survival if entry.domain is domain)


def _live(plan: _SourcePlan, domain: FailureDomain) -> tuple[timedelta, str] | None:
    coverage = plan.facts.coverage if plan.facts else None
    if coverage is None or domain not in coverage.survives:
        return None
    reach = rounded(coverage.end - coverage.start)
    words = (
        f"{domain} domain: {coverage.method} reaches back {reach} in steps of {rounded(coverage.granularity)}, "
        f"which is the worst case; older instants come from {plan.mode.noun}s"
    )
    return coverage.granularity, words


def _live_gap(plan: _SourcePlan) -> str:
    """Why the source's own history does not answer here."""
    if not plan.mode.live:
        return ""
    if plan.facts is None:
        return f"; {plan.mode.live} is not counted, the source was not observed"
    if plan.facts.coverage is None:
        return f"; {plan.mode.live} is off"
    return f"; {plan.mode.live} is not counted, it is kept inside the source"


def _month_words(plan: _SourcePlan) -> tuple[str, ...]:
    return (f"cost about {dollars(plan.month.usd)} a month: {plan.month.arithmetic}",) if plan.month else ()
