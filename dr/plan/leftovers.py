"""What lies in a vault beside recovery points: segments of change logs, data of dead runs, quarantine. When it may go.

Everything here is positively identified, or it stays: a segment by a pack that holds it, data by a run that is known to be over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.model.timeline import format_instant

SEGMENT_LOCK = timedelta(days=14)
"""Segments are locked this long, soon after they are written; one whose lock never came counts from its creation."""
LONG_AGO = timedelta(days=7)
"""A run that ended, or fell silent, this long ago does not come back."""


@dataclass(frozen=True, slots=True)
class Loose:
    """One object of a vault."""

    name: str
    created: datetime
    locked_until: datetime | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a change log."""

    object: Loose
    seq: int
    sha256: str = ""
    """Its place in the chain, as its metadata tells."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack by its manifest. `flaw`: why it does not count; empty: committed, every object there and locked for the full time."""

    name: str
    first_seq: int
    last_seq: int
    last_sha256: str = ""
    flaw: str = ""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the journal says of the run that made the data. `over`: when it ended or fell silent; None: it is not known or lives."""

    known: bool
    over: datetime | None = None
    state: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The data of one attempt at a slot."""

    prefix: str
    objects: Sequence[Loose]
    run: RunFacts
    referred: bool
    """A manifest refers to it, or may: then it is part of a point."""


@dataclass(frozen=True, slots=True)
class Fate:
    """Of one thing. `keep` False: it may go."""

    name: str
    keep: bool
    reason: str


def stays(found: Loose, now: datetime) -> str:
    """Why the store would refuse to delete it; empty when it would not."""
    if found.held:
        return "the store holds it"
    if found.locked_until is not None and found.locked_until > now:
        return f"the store locks it until {format_instant(found.locked_until)}"
    return ""


def decide_segments(segments: Sequence[Segment], packs: Sequence[Pack], now: datetime) -> tuple[Fate, ...]:
    """Of one change log. A segment may go when a good pack holds it, its own lock is over, and a newer pack or segment stands."""
    whole = sorted((pack for pack in packs if not pack.flaw), key=lambda pack: pack.first_seq)
    broken = _broken(segments, whole)
    newest = max((segment.seq for segment in segments), default=0)
    last = max((pack.last_seq for pack in whole), default=0)
    good = [pack for pack in whole if pack.name not in broken]
    decided, at = [], 0
    for segment in sorted(segments, key=lambda one: one.seq):
        while at < len(good) and good[at].last_seq < segment.seq:
            at += 1
        pack = good[at] if at < len(good) and good[at].first_seq <= segment.seq else None
        decided.append(_segment(segment, pack, newest, last, now))
    return tuple(decided)


def _broken(segments: Iterable[Segment], packs: Iterable[Pack]) -> frozenset[str]:
    """Packs that hold another chain than the segments at hand: they are no copy of them."""
    told = {segment.seq: segment.sha256 for segment in segments}
    return frozenset(
        pack.name
        for pack in packs
        if pack.last_sha256 and told.get(pack.last_seq) and told[pack.last_seq] != pack.last_sha256
    )


def _segment(segment: Segment, pack: Pack | None, newest: int, last: int, now: datetime) -> Fate:
    name = segment.object.name
    if pack is None:
        return Fate(name, True, "no committed and locked pack holds it")
    if segment.seq >= newest or segment.seq > last:
        return Fate(name, True, "it is the end of the log")
    if refused := stays(segment.object, now):
        return Fate(name, True, refused)
    if segment.object.locked_until is None and (until := segment.object.created + SEGMENT_LOCK) > now:
        return Fate(name, True, f"it was never locked, and is kept until {format_instant(until)}")
    return Fate(name, False, f"{pack.name} holds it")


def decide_attempt(attempt: Attempt, now: datetime) -> Fate:
    """Data that no manifest refers to may go when its run ended long ago."""

    def keep(reason: str) -> Fate:
        return Fate(attempt.prefix, True, reason)

    if attempt.referred:
        return keep("a recovery point refers to it")
    if not attempt.run.known:
        return keep("no run in the journal is known to have made it")
    if attempt.run.over is None:
        return keep("its run is not over")
    if refused := next((why for one in attempt.objects if (why := stays(one, now))), ""):
        return keep(refused)
    newest = max((one.created for one in attempt.objects), default=now)
    since = max(attempt.run.over, newest)
    if since + LONG_AGO > now:
        return keep(f"its run ended only at {format_instant(since)}")
    words = f"no point refers to it, and its run ({attempt.run.state}) has been over since {format_instant(since)}"
    return Fate(attempt.prefix, False, words)


def decide_quarantine(found: Loose, retention: timedelta | None, now: datetime) -> Fate:
    """Kept as long as the row keeps its points, and a little longer: a pack that names it is committed after it."""
    if retention is None:
        return Fate(found.name, True, "its row is not in the strategy")
    if refused := stays(found, now):
        return Fate(found.name, True, refused)
    if (until := found.created + retention + LONG_AGO) > now:
        return Fate(found.name, True, f"the row keeps it until {format_instant(until)}")
    return Fate(found.name, False, "its retention is over")
