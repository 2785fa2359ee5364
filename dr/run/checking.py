"""What `dr check` looks at, side by side and for a bounded time. A failure to look is a failed finding, never an exception."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue

from dr.errors import NOT_AUTHORISED, DrError
from dr.model.findings import Finding, Level, finding, good, warned
from dr.model.strategy import FailureDomain, Place, SourceSpec
from dr.plan.advice import topic_of
from dr.plan.permissions import FORBIDDEN, Where, permissions
from dr.plan.rows import PlannedRow
from dr.ports import Described, ObjectStore, PlaceFacts, Source
from dr.record.layout import check_format

SKEW, WARNED_SKEW = timedelta(minutes=5), timedelta(seconds=30)
"""Locks and schedules are promises about time: beyond the first they are none."""
PATIENCE_S = 45.0
"""How long all looks together may take."""


@dataclass(frozen=True, slots=True)
class Look:
    """One thing to ask, with what it belongs to."""

    group: str
    name: str
    topic: str
    ask: Callable[[], Iterable[Finding]]


def look_at(looks: Sequence[Look], patience_s: float = PATIENCE_S) -> tuple[Finding, ...]:
    """All findings in the order of the looks. What does not answer in time is a failed finding: its thread is left behind."""
    answers: SimpleQueue[tuple[int, tuple[Finding, ...]]] = SimpleQueue()
    for index, look in enumerate(looks):
        asked = threading.Thread(target=lambda i, one: answers.put((i, _looked(one))), args=(index, look), daemon=True)
        asked.start()
    found = dict(_collected(answers, len(looks), patience_s))
    late = f"did not answer within {patience_s:.0f} s"
    return tuple(
        entry
        for index, look in enumerate(looks)
        for entry in found.get(index, (Finding(look.group, look.name, Level.FAIL, late, "late"),))
    )


def _looked(look: Look) -> tuple[Finding, ...]:
    try:
        return tuple(look.ask())
    except DrError as error:
        topic = "permissions" if error.kind is NOT_AUTHORISED else "late" if error.temporary else look.topic
        return (Finding(look.group, look.name, Level.FAIL, error.message, topic),)


def _collected(
    answers: SimpleQueue[tuple[int, tuple[Finding, ...]]], count: int, patience_s: float
) -> Iterator[tuple[int, tuple[Finding, ...]]]:
    end = time.monotonic() + patience_s
    for _ in range(count):
        try:
            yield answers.get(timeout=max(0.0, end - time.monotonic()))
        except Empty:
            return


# --- places ----------------------------------------------------------------------------------------------------------


def check_rights(group: str, role: str, identity: str, store: ObjectStore) -> Iterator[Finding]:
    """Everything that an identity needs on a place, and what it must not be able to do there."""
    wanted = permissions(identity, Where.CONTROL if role == "control" else Where.VAULT)
    missing = store.missing_permissions(wanted)
    detail = f"missing: {', '.join(missing)}" if missing else f"{len(wanted)} held"
    yield good(group, f"permissions of {identity}", not missing, detail, "permissions")
    forbidden = FORBIDDEN.get(identity, ())
    if forbidden and store.url.startswith("gs://"):
        held = sorted(set(forbidden) - set(store.missing_permissions(forbidden)))
        words = f"may {', '.join(held)}: take it away" if held else "cannot delete what it wrote"
        yield good(group, f"no deletion by {identity}", not held, words, "permissions")


def check_place(
    group: str, role: str, store: ObjectStore, declared: Place | None, now: Callable[[], datetime]
) -> Iterator[Finding]:
    """Clock, format, and what the bucket says of itself."""
    yield _clock(group, store, now)
    check_format(store, "control" if role == "control" else "vault")
    yield good(group, "format", True, "format 1", "format")
    if isinstance(store, Described):
        yield from judge_place(group, store.describe(), declared)
    elif role != "control":
        yield warned(
            group, "locks", False, "a directory: its locks bind dr only, whoever owns it can delete it", "locks"
        )


def judge_place(group: str, facts: PlaceFacts, declared: Place | None) -> Iterator[Finding]:
    """Pure. The control repository needs object retention too: the evidence of drills is locked. `declared` None: nobody
    says where it should be."""
    locks = (
        "object retention is on" if facts.object_retention else "object retention is off: nothing in it can be locked"
    )
    yield good(group, "locks", facts.object_retention, locks, "locks")
    where = facts.location.lower()
    if declared is None:
        return
    if not declared.location:
        words = f"{where}; the settings declare none, so it counts for no loss of a region"
        yield warned(group, "location", False, words, "place")
    else:
        yield good(group, "location", where == declared.location, f"{where}, declared {declared.location}", "place")


def _clock(group: str, store: ObjectStore, now: Callable[[], datetime]) -> Finding:
    before, theirs, after = now(), store.server_time(), now()
    if theirs is None:
        return good(group, "clock", True, "the store has no clock of its own", "clock")
    # an HTTP date is a whole second: what lies within the call and that second is no skew
    skew = max(before - theirs - timedelta(seconds=1), theirs - after, timedelta(0))
    return judge_skew(group, skew)


def judge_skew(group: str, skew: timedelta) -> Finding:
    """Pure."""
    level = Level.FAIL if skew > SKEW else Level.WARN if skew > WARNED_SKEW else Level.OK
    words = f"differs by {skew.total_seconds():.1f} s from the store's, at most {SKEW.seconds} s"
    return Finding(group, "clock", level, words, "clock")


# --- sources and the table -------------------------------------------------------------------------------------------


def check_source(source: Source) -> Iterator[Finding]:
    """What the source checks itself."""
    spec = source.spec
    for check in source.check():
        yield finding(str(spec.id), check, topic_of(spec.id.kind, check.name))


def judge_table(rows: Sequence[PlannedRow]) -> Iterator[Finding]:
    """Whether every judged row and domain can be kept. What the declared mode promises is no miss."""
    for component in dict.fromkeys(row.component for row in rows if not row.sources):
        yield good("table", component, False, "not captured: the row declares no source", "table")
    for row in rows:
        if row.judged and row.sources:
            yield _judged(row)


def _judged(row: PlannedRow) -> Finding:
    name = f"{row.component}, loss of {row.domain}"
    if row.met or row.declared:
        words = "can be kept" if row.met else "as the declared mode promises: 0 lost, not guaranteed"
        return good("table", name, True, words, "table")
    return good("table", name, False, _why(row), "table")


def _why(row: PlannedRow) -> str:
    """The reasons that speak of this domain, or all."""
    mine = [reason for reason in row.reasons if reason.startswith(f"{row.domain} domain")]
    return "cannot be kept: " + "; ".join(mine or row.reasons)


def judge_points(spec: SourceSpec, count: int, survives: Mapping[FailureDomain, int]) -> Finding:
    """Before a restore: is there anything to restore from?"""
    lost = ", ".join(f"{number} survive loss of {domain}" for domain, number in survives.items())
    words = (
        f"{count} recovery points{': ' if lost else ''}{lost}"
        if count
        else "no recovery point: nothing can be restored"
    )
    return good(str(spec.id), "recovery points", bool(count), words, "points")
