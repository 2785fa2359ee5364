"""When a drill is due: by calendar quarter, or by night. All in UTC, pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dr.model.timeline import format_instant

QUARTER, NIGHT = "quarter", "night"
AGAIN = timedelta(days=7)
"""After a quarterly drill that failed there is something to mend first."""
NEARLY = timedelta(hours=20)
"""A nightly drill that began so long ago is last night's: firings move a little, and a day must not be left out."""
LATE_SHARE = 2 / 3
"""Of the quarter gone without a drill, it is late."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of one drill of a scenario: `how` is `passed`, `failed`, `skipped` or `aborted`."""

    at: datetime
    how: str


@dataclass(frozen=True, slots=True)
class DrillStanding:
    """Whether a drill is due now, why, and when it is due next (`now` or before, when due)."""

    due: bool
    next: datetime | None
    why: str
    late: bool = False
    """It should have been run long ago."""


def quarter_of(at: datetime) -> tuple[datetime, datetime]:
    """First instant of the calendar quarter, and of the one after it."""
    at = at.astimezone(UTC)
    first = 3 * ((at.month - 1) // 3) + 1
    start = datetime(at.year, first, 1, tzinfo=UTC)
    end = datetime(at.year + (first == 10), (first + 3) % 12, 1, tzinfo=UTC)
    return start, end


def quarter_name(at: datetime) -> str:
    """`2025 Q2`."""
    start, _ = quarter_of(at)
    return f"{start.year} Q{(start.month + 2) // 3}"


def drill_standing(every: str, past: Sequence[Past], now: datetime) -> DrillStanding:
    """Of a scenario that runs each quarter or each night. Drills of the future (a clock that was wrong) count as not run."""
    known = [one for one in past if one.at <= now]
    if every == QUARTER:
        return _quarterly(known, now)
    if every == NIGHT:
        return _nightly(known, now)
    return DrillStanding(False, None, "it is run by people")


def _quarterly(past: Iterable[Past], now: datetime) -> DrillStanding:
    """One that ended by itself in the quarter settles it: passed for good, failed until there was time to mend. A skipped one
    settles it too, because somebody answers for it; an aborted one does not."""
    start, end = quarter_of(now)
    mine = sorted((one for one in past if one.at >= start), key=lambda one: one.at)
    name = quarter_name(now)
    for how in ("passed", "skipped"):
        if found := [one for one in mine if one.how == how]:
            return DrillStanding(False, end, f"{name}: {how} at {format_instant(found[-1].at)}")
    failed = [one for one in mine if one.how == "failed"]
    if failed and now < failed[-1].at + AGAIN:
        again = min(failed[-1].at + AGAIN, end)
        return DrillStanding(False, again, f"{name}: failed at {format_instant(failed[-1].at)}")
    late = now >= start + (end - start) * LATE_SHARE
    why = (
        f"{name}: the last one {mine[-1].how} at {format_instant(mine[-1].at)}" if mine else f"{name}: not drilled yet"
    )
    return DrillStanding(True, start if not mine else now, why, late)


def _nightly(past: Sequence[Past], now: datetime) -> DrillStanding:
    """Whatever became of the last one: the next night's takes another point."""
    last = max(past, key=lambda one: one.at, default=None)
    if last is None:
        return DrillStanding(True, now, "never drilled", late=False)
    due = last.at + NEARLY
    late = now - last.at > timedelta(days=2)
    return DrillStanding(now >= due, due, f"the last one {last.how} at {format_instant(last.at)}", late)
