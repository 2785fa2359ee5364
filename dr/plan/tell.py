"""What people are told, and when: once when something becomes wrong, once when it is over. No message repeats itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from dr.model.ids import SourceId
from dr.model.timeline import format_duration, format_instant
from dr.plan.overview import Overview
from dr.plan.status import RowVerdict, StatusRow

FAILURES = 3
"""Captures of one source that fail in a row before somebody is told: a single one is repeated anyway."""
SETTLE = timedelta(minutes=2)
"""Something is over when it did not come back for so long: what flaps is told once."""
BLIND = timedelta(minutes=5)
"""A service that did not hear from the stores for so long says so; it knows nothing newer."""


class Severity(StrEnum):
    CRITICAL = "critical"
    WARNING = "warning"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong now. Another `state` of the same `key` is told again."""

    key: str
    state: str
    severity: Severity
    text: str
    over: str
    """What to say when it is no longer so."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was delivered about one key. `gone`: since when it is no longer so."""

    state: str
    since: datetime
    over: str
    gone: datetime | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message for all that changed."""

    title: str
    text: str
    severity: Severity
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failing:
    """Captures of one source that failed in a row, and what the last one said."""

    count: int
    message: str


# --- what is wrong ---------------------------------------------------------------------------------------------------


def conditions(
    overview: Overview | None, failing: Mapping[SourceId, Failing], now: datetime, started: datetime
) -> tuple[Condition, ...]:
    """All that is wrong at `now`. `started`: when this service began to look."""
    listed = overview.listed if overview else started
    found = [*_blind(listed, now), *_failing(failing)]
    if overview:
        found += [*_rows(overview.rows), *_frozen(overview), *_undrilled(overview)]
    return tuple(found)


def _blind(listed: datetime, now: datetime) -> Iterable[Condition]:
    if now - listed >= BLIND:
        text = f"The stores did not answer since {format_instant(listed)}: nothing newer is known."
        yield Condition("stores", "silent", Severity.CRITICAL, text, "The stores answer again.")


def _failing(failing: Mapping[SourceId, Failing]) -> Iterable[Condition]:
    for source, entry in sorted(failing.items()):
        if entry.count >= FAILURES:
            text = f"Captures of {source} failed {entry.count} times in a row: {entry.message}"
            yield Condition(f"capture {source}", "failing", Severity.WARNING, text, f"{source} is captured again.")


def _frozen(overview: Overview) -> Iterable[Condition]:
    frozen = overview.frozen
    if frozen:
        why = f": {frozen.reason}" if frozen.reason else "."
        text = f"Frozen by {frozen.by} since {format_instant(frozen.at)}{why} Nothing is pruned, no scheduled capture runs."
        yield Condition("freeze", str(frozen.number), Severity.WARNING, text, "The freeze was lifted.")


def _undrilled(overview: Overview) -> Iterable[Condition]:
    """Drills that the calendar wanted long ago: what is not drilled is not proven."""
    for one in overview.exercises:
        if one.standing.late:
            text = f"The drill {one.scenario} is late: {one.standing.why}."
            over = f"The drill {one.scenario} was run, or somebody answers for it."
            yield Condition(f"calendar {one.scenario}", "late", Severity.WARNING, text, over)


def _rows(rows: Sequence[StatusRow]) -> Iterable[Condition]:
    """Of one source: what its capture misses and what its drills found, each with all domains that share it."""
    for source in dict.fromkeys(row.source for row in rows):
        mine = [row for row in rows if row.source == source]
        yield from _of_capture(source, mine)
        yield from _of_drills(source, mine)


def _of_capture(source: str, rows: Sequence[StatusRow]) -> Iterable[Condition]:
    for verdict in (RowVerdict.NO_POINT, RowVerdict.LATE):
        wrong = [row for row in rows if row.verdict is verdict]
        if wrong:
            text = f"{source} ({_domains(wrong)}): {_lateness(wrong[0])}"
            over = f"{source} ({_domains(wrong)}) is on time again."
            yield Condition(f"{verdict} {source}", "", Severity.CRITICAL, text, over)


def _lateness(row: StatusRow) -> str:
    if row.newest is None:
        return "there is no recovery point."
    limit = format_duration(row.limit)
    what = "the change log is silent since" if row.continuous else "the newest point is of"
    return f"{what} {format_instant(row.newest)}, allowed are {limit}."


def _of_drills(source: str, rows: Sequence[StatusRow]) -> Iterable[Condition]:
    """Of the last drill of each domain, whatever else is wrong with the row."""
    wrong = [(row, row.proof.last) for row in rows if row.proof and not row.proof.last.kept]
    if wrong:
        found = "; ".join(f"{row.domain} {mark.verdict} (drill {mark.drill})" for row, mark in wrong)
        state = ",".join(sorted({mark.drill for _, mark in wrong}))
        over = f"{source}: the last drill kept what is promised."
        yield Condition(f"drill {source}", state, Severity.CRITICAL, f"{source} in its last drill: {found}.", over)


def _domains(rows: Sequence[StatusRow]) -> str:
    return ", ".join(row.domain for row in rows)


# --- what is said ----------------------------------------------------------------------------------------------------


def next_message(
    told: Mapping[str, Told], wrong: Sequence[Condition], now: datetime
) -> tuple[Message | None, Mapping[str, Told]]:
    """What to say now, if anything, and what has been told once that is delivered."""
    active = {condition.key: condition for condition in wrong}
    fresh = [c for c in wrong if c.key not in told or told[c.key].state != c.state]
    kept = {key: _still(entry, key in active, now) for key, entry in told.items()}
    over = [entry for entry in kept.values() if entry.gone and now - entry.gone >= SETTLE]
    after = {key: entry for key, entry in kept.items() if entry not in over}
    after |= {c.key: Told(c.state, now, c.over) for c in fresh}
    if not fresh and not over:
        return None, after
    return _message(fresh, over, len(active)), after


def _still(entry: Told, active: bool, now: datetime) -> Told:
    if active:
        return replace(entry, gone=None)
    return entry if entry.gone else replace(entry, gone=now)


def _message(fresh: Sequence[Condition], over: Sequence[Told], open_now: int) -> Message:
    severity = min((c.severity for c in fresh), key=list(Severity).index, default=Severity.RESOLVED)
    lines = [*(c.text for c in fresh), *(_resolved(entry) for entry in over)]
    first = lines[0] if len(lines) == 1 else f"{len(fresh)} new, {len(over)} over, {open_now} open"
    return Message(first, "\n".join(lines), severity, {"open": str(open_now)})


def _resolved(entry: Told) -> str:
    lasted = (entry.gone or entry.since) - entry.since
    return f"{entry.over} It lasted {format_duration(timedelta(seconds=round(lasted.total_seconds())))}."


# --- the signal of life ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signs:
    """What the signal of life depends on."""

    leads: bool
    looked: datetime | None
    """When it was last decided what is due."""
    overview: Overview | None


def withheld(signs: Signs, now: datetime) -> str:
    """Why no signal of life is given; empty: all is well. Its absence is the alarm, so doubt withholds it."""
    if not signs.leads:
        return "this replica does not lead"
    if signs.looked is None or now - signs.looked >= BLIND:
        return "nothing decides what is due"
    if signs.overview is None or now - signs.overview.listed >= BLIND:
        return "the stores were not asked for too long"
    late = [row for row in signs.overview.rows if row.verdict in (RowVerdict.LATE, RowVerdict.NO_POINT)]
    return f"{late[0].source} is {late[0].verdict}" if late else ""
