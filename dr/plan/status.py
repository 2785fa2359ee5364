"""Where each row stands now: its newest surviving point, how old it is, when the next is due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dr.model.ids import SourceId
from dr.model.points import PointSummary
from dr.model.strategy import FailureDomain, Objective, Strategy


class Standing(StrEnum):
    """OK: the newest surviving point is younger than the RPO."""

    OK = "ok"
    LATE = "late"
    NO_POINT = "no point"
    NOT_CAPTURED = "not captured yet"


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One source and domain; a row without sources has one line for each domain all the same."""

    component: str
    domain: FailureDomain
    source: str
    standing: Standing
    rpo: timedelta
    newest: datetime | None
    """`as_of` of the newest point that survives the domain."""
    age: timedelta | None
    next_due: datetime | None
    points: int
    """How many survive the domain."""
    point: str
    """Manifest of the newest."""


def status_table(
    strategy: Strategy,
    points: Sequence[PointSummary],
    due: Mapping[SourceId, datetime],
    now: datetime,
) -> tuple[StatusRow, ...]:
    """For every judged domain of every row. `due`: when each scheduled source is due next. One pass over `points`."""
    newest, counts = _newest(points)
    rows = []
    for objective in strategy.objectives:
        for domain in objective.domains:
            if not objective.sources:
                rows.append(_empty(objective, domain))
            for spec in objective.sources:
                key = (spec.id, domain)
                rows.append(_row(objective, spec.id, domain, newest.get(key), counts.get(key, 0), due, now))
    return tuple(rows)


_Key = tuple[SourceId, FailureDomain]


def _newest(points: Sequence[PointSummary]) -> tuple[dict[_Key, PointSummary], dict[_Key, int]]:
    """The newest point and the number of points for each source and domain. Points are first put together by what they
    share, because ten thousand of them share a handful of sources and domains."""
    groups: dict[tuple[SourceId, tuple[FailureDomain, ...]], list[PointSummary]] = {}
    for point in points:
        groups.setdefault((point.slot.source, point.survives), []).append(point)
    newest: dict[_Key, PointSummary] = {}
    counts: dict[_Key, int] = {}
    for (source, domains), group in groups.items():
        last = max(group, key=_as_of)
        for domain in domains:
            key = (source, domain)
            counts[key] = counts.get(key, 0) + len(group)
            newest[key] = max((newest.get(key, last), last), key=_as_of)
    return newest, counts


def _as_of(point: PointSummary) -> datetime:
    return point.as_of


def _empty(objective: Objective, domain: FailureDomain) -> StatusRow:
    standing = Standing.NOT_CAPTURED
    return StatusRow(objective.component, domain, "", standing, objective.rpo, None, None, None, 0, "")


def _row(
    objective: Objective,
    source: SourceId,
    domain: FailureDomain,
    newest: PointSummary | None,
    count: int,
    due: Mapping[SourceId, datetime],
    now: datetime,
) -> StatusRow:
    age = now - newest.as_of if newest else None
    standing = Standing.NO_POINT if age is None else Standing.OK if age < objective.rpo else Standing.LATE
    return StatusRow(
        component=objective.component,
        domain=domain,
        source=str(source),
        standing=standing,
        rpo=objective.rpo,
        newest=newest.as_of if newest else None,
        age=age,
        next_due=due.get(source),
        points=count,
        point=newest.name if newest else "",
    )
