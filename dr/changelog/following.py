"""Waiting for a follower that lives elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from dr.changelog.entries import Head
from dr.changelog.reader import LogReader, head_of
from dr.ports import Clock

RECENT = timedelta(minutes=1)
_LOOK_S = 0.5
_LONGEST = timedelta(days=36500)


def catch_up_by_other(
    reader: LogReader,
    since: datetime,
    clock: Clock,
    *,
    heartbeat: timedelta,
    stop: Callable[[], bool] = lambda: False,
    recent: timedelta = RECENT,
) -> datetime | None:
    """The log's watermark once it has reached `since`; None when nobody continues the log, or `stop()`. Raises DrError.

    An idle follower still writes a segment each heartbeat, so silence is a sign: three heartbeats of it while we look, or
    a log whose last object is older than those by `recent` (clocks differ).
    """
    last = reader.last()
    if last is None or clock.now() - last.stored.created > min(recent, _LONGEST) + 3 * heartbeat:
        return None
    seen, silent_from = head_of(last), clock.stamp()
    while not stop():
        if reached(seen, since):
            return seen.watermark
        if clock.stamp().seconds_since(silent_from) > 3 * heartbeat.total_seconds():
            return None
        clock.sleep(min(_LOOK_S, heartbeat.total_seconds()))
        if newer := reader.last_after(seen.seq):
            seen, silent_from = head_of(newer), clock.stamp()
    return None


def reached(head: Head, since: datetime) -> bool:
    return head.watermark is not None and head.watermark >= since
