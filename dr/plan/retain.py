"""What is kept and what may go: for every recovery point a decision with all its reasons. Nothing is deleted here.

A point may go only if nothing speaks for it. What speaks for a point:

- its row's retention, counted from its commit, and the retention that it was committed with;
- the reach: to restore any instant of the last 90 days, the newest point *before* those days is needed;
- grandfather, father, son (`Keep`): they only add;
- it is the newest, or the newest proven, of its source and of the losses that it survives (I5);
- a hold of a person or of a running restore, a hold or a lock of the store (I5: a hold always wins);
- another point that is kept needs it, or an unreadable one may (I5);
- a date in the future, an unknown source, an unreadable manifest: whoever does not understand deletes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from dr.model.ids import SourceId
from dr.model.points import PointSummary
from dr.model.retention import HoldKind, HoldRecord
from dr.model.strategy import FailureDomain, Keep
from dr.model.timeline import format_instant
from dr.plan.collecting import without_collection

SKEW = timedelta(minutes=5)
"""Clocks may differ by this much before a date counts as one in the future."""


class Why(StrEnum):
    """A reason, in words; where it depends on something, that stands behind it."""

    RETENTION = "the row keeps it"
    COMMITTED_FOR = "it was committed to be kept"
    LOCKED = "the store locks it"
    STORE_HOLD = "the store holds it"
    HOLD = "held"
    NEWEST = "the newest point"
    PROVEN = "the newest proven point"
    REACH = "needed to restore the oldest instants of the retention, which reaches back to"
    DAILY = "newest of its day"
    WEEKLY = "newest of its week"
    MONTHLY = "newest of its month"
    YEARLY = "newest of its year"
    NEEDED = "needed by"
    MAY_BE_NEEDED = "may be needed by what cannot be read:"
    PINNED = "not yet:"
    FUTURE = "dated in the future"
    NO_ROW = "its source is not in the strategy, so nothing says how long it is to be kept"
    UNREADABLE = "its manifest cannot be read:"
    EXPIRED = "its retention is over"


class Reason(NamedTuple):
    """Why, until when, and because of what. A tuple, for a hundred thousand of them are made in less than a second."""

    why: Why
    until: datetime | None = None
    detail: str = ""

    def __str__(self) -> str:
        until = f" until {format_instant(self.until)}" if self.until else ""
        return f"{self.why}{until}" + (f" {self.detail}" if self.detail else "")


class Decision(NamedTuple):
    """Of one point. `keep` False: it may go."""

    name: str
    keep: bool
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """What the table says of one source."""

    retention: timedelta
    keep: Keep = field(default_factory=Keep)


@dataclass(frozen=True, slots=True)
class Known:
    """One point with what the store says of its objects: the latest lock, and whether one is held."""

    point: PointSummary
    locked_until: datetime | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A manifest that cannot be read. `needs` None: what it needs is not known either, so it may need all before it."""

    name: str
    source: SourceId
    due: datetime
    why: str
    needs: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the decision rests on."""

    points: Sequence[Known]
    rules: Mapping[SourceId, Rule]
    holds: Mapping[str, Sequence[HoldRecord]] = field(default_factory=dict)
    """By manifest name; records that are released are not in it."""
    proven: frozenset[str] = frozenset()
    """Manifests of points that were restored and checked."""
    pinned: Mapping[str, str] = field(default_factory=dict)
    """Manifest name -> what must go first."""
    unreadable: Sequence[Unreadable] = ()


def decide(facts: Facts, now: datetime) -> tuple[Decision, ...]:
    """A decision for every point and every unreadable manifest, in their order."""
    with without_collection():
        return _decide(facts, now)


def _decide(facts: Facts, now: datetime) -> tuple[Decision, ...]:
    reasons: dict[str, list[Reason]] = {known.point.name: [] for known in facts.points}
    sources: dict[SourceId, list[Known]] = {}
    for known in facts.points:
        sources.setdefault(known.point.slot.source, []).append(known)
    for source, points in sources.items():
        _decide_source(points, facts.rules.get(source), facts, now, reasons)
    for unreadable in (*facts.unreadable, *_untold(facts.points)):
        _for_unreadable(unreadable, sources.get(unreadable.source, ()), reasons)
    _keep_what_is_needed(facts, reasons)
    decided = (Decision(name, True, tuple(found)) if found else _gone(name) for name, found in reasons.items())
    return (*decided, *(Decision(one.name, True, (_cannot_read(one),)) for one in facts.unreadable))


def _gone(name: str) -> Decision:
    return Decision(name, False, _EXPIRED)


def _cannot_read(one: Unreadable) -> Reason:
    return Reason(Why.UNREADABLE, None, one.why)


_EXPIRED = (Reason(Why.EXPIRED),)


def _decide_source(
    points: Sequence[Known], rule: Rule | None, facts: Facts, now: datetime, reasons: Mapping[str, list[Reason]]
) -> None:
    latest = now + SKEW
    for known in points:
        reasons[known.point.name].extend(_of_itself(known, rule, facts, now, latest))
    past = sorted((known.point for known in points if known.point.as_of <= latest), key=_age, reverse=True)
    for name, why in _of_its_place(past, rule, facts.proven, now):
        reasons[name].append(why)


def _age(point: PointSummary) -> tuple[datetime, str]:
    return point.as_of, point.name


def _of_itself(known: Known, rule: Rule | None, facts: Facts, now: datetime, latest: datetime) -> Iterator[Reason]:
    """What the point alone decides."""
    point, name = known.point, known.point.name
    until = now
    if rule is None:
        yield Reason(Why.NO_ROW)
    elif (row := point.committed + rule.retention) > now:
        until = row
        yield Reason(Why.RETENTION, until)
    if point.as_of > latest or point.committed > latest:
        yield Reason(Why.FUTURE)
    if point.retain_until > until:
        yield Reason(Why.COMMITTED_FOR, point.retain_until)
    if known.locked_until is not None and known.locked_until > now:
        yield Reason(Why.LOCKED, known.locked_until)
    if known.held:
        yield Reason(Why.STORE_HOLD)
    if name in facts.pinned:
        yield Reason(Why.PINNED, None, facts.pinned[name])
    for hold in facts.holds.get(name, ()):
        if holds(hold, now):
            yield Reason(Why.HOLD, hold.until, f"by {hold.by}: {hold.reason}")


def holds(hold: HoldRecord, now: datetime) -> bool:
    """An open hold always does; one with an end, until then."""
    return hold.until is None or hold.until > now


def _of_its_place(
    newest_first: Sequence[PointSummary], rule: Rule | None, proven: frozenset[str], now: datetime
) -> Iterator[tuple[str, Reason]]:
    """What a point's place among those of its source decides."""
    for alike in _alike(newest_first):
        yield alike[0].name, Reason(Why.NEWEST)
        shown = next((point for point in alike if point.name in proven), None) if proven else None
        if shown:
            yield shown.name, Reason(Why.PROVEN)
        if rule is not None:
            horizon = now - rule.retention
            before = next((point for point in alike if point.as_of <= horizon), None)
            if before:
                yield before.name, Reason(Why.REACH, None, format_instant(horizon))
    if rule is not None:
        yield from _generations(newest_first, rule.keep)


def _alike(points: Iterable[PointSummary]) -> Iterable[Sequence[PointSummary]]:
    """By the losses that they survive: what survives less is no substitute. In the order given."""
    groups: dict[tuple[FailureDomain, ...], list[PointSummary]] = {}
    last: tuple[FailureDomain, ...] | None = None
    group: list[PointSummary] = []
    for point in points:
        if point.survives != last:  # cheaper than a look into the dictionary
            last = point.survives
            group = groups.setdefault(last, [])
        group.append(point)
    return groups.values()


def _generations(newest_first: Sequence[PointSummary], keep: Keep) -> Iterator[tuple[str, Reason]]:
    periods: tuple[tuple[int, Why, Callable[[datetime], int]], ...] = (
        (keep.daily, Why.DAILY, datetime.toordinal),
        (keep.weekly, Why.WEEKLY, _week),
        (keep.monthly, Why.MONTHLY, _month),
        (keep.yearly, Why.YEARLY, _year),
    )
    for count, why, period in periods:
        last, left = None, count
        for point in newest_first if count else ():
            current = period(point.as_of)
            if current != last:
                if not left:
                    break
                last, left = current, left - 1
                yield point.name, Reason(why)


def _week(instant: datetime) -> int:
    # day 1 of the calendar was a Monday
    return (instant.toordinal() - 1) // 7


def _month(instant: datetime) -> int:
    return instant.year * 12 + instant.month


def _year(instant: datetime) -> int:
    return instant.year


def _untold(points: Iterable[Known]) -> Iterator[Unreadable]:
    """Points of which nobody read yet what they need."""
    for known in points:
        if known.point.parents is None:
            yield Unreadable(known.point.name, known.point.slot.source, known.point.slot.due, "")


def _for_unreadable(one: Unreadable, points: Iterable[Known], reasons: Mapping[str, list[Reason]]) -> None:
    if one.needs is None:
        for known in points:
            if known.point.slot.due <= one.due and known.point.name != one.name:
                reasons[known.point.name].append(Reason(Why.MAY_BE_NEEDED, None, one.name))
        return
    for name in one.needs:
        if name in reasons:
            reasons[name].append(Reason(Why.NEEDED, None, one.name))


def _keep_what_is_needed(facts: Facts, reasons: Mapping[str, list[Reason]]) -> None:
    """Parents of what is kept, and theirs."""
    needs = {known.point.name: known.point.parents for known in facts.points if known.point.parents}
    todo = [name for name in needs if reasons[name]]
    todo += [name for one in facts.unreadable for name in one.needs or () if name in needs]
    seen = set(todo)
    while todo:
        child = todo.pop()
        for parent in needs.get(child) or ():
            if parent not in reasons:
                continue
            reasons[parent].append(Reason(Why.NEEDED, None, child))
            if parent in needs and parent not in seen:
                seen.add(parent)
                todo.append(parent)


def lasting(records: Iterable[HoldRecord], now: datetime) -> tuple[HoldRecord, ...]:
    """Those that hold now, a person's before those of restores."""
    return tuple(
        sorted((one for one in records if holds(one, now)), key=lambda one: (one.mode is HoldKind.LEASE, one.at))
    )
