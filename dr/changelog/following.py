"""Waiting for a follower that lives elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from dr.changelog.entries import Head
from dr.changelog.reader import LogReader
from dr.ports import Clock

_LOOK_S = 0.5


def catch_up_by_other(
    reader: LogReader,
    since: datetime,
    clock: Clock,
    *,
    heartbeat: timedelta,
    stop: Callable[[], bool] = lambda: False,
) -> datetime | None:
    """The log's watermark once it has reached `since`; None when nobody continues the log (silent for three heartbeats), or
    `stop()`. An idle follower still writes a segment each heartbeat, so silence is a sign. Raises DrError."""
    seen = reader.head()
    silent_from = clock.stamp()
    while not stop():
        if reached(seen, since):
            return seen.watermark
        if clock.stamp().seconds_since(silent_from) > 3 * heartbeat.total_seconds():
            return None
        clock.sleep(_LOOK_S)
        head = reader.head()
        if head.seq != seen.seq:
            seen, silent_from = head, clock.stamp()
    return None


def reached(head: Head, since: datetime) -> bool:
    return head.watermark is not None and head.watermark >= since
