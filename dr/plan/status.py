"""Where each row stands now: its newest surviving point, how old it is, what a drill has proven of it, when the next is due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from dr.model.evidence import Verdict
from dr.model.ids import SourceId
from dr.model.points import Coverage, PointSummary
from dr.model.strategy import FailureDomain, Objective, SourceSpec, Strategy
from dr.model.timeline import parse_duration
from dr.plan.modes import MODES
from dr.plan.proof import NO_PROOFS, Proof, ProofKey

BEATS = 3
"""Heartbeats of a change log that may be missing, before its silence counts."""
GRACE = timedelta(seconds=30)
"""On top of them: for the listing and for clocks."""


class Standing(StrEnum):
    """Of the capture. OK: the newest surviving point, or the end of the change log, is young enough."""

    OK = "ok"
    LATE = "late"
    NO_POINT = "no point"
    NOT_CAPTURED = "not captured yet"


class RowVerdict(StrEnum):
    """Of a row and domain, all things taken together."""

    MET = "met"
    UNPROVEN = "met, not proven"
    LUCKY = "0 lost, not guaranteed"
    LATE = "late"
    NO_POINT = "no point"
    DRILL_MISSED = "drill missed"
    DRILL_FAILED = "drill failed"
    NOT_CAPTURED = "not captured yet"

    @property
    def miss(self) -> bool:
        """Silence is one; what a declared mode does not guarantee is none."""
        return self in (RowVerdict.LATE, RowVerdict.NO_POINT, RowVerdict.DRILL_MISSED, RowVerdict.DRILL_FAILED)


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One source and domain; a row without sources has one line for each domain all the same."""

    component: str
    domain: FailureDomain
    source: str
    standing: Standing
    rpo: timedelta
    newest: datetime | None
    """Claimed: `as_of` of the newest point that survives the domain, or the end of the change log."""
    age: timedelta | None
    next_due: datetime | None
    points: int
    """How many survive the domain."""
    point: str
    """Manifest of the newest."""
    verdict: RowVerdict = RowVerdict.NOT_CAPTURED
    limit: timedelta = timedelta(0)
    """Age at which the row is late: the RPO, or of an RPO of 0 the silence that is still believed."""
    continuous: bool = False
    """Captured as it changes; `next_due` is then that of the log's next pack."""
    oldest: datetime | None = None
    """The first instant that can be restored."""
    retention: timedelta = timedelta(0)
    proof: Proof | None = None
    held: int = 0
    """Points on hold."""

    def reach(self, now: datetime) -> timedelta:
        """How far back the row can be restored."""
        return now - self.oldest if self.oldest else timedelta(0)

    def reaches_all(self, now: datetime) -> bool:
        """As near to the retention as points follow each other: the first one expires before the second is so old."""
        return self.oldest is not None and self.reach(now) >= self.retention - self.limit

    @property
    def proven(self) -> datetime | None:
        """The newest instant that a drill restored and found whole."""
        return self.proof.proven.instant if self.proof and self.proof.proven else None


_Key = tuple[SourceId, FailureDomain]


@dataclass(slots=True)
class _Held:
    """What the vault has of one source and domain."""

    newest: PointSummary | None = None
    end: datetime | None = None
    oldest: datetime | None = None
    points: int = 0

    @property
    def claimed(self) -> datetime | None:
        return max((at for at in (self.end, self.newest.as_of if self.newest else None) if at), default=None)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known besides the points: what change logs cover, what drills have proven, how many points are on hold."""

    coverage: Sequence[Coverage] = ()
    proofs: Mapping[ProofKey, Proof] = field(default_factory=lambda: NO_PROOFS)
    holds: Mapping[SourceId, int] = field(default_factory=dict)


def status_table(
    strategy: Strategy,
    points: Sequence[PointSummary],
    due: Mapping[SourceId, datetime],
    now: datetime,
    evidence: Evidence | None = None,
) -> tuple[StatusRow, ...]:
    """For every judged domain of every row. `due`: when each scheduled source is due next. One pass over `points`."""
    known = evidence or Evidence()
    held = _held(points, known.coverage)
    rows: list[StatusRow] = []
    for objective in strategy.objectives:
        for domain in objective.domains:
            if not objective.sources:
                rows.append(_empty(objective, domain))
            for spec in objective.sources:
                mine = held.get((spec.id, domain), _Held())
                rows.append(_row(objective, spec, domain, mine, due.get(spec.id), known, now))
    return tuple(rows)


def allowed_age(objective: Objective, spec: SourceSpec) -> timedelta:
    """Strict: a claimed point this old is late. An RPO of 0 is kept by a log whose heartbeat says that nothing happened."""
    if objective.rpo > timedelta(0) or spec.id.kind not in MODES or not MODES[spec.id.kind].log:
        return objective.rpo
    return BEATS * parse_duration(str(spec.options.get("heartbeat", "10s"))) + GRACE


def _held(points: Sequence[PointSummary], coverage: Iterable[Coverage]) -> dict[_Key, _Held]:
    """Points are first put together by what they share, because ten thousand of them share a handful of sources and domains."""
    groups: dict[tuple[SourceId, tuple[FailureDomain, ...]], list[PointSummary]] = {}
    for point in points:
        groups.setdefault((point.slot.source, point.survives), []).append(point)
    found: dict[_Key, _Held] = {}
    for (source, domains), group in groups.items():
        last, first = max(group, key=_as_of), min(group, key=_as_of).as_of
        for domain in domains:
            held = found.setdefault((source, domain), _Held())
            held.points += len(group)
            held.newest = max((held.newest or last, last), key=_as_of)
            held.oldest = min(held.oldest or first, first)
    for interval in coverage:
        for domain in interval.survives:
            held = found.setdefault((interval.source, domain), _Held())
            held.end = max(held.end or interval.end, interval.end)
            held.oldest = min(held.oldest or interval.start, interval.start)
    return found


def _as_of(point: PointSummary) -> datetime:
    return point.as_of


def _empty(objective: Objective, domain: FailureDomain) -> StatusRow:
    standing = Standing.NOT_CAPTURED
    return StatusRow(objective.component, domain, "", standing, objective.rpo, None, None, None, 0, "")


def _row(
    objective: Objective,
    spec: SourceSpec,
    domain: FailureDomain,
    held: _Held,
    due: datetime | None,
    known: Evidence,
    now: datetime,
) -> StatusRow:
    claimed, limit = held.claimed, allowed_age(objective, spec)
    age = now - claimed if claimed else None
    standing = Standing.NO_POINT if age is None else Standing.OK if age < limit else Standing.LATE
    proof = known.proofs.get((str(spec.id), domain))
    mode = MODES.get(spec.id.kind)
    return StatusRow(
        component=objective.component,
        domain=domain,
        source=str(spec.id),
        standing=standing,
        rpo=objective.rpo,
        newest=claimed,
        age=age,
        next_due=due,
        points=held.points,
        point=held.newest.name if held.newest else "",
        verdict=_verdict(standing, proof, _promised_only(objective, spec, domain)),
        limit=limit,
        continuous=bool(mode and mode.log),
        oldest=held.oldest,
        retention=objective.retention,
        proof=proof,
        held=known.holds.get(spec.id, 0),
    )


def _promised_only(objective: Objective, spec: SourceSpec, domain: FailureDomain) -> bool:
    """The mode of capture promises this RPO of 0, but does not guarantee it."""
    mode = MODES.get(spec.id.kind)
    return objective.rpo <= timedelta(0) and mode is not None and bool(mode.promise) and domain not in mode.guaranteed


_OF_STANDING = {Standing.LATE: RowVerdict.LATE, Standing.NO_POINT: RowVerdict.NO_POINT}


def _verdict(standing: Standing, proof: Proof | None, promised_only: bool) -> RowVerdict:
    """Silence weighs most, then what the last drill found, then what is not guaranteed, then what is not proven."""
    if standing in _OF_STANDING:
        return _OF_STANDING[standing]
    if proof and not proof.last.kept:
        return RowVerdict.DRILL_FAILED if proof.last.verdict is Verdict.FAILED else RowVerdict.DRILL_MISSED
    if promised_only:
        return RowVerdict.LUCKY
    return RowVerdict.MET if proof and proof.proven else RowVerdict.UNPROVEN
