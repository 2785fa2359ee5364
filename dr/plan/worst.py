"""The worst RPO over what was captured, not only at the one instant that a drill samples. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dr.model.evidence import WorstRpo
from dr.model.ids import SourceId
from dr.model.points import Coverage, PointSummary
from dr.model.strategy import FailureDomain


def worst_rpo(
    source: SourceId,
    domain: FailureDomain,
    points: Sequence[PointSummary],
    coverage: Sequence[Coverage],
    until: datetime,
) -> WorstRpo | None:
    """The longest stretch of data that a loss at some instant up to `until` would have cost: of points, from the newest data
    to the moment the next point was committed; of a change log, its gaps. None when there was nothing yet."""
    logs = [one for one in coverage if one.source == source and domain in one.survives and one.start <= until]
    if logs:
        return _of_log(logs, until)
    mine = [p for p in points if p.source == source and domain in p.survives and p.committed <= until]
    return _of_points(sorted(mine, key=lambda point: point.committed), until) if mine else None


def _of_points(points: Sequence[PointSummary], until: datetime) -> WorstRpo:
    newest, worst = points[0].as_of, 0.0
    for point in points:
        # until it was committed, the one before was the newest that there was
        worst = max(worst, (point.committed - newest).total_seconds())
        newest = max(newest, point.as_of)
    worst = max(worst, (until - newest).total_seconds())
    return WorstRpo(worst, len(points), points[0].committed, until)


def _of_log(logs: Sequence[Coverage], until: datetime) -> WorstRpo:
    ordered = sorted(logs, key=lambda one: one.start)
    reached, worst = ordered[0].start, 0.0
    for one in ordered:
        worst = max(worst, (one.start - reached).total_seconds())
        reached = max(reached, one.end)
    worst = max(worst, (until - reached).total_seconds())
    return WorstRpo(max(0.0, worst), len(ordered), ordered[0].start, until)
