"""How far change logs reach, without listing them whole each time: what is new since the last look is a short listing.

A busy log has a million segments a day. It is listed whole at the first look, when the chain breaks, and every few hours, because
its beginning moves too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dr.app.core import App
from dr.changelog import LogReader
from dr.changelog.units import Unit
from dr.model.points import Coverage
from dr.model.strategy import SourceSpec
from dr.record.watched import LogTail, Watched

WHOLE_EVERY = timedelta(hours=6)
Reach = tuple[tuple[Coverage, ...], LogTail | None]


def reach_of(app: App, spec: SourceSpec, known: Watched) -> Reach:
    """What the log of `spec` covers now, and where it was seen to end. Raises DrError."""
    now = app.clock.now()
    tail = next((tail for tail in known.tails if tail.source == spec.id), None)
    mine = tuple(interval for interval in known.coverage if interval.source == spec.id)
    if tail and mine and timedelta(0) <= now - tail.whole < WHOLE_EVERY:
        grown = _grown(mine, tail, LogReader(app.vault(spec.id.component), spec.id).segments(tail.seq))
        if grown:
            return grown
    return _whole(app, spec, now)


def _whole(app: App, spec: SourceSpec, now: datetime) -> Reach:
    found = app.coverage(spec)
    told = [interval.details["last_seq"] for interval in found if "last_seq" in interval.details]
    reader = LogReader(app.vault(spec.id.component), spec.id)
    if told:
        last = next(iter(reader.segments(max(int(str(seq)) for seq in told) - 1)), None)
    else:
        last = reader.last()
    return found, LogTail(spec.id, last.last_seq, last.sha256, now) if last else None


def _grown(mine: Sequence[Coverage], tail: LogTail, units: Iterable[Unit]) -> Reach | None:
    """None when what follows does not continue the log as it was seen."""
    newest = max(mine, key=lambda interval: interval.end)
    end, seq, sha256 = newest.end, tail.seq, tail.sha256
    for unit in units:
        if (unit.first_seq, unit.prev) != (seq + 1, sha256):
            return None
        end, seq, sha256 = max(end, unit.watermark or end), unit.last_seq, unit.sha256
    grown = tuple(replace(interval, end=end) if interval is newest else interval for interval in mine)
    return grown, replace(tail, seq=seq, sha256=sha256)
