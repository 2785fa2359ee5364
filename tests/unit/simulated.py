"""What a simulation found, judged by the same code as a drill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from dr.model.evidence import LostWrites, Recovery, Verdict
from dr.model.ids import SourceId
from dr.model.points import Check
from dr.model.strategy import FailureDomain, Strategy
from dr.plan.judge import judge, loss, undrilled
from tests.unit.simulation import LEASE_S, STRATEGY, TICK_S, Gap, Row, wall


@dataclass(frozen=True, slots=True)
class Findings:
    """One row for people. Ages in seconds."""

    committed: int
    failed: int
    worst: float
    least_worst: float
    """The worst that no scheduler on the same cadence could have avoided."""
    missed: int
    """Gaps at whose end a disaster would have missed the RPO, by the verdict of a drill."""
    avoidable: tuple[Gap, ...]
    """Of those, where it was physically possible to keep it, with the time that noticing takes."""
    doubles: int


def found(rows: Mapping[SourceId, Row], strategy: Strategy = STRATEGY) -> dict[SourceId, Findings]:
    """For the sources that are captured in slots."""
    slotted = {source: row for source, row in rows.items() if rpo_of(source, strategy)}
    return {source: _findings(source, row, strategy) for source, row in slotted.items()}


def rpo_of(source: SourceId, strategy: Strategy = STRATEGY) -> timedelta:
    objective = strategy.objective(source.component)
    assert objective is not None
    return objective.rpo


def _findings(source: SourceId, row: Row, strategy: Strategy) -> Findings:
    rpo_s = rpo_of(source, strategy).total_seconds()
    # the verdict of what is far from the target is not in doubt
    close = [gap for gap in row.gaps if gap.age > 0.9 * rpo_s]
    missed = [gap for gap in close if verdict(source, gap, strategy) is Verdict.MISSED]
    avoidable = tuple(gap for gap in missed if gap.least + reaction_s(source, gap, strategy) < rpo_s)
    worst = max((gap.age for gap in row.gaps), default=0.0)
    least = max((gap.least for gap in row.gaps), default=0.0)
    return Findings(row.committed, row.failed, worst, least, len(missed), avoidable, row.doubles)


def reaction_s(source: SourceId, gap: Gap, strategy: Strategy) -> float:
    """What noticing a fault and its end costs: a look, the Lease of a dead leader, its claim, the first pause."""
    # in figures of its own: what the product takes longer for is not excused by its own constants
    claim_s = min(300.0, rpo_of(source, strategy).total_seconds() / 20)
    return TICK_S + LEASE_S + 3 + claim_s + gap.cadence / 32


def verdict(source: SourceId, gap: Gap, strategy: Strategy) -> Verdict:
    """Of a drill for a disaster just before the gap's end; somebody writes once a minute."""
    objective = strategy.objective(source.component)
    assert objective is not None
    disaster, instant = wall(gap.at), wall(gap.at - gap.age)
    count = int(gap.age // 60)
    lost = LostWrites(1 + count, count, gap.age if count else None)
    row = replace(
        undrilled(objective, FailureDomain.SOURCE, Verdict.NOT_DRILLED, str(source)),
        rto=Recovery(objective.rto.total_seconds(), 1.0, None),
        rpo=loss(objective.rpo.total_seconds(), lost, guaranteed=False),
        instant=instant,
        checks=(Check("simulated", True, "virtual time"),),
    )
    return judge(row, lost, disaster).verdict
