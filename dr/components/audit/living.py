"""What Cloud Logging still holds of the audit entries, as a witness (`ports.LivingWitness`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Protocol

from dr.components.audit.access import PubsubOptions
from dr.components.audit.entry import fingerprint, key_of
from dr.components.audit.source import SinkApi
from dr.errors import DAMAGED, NOT_FOUND, REJECTED, DrError
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant, parse_instant
from dr.ports import RestoredItem
from dr.vendors.sinks import Sink

BACK = timedelta(days=7)
"""A drill looks no further back: what is older was judged by the drills before it."""
NEWEST = 100_000
"""Entries at the most: at 60 requests a minute, a thousand entries each, they take about two minutes."""


class EntriesApi(Protocol):
    """As `dr.vendors.entries.LogEntries`."""

    def newest(self, project: str, wanted: str) -> Iterator[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class LivingLog:
    """The entries that the sink had to send, by asking where they were written, not where they were sent."""

    entries: EntriesApi
    sinks: SinkApi
    most: int = NEWEST

    def read(self, spec: SourceSpec, at: datetime) -> Iterator[RestoredItem]:
        """Newest first, each with the time at which Cloud Logging had it. What it had less than `sinkDelay` before may still
        be on its way through the sink, and is left out. Raises DrError REJECTED when the strategy names no sink: nobody
        knows then which entries were to be sent; NOT_FOUND when there is no such sink; NOT_AUTHORISED."""
        options = PubsubOptions.of(spec)
        if not options.sink:
            raise DrError(
                REJECTED, f"{spec.id} names no sink: what it had to send is not known", hint="set options.sink"
            )
        sink = self.sinks.sink(options.project, options.sink)
        if sink is None:
            raise DrError(NOT_FOUND, f"there is no sink {options.sink} in project {options.project}")
        until = at - options.sink_delay
        items = map(_item, self.entries.newest(options.project, sent_until(sink, until)))
        return islice((item for item in items if item.updated is None or item.updated <= until), self.most)


def sent_until(sink: Sink, at: datetime) -> str:
    """What the sink had to send of the time until `at`, in Cloud Logging's own language. Filters may end with a comment."""
    bounds = f'timestamp>="{format_instant(at - BACK)}" AND timestamp<="{format_instant(at)}"'
    wanted = [f"({sink.filtered}\n)"] if sink.filtered.strip() else []
    return " AND ".join([bounds, *wanted, *(f"NOT ({without}\n)" for without in sink.exclusions)])


def _item(entry: Mapping[str, Any]) -> RestoredItem:
    try:
        known = parse_instant(str(entry.get("receiveTimestamp") or entry["timestamp"]))
        return RestoredItem(key_of(entry), fingerprint(entry), known)
    except (KeyError, ValueError) as error:
        raise DrError(DAMAGED, f"Cloud Logging answered with an entry that has no name or time: {error}") from None
