"""From what to restore a source for a requested instant and a lost domain; or the gap and its nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.model.ids import SourceId
from dr.model.points import Coverage, Gap, Nearest, PointSummary
from dr.model.strategy import FailureDomain
from dr.model.timeline import floor_to, format_duration, format_instant


@dataclass(frozen=True, slots=True)
class Chosen:
    """The origin of a restore: a point, or live coverage (then `point` is None)."""

    source: SourceId
    domain: FailureDomain
    requested: datetime
    instant: datetime
    """What the source will really be restored to; never after `requested`."""
    method: str
    point: PointSummary | None
    coverage: Coverage | None
    reasons: tuple[str, ...]

    @property
    def behind(self) -> timedelta:
        """How much older than requested the restored data will be."""
        return self.requested - self.instant


@dataclass(frozen=True, slots=True)
class _Candidate:
    instant: datetime
    point: PointSummary | None
    coverage: Coverage | None

    @property
    def name(self) -> str:
        if self.point:
            return f"point {self.point.slot.id}"
        return f"{self.coverage.method} history" if self.coverage else ""


def choose(
    requested: datetime,
    source: SourceId,
    domain: FailureDomain,
    points: Sequence[PointSummary],
    coverage: Sequence[Coverage],
    now: datetime,
) -> Chosen | Gap:
    """The origin nearest to `requested` and not after it that survives the loss of `domain`."""
    mine = [point for point in points if point.source == source]
    live = [entry for entry in coverage if entry.source == source]
    usable = [point for point in mine if domain in point.survives]
    histories = [entry for entry in live if domain in entry.survives]
    best = _best(usable, histories, requested, now)
    if requested > now or best is None:
        reason = _gap_reason(requested, domain, mine, live, usable, histories, now)
        return Gap(
            source, domain, requested, reason, best.instant if best else None, _after(usable, histories, requested, now)
        )
    reasons = (_why(best, requested), *_passed_over(best, mine, live, requested, domain))
    method = best.point.method if best.point else best.coverage.method if best.coverage else ""
    return Chosen(source, domain, requested, best.instant, method, best.point, best.coverage, reasons)


def nearest_by_domain(
    requested: datetime,
    source: SourceId,
    points: Sequence[PointSummary],
    coverage: Sequence[Coverage],
    now: datetime,
) -> tuple[Nearest, ...]:
    """What each loss would leave to restore the source from, up to the instant and just after it."""
    mine = [point for point in points if point.source == source]
    live = [entry for entry in coverage if entry.source == source]
    return tuple(_nearest(requested, domain, mine, live, now) for domain in FailureDomain)


def _nearest(
    requested: datetime,
    domain: FailureDomain,
    points: Sequence[PointSummary],
    coverage: Sequence[Coverage],
    now: datetime,
) -> Nearest:
    usable = [point for point in points if domain in point.survives]
    histories = [entry for entry in coverage if domain in entry.survives]
    best = _best(usable, histories, requested, now)
    return Nearest(domain, best.instant if best else None, _after(usable, histories, requested, now))


def _rank(candidate: _Candidate) -> tuple[datetime, bool, datetime, str]:
    # at the same instant the source's own history comes first: nothing has to travel
    committed = candidate.point.committed if candidate.point else candidate.instant
    return (candidate.instant, candidate.point is None, committed, candidate.name)


def _best(
    points: Sequence[PointSummary], coverage: Sequence[Coverage], limit: datetime, now: datetime
) -> _Candidate | None:
    """The nearest of all that may be used, not after the limit."""
    newest = max((point.as_of for point in points if point.as_of <= limit), default=None)
    nearest = [_Candidate(newest, point, None) for point in points if point.as_of == newest] if newest else []
    return max([*nearest, *_coverage_until(coverage, limit, now)], key=_rank, default=None)


def usable_of(
    source: SourceId, domain: FailureDomain, points: Sequence[PointSummary], coverage: Sequence[Coverage]
) -> tuple[Sequence[PointSummary], Sequence[Coverage]]:
    """What of a source survives the loss of a domain: for several questions of `instant_at`."""
    mine = [point for point in points if point.source == source and domain in point.survives]
    return mine, [entry for entry in coverage if entry.source == source and domain in entry.survives]


def instant_at(
    requested: datetime, usable: tuple[Sequence[PointSummary], Sequence[Coverage]], now: datetime
) -> datetime | None:
    """What `choose` would restore to, without its reasons; None: a gap."""
    best = _best(*usable, requested, now) if requested <= now else None
    return best.instant if best else None


def _coverage_until(coverage: Sequence[Coverage], limit: datetime, now: datetime) -> list[_Candidate]:
    found = []
    for entry in coverage:
        instant = _floor(min(limit, entry.end, now), entry.granularity)
        if instant >= entry.start:
            found.append(_Candidate(instant, None, entry))
    return found


def _floor(instant: datetime, granularity: timedelta) -> datetime:
    return floor_to(instant, granularity) if granularity else instant


def _after(
    points: Sequence[PointSummary], coverage: Sequence[Coverage], requested: datetime, now: datetime
) -> datetime | None:
    found = [point.as_of for point in points if point.as_of > requested]
    for entry in coverage:
        first = _floor(max(entry.start, requested), entry.granularity)
        while first < entry.start or first <= requested:
            first += entry.granularity or timedelta.resolution
        if first <= min(entry.end, now):
            found.append(first)
    return min(found, default=None)


def _gap_reason(
    requested: datetime,
    domain: FailureDomain,
    mine: Sequence[PointSummary],
    live: Sequence[Coverage],
    usable: Sequence[PointSummary],
    histories: Sequence[Coverage],
    now: datetime,
) -> str:
    if requested > now:
        return f"{format_instant(requested)} is in the future (now {format_instant(now)})"
    if not mine and not live:
        return "nothing is captured yet"
    if not usable and not histories:
        return (
            f"none of {len(mine)} points{' nor the live history' if live else ''} survives the loss of domain {domain}"
        )
    return f"{format_instant(requested)} is before the first point that survives the loss of domain {domain}"


def _why(best: _Candidate, requested: datetime) -> str:
    behind = requested - best.instant
    distance = (
        "exactly the requested instant" if not behind else f"{format_duration(behind)} before the requested instant"
    )
    return f"{best.name} at {format_instant(best.instant)}: the nearest, {distance}"


def _passed_over(
    best: _Candidate,
    points: Sequence[PointSummary],
    coverage: Sequence[Coverage],
    requested: datetime,
    domain: FailureDomain,
) -> tuple[str, ...]:
    reasons = []
    fatal = [point for point in points if domain not in point.survives and best.instant < point.as_of <= requested]
    if fatal:
        reasons.append(f"passed over {_count(fatal)} nearer: not surviving the loss of domain {domain}")
    for entry in coverage:
        if entry is best.coverage:
            continue
        reasons.append(f"passed over {entry.method} history: {_why_not_live(entry, best, requested, domain)}")
    later = [point for point in points if point.as_of > requested]
    if later:
        reasons.append(f"passed over {_count(later)} after the requested instant")
    older = [
        point for point in points if domain in point.survives and point is not best.point and point.as_of <= requested
    ]
    if older:
        reasons.append(f"passed over {_count(older)} further back")
    return tuple(reasons)


def _count(points: Sequence[PointSummary]) -> str:
    return "1 point" if len(points) == 1 else f"{len(points):,} points"


def _why_not_live(entry: Coverage, best: _Candidate, requested: datetime, domain: FailureDomain) -> str:
    if domain not in entry.survives:
        return f"it is lost with domain {domain}"
    if requested < entry.start:
        return f"it begins at {format_instant(entry.start)}"
    return f"the {best.name} is as near or nearer"
