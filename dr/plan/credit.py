"""What a slow recovery would cost: the SLA credit that is at risk, from what drills measured. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dr.model.strategy import Credit
from dr.model.timeline import format_duration
from dr.plan.status import RowVerdict, StatusRow


@dataclass(frozen=True, slots=True)
class AtRisk:
    """`percent` of the month's fee; 0 when every row was recovered fast enough in its last drill."""

    percent: float
    slow: tuple[str, ...]
    """Rows whose last recovery took so long that credit would be due, or whose last drill did not bring them back."""
    unknown: tuple[str, ...]
    """Rows that no drill has timed: nobody knows."""


def at_risk(credits: Sequence[Credit], rows: Iterable[StatusRow]) -> AtRisk:
    """By the last drill of each row and domain that is captured. What is not known is at risk."""
    known = [row for row in rows if row.verdict is not RowVerdict.NOT_CAPTURED]
    slow, unknown, percents = [], [], [0.0]
    for row in known:
        name, took = f"{row.component}/{row.domain}", row.proof.last.recovery_s if row.proof else None
        owed = owed_for(credits, took)
        percents.append(owed)
        if row.proof is None:
            unknown.append(name)
        elif took is None:
            slow.append(f"{name} was not recovered by its last drill")
        elif owed:
            slow.append(f"{name} took {format_duration(timedelta(seconds=round(took)))}")
    return AtRisk(max(percents), tuple(slow), tuple(unknown))


def owed_for(credits: Sequence[Credit], took_s: float | None) -> float:
    """Percent of the month for a recovery that took so long; of one that is not known, the most."""
    due = [one.percent for one in credits if took_s is None or took_s >= one.rto_at_least.total_seconds()]
    return max(due, default=0.0)
