"""What a soak must find at its end: pure, from the points that were made and the record of what was disturbed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something was killed at `start` and stood again at `end`."""

    what: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Made:
    """One committed point."""

    slot: str
    as_of: datetime
    committed: datetime
    retain_until: datetime


@dataclass(frozen=True, slots=True)
class Stretch:
    """Between two commits the newest point grew to `age`; `excused` of it nobody could have prevented."""

    since: datetime
    until: datetime
    age: timedelta
    excused: timedelta

    def missed(self, rpo: timedelta) -> bool:
        return self.age - self.excused >= rpo


def stretches(
    points: Sequence[Made], disturbances: Sequence[Disturbance], end: datetime, recovery: timedelta
) -> list[Stretch]:
    """How old the newest point grew, from the first commit to `end`.

    `recovery` is what one disturbance may cost beyond its own length: the work it undid, and until somebody looks again.
    """
    found = []
    ordered = sorted(points, key=lambda point: point.committed)
    newest: datetime | None = None
    for point, following in zip(ordered, [*ordered[1:], None], strict=True):
        newest = point.as_of if newest is None else max(newest, point.as_of)
        until = following.committed if following else end
        found.append(Stretch(newest, until, until - newest, excused(disturbances, newest, until, recovery)))
    return found


def excused(disturbances: Iterable[Disturbance], since: datetime, until: datetime, recovery: timedelta) -> timedelta:
    """Time within [since, until] that was disturbed, recoveries included and overlaps counted once."""
    total, reached = timedelta(0), since
    for entry in sorted(disturbances, key=lambda entry: entry.start):
        start, end = max(entry.start, reached), min(entry.end + recovery, until)
        if end > start:
            total, reached = total + (end - start), end
    return total


def doubles(points: Iterable[Made]) -> list[str]:
    """Slots that more than one point was committed for (I3)."""
    counts = Counter(point.slot for point in points)
    return [slot for slot, count in counts.items() if count > 1]


def kept_too_short(points: Iterable[Made], retention: timedelta) -> list[str]:
    """Slots whose lock ends before the retention, counted from the commit."""
    return [point.slot for point in points if point.retain_until < point.committed + retention]
