"""From what a drill's items journalled to judged rows. Pure: the same journal gives the same report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dr.model.drills import DrillOrder, RowKey
from dr.model.evidence import Clocks, DrillRow, Loss, LostWrites, Recovery, StepTiming, Tried, Verdict
from dr.model.plans import PlannedRestore
from dr.model.points import Check
from dr.model.runs import Stamp, StepOutcome
from dr.model.strategy import FailureDomain, Objective, Strategy
from dr.plan.judge import judge, loss, undrilled, witness_check
from dr.plan.modes import MODES
from dr.run.drillplan import NotPlanned
from dr.run.measured import CHECK_STEP, VERIFY_STEP, decode_checks, decode_lost

_NEW_CLUSTER = frozenset({FailureDomain.CLUSTER, FailureDomain.REGION, FailureDomain.PROJECT})


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one item of the drill's plan. `error` empty: every step ended."""

    item: PlannedRestore
    outcomes: tuple[StepOutcome, ...]
    error: str = ""
    tried: tuple[Tried, ...] = ()
    """Copies of a search, this one among them."""
    ended: Stamp | None = None
    """Of the search: only then it was known that this copy is the one."""


def judged_rows(
    order: DrillOrder, strategy: Strategy, results: Sequence[ItemResult], unplanned: Sequence[NotPlanned]
) -> tuple[DrillRow, ...]:
    """Every row and domain of the table, in its order: measured, failed, not drilled, or not captured yet."""
    rows: list[DrillRow] = []
    for objective in strategy.objectives:
        for domain in objective.domains:
            key = RowKey(objective.component, domain)
            rows += _rows(order, objective, key, results, unplanned)
    return tuple(rows)


def _rows(
    order: DrillOrder,
    objective: Objective,
    key: RowKey,
    results: Sequence[ItemResult],
    unplanned: Sequence[NotPlanned],
) -> list[DrillRow]:
    mine = [r for r in results if (r.item.source.component, r.item.domain) == (key.component, key.domain)]
    missing = [entry for entry in unplanned if entry.key == key]
    rows = [_measured_row(order, objective, result) for result in mine]
    rows += [_failed_row(order, objective, entry) for entry in missing]
    if rows:
        return rows
    verdict = Verdict.NOT_DRILLED if objective.sources else Verdict.NOT_CAPTURED
    return [undrilled(objective, key.domain, verdict)]


def _failed_row(order: DrillOrder, objective: Objective, entry: NotPlanned) -> DrillRow:
    row = undrilled(objective, entry.key.domain, Verdict.FAILED, entry.source)
    return judge(replace(row, findings=(entry.reason,)), None, order.disaster_at)


def _measured_row(order: DrillOrder, objective: Objective, result: ItemResult) -> DrillRow:
    by_step = {outcome.step: outcome for outcome in result.outcomes}
    last = by_step.get(CHECK_STEP)
    lost = decode_lost(last.data["lost"]) if last else None
    source, domain = str(result.item.source), result.item.domain
    row = DrillRow(
        component=objective.component,
        domain=domain,
        source=source,
        verdict=Verdict.FAILED,
        rto=_recovery(order, objective, result),
        rpo=_loss(order, objective, result, lost),
        instant=result.item.instant,
        point=result.item.point.name if result.item.point else result.item.method,
        objects=_objects(by_step),
        size=result.item.size,
        checks=_checks(by_step, lost),
        findings=(result.error,) if result.error else (),
        point_sha256=result.item.point.sha256 if result.item.point else "",
        tried=result.tried,
    )
    return judge(row, lost, order.disaster_of(source, domain))


def _loss(order: DrillOrder, objective: Objective, result: ItemResult, lost: LostWrites | None) -> Loss:
    """Of an old point by lot that no witness remembers, what lies between the restored and the requested instant."""
    item, mode = result.item, MODES.get(result.item.source.kind)
    measured = loss(
        objective.rpo.total_seconds(),
        lost,
        guaranteed=mode is not None and item.domain in mode.guaranteed,
        promise=mode.promise if mode else "",
    )
    drawn = order.lot(str(item.source), item.domain)
    if lost is not None or drawn is None:
        return measured
    return replace(measured, bound_s=max(0.0, (drawn.requested - item.instant).total_seconds()))


def _recovery(order: DrillOrder, objective: Objective, result: ItemResult) -> Recovery:
    """Declaration to the end of the last check; None when the checks were never reached."""
    declared = declared_steps(order, result.item.domain)
    before = declared[-1].end_s if declared else 0.0
    steps = tuple(
        StepTiming(
            outcome.step,
            before + outcome.started.seconds_since(order.declared),
            before + outcome.ended.seconds_since(order.declared),
            f"clock: {'monotonic' if outcome.ended.boot_id == order.declared.boot_id else 'wall'}",
        )
        for outcome in result.outcomes
    )
    ends = [timing.end_s for timing in steps if timing.step == CHECK_STEP]
    if ends and result.ended:
        ends = [before + result.ended.seconds_since(order.declared)]
    measured = ends[0] if ends and not result.error else None
    detection = (order.declared.wall - order.disaster_at).total_seconds()
    clocks = clocks_of(detection, measured, before, steps) if measured is not None else None
    return Recovery(objective.rto.total_seconds(), measured, detection, (*declared, *steps), clocks)


def clocks_of(detection: float, measured: float, declared: float, steps: Sequence[StepTiming]) -> Clocks:
    """Decide, restore and verify add up to `measured`. What was declared to take besides is restoring."""
    verify = sum(one.end_s - one.start_s for one in steps if one.step in (VERIFY_STEP, CHECK_STEP))
    restore = declared + steps[-1].end_s - steps[0].start_s - verify
    return Clocks(detection, measured - restore - verify, restore, verify)


def declared_steps(order: DrillOrder, domain: FailureDomain) -> tuple[StepTiming, ...]:
    """What was declared comes first, one after the other, where what it replaces was lost."""
    found: list[StepTiming] = []
    start = 0.0
    for step in order.steps if domain in _NEW_CLUSTER else ():
        end = start + step.took.total_seconds()
        found.append(StepTiming(step.name, start, end, "declared, not measured"))
        start = end
    return tuple(found)


def _objects(by_step: Mapping[str, StepOutcome]) -> int:
    """Items of the verified point; for live coverage, which has no manifest, what was read back."""
    verified, checked = by_step.get(VERIFY_STEP), by_step.get(CHECK_STEP)
    counts = verified.data["counts"] if verified else None
    if isinstance(counts, Mapping):
        return max((int(count) for count in counts.values()), default=0)
    witnessed = checked.data["witnessed"] if checked else 0
    return witnessed if isinstance(witnessed, int) else 0


def _checks(by_step: Mapping[str, StepOutcome], lost: LostWrites | None) -> tuple[Check, ...]:
    checks = [
        check
        for step in (VERIFY_STEP, CHECK_STEP)
        if step in by_step
        for check in decode_checks(by_step[step].data["checks"])
    ]
    return (*checks, *([witness_check(lost)] if lost else []))
