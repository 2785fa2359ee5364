"""The store of timings: appended after each try of a restore or drill, read newest first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from dr.model.samples import Timings
from dr.model.timeline import compact_instant
from dr.ports import ObjectStore
from dr.record.codec import decode, encode
from dr.record.timed import TIMINGS

NEWEST = 400
"""Records that are read: older ones say little about today."""


def keep_timings(control: ObjectStore, record: Timings) -> None:
    """Raises as the store does."""
    control.put(f"{TIMINGS}{compact_instant(record.at)}-{record.run}.json", encode(record))


def read_timings(control: ObjectStore, newest: int = NEWEST) -> tuple[Timings, ...]:
    """Oldest first. Raises DrError DAMAGED, NEWER_FORMAT, and as the store does."""
    names = [info.name for info in control.list(TIMINGS) if info.name.endswith(".json")][-newest:]
    with ThreadPoolExecutor(8, thread_name_prefix="timings") as pool:
        return tuple(pool.map(lambda name: decode(control.get(name), Timings, f"{control.url}/{name}"), names))
