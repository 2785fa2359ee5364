"""Which entries the log holds already: recent minutes in memory, older ones read back from the log when they are asked for.

So a restart, a redelivery of the last seconds and one of the last month are the same case.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dr.changelog import LogReader
from dr.changelog.entries import read_entry
from dr.components.audit.entry import short
from dr.model.timeline import floor_to

MINUTE = timedelta(minutes=1)
SPAN = timedelta(minutes=10)
"""Minutes that are read back at once; near the end of the log, where most are asked for, one at a time."""
LIMIT = 2_000_000
"""Keys in memory, 8 bytes each (about half an hour at 1,000 entries/s)."""
_SETTLE_EVERY = 20_000


@dataclass(slots=True)
class _Minute:
    """Keys of one minute: `old` sorted and small, `new` as they came."""

    old: array[int] = field(default_factory=lambda: array("Q"))
    new: set[int] = field(default_factory=set)

    def has(self, key: int) -> bool:
        at = bisect_left(self.old, key)
        return key in self.new or (at < len(self.old) and self.old[at] == key)

    def settle(self) -> None:
        if self.new:
            self.old = array("Q", sorted((*self.old, *self.new)))
            self.new = set()

    def __len__(self) -> int:
        return len(self.old) + len(self.new)


class Seen:
    """Not thread-safe. What is added is taken to become durable; whoever breaks off throws the whole away.

    `newest`: the latest entry when the log was opened; minutes after it are known to be empty without reading.
    """

    def __init__(self, reader: LogReader, newest: datetime | None, limit: int = LIMIT) -> None:
        self._reader, self._limit = reader, limit
        self._minutes: OrderedDict[datetime, _Minute] = OrderedDict()
        self._pending: dict[datetime, set[int]] = {}
        self._end = newest
        self._read_until = newest
        """Minutes up to this one may hold keys that are not in memory."""
        self._size = self._added = 0

    def add(self, at: datetime, key: str) -> bool:
        """Whether it is new. Raises DrError when the log has to be read and cannot be."""
        minute, digest = self._minute(floor_to(at, MINUTE)), short(key)
        if minute.has(digest):
            return False
        minute.new.add(digest)
        self._pending.setdefault(floor_to(at, MINUTE), set()).add(digest)
        self._size += 1
        self._added += 1
        if self._added % _SETTLE_EVERY == 0 or self._size > self._limit:
            self._tidy()
        return True

    def durable(self, at: datetime, key: str) -> None:
        """The log itself holds it now: it may be forgotten and read back."""
        minute = floor_to(at, MINUTE)
        if waiting := self._pending.get(minute):
            waiting.discard(short(key))
            if not waiting:
                del self._pending[minute]

    def _minute(self, start: datetime) -> _Minute:
        if start not in self._minutes:
            if self._read_until and start <= self._read_until:
                self._read_back(start)
            else:
                self._minutes[start] = _Minute()
        self._minutes.move_to_end(start)
        return self._minutes[start]

    def _read_back(self, minute: datetime) -> None:
        near = self._end is not None and minute > self._end - SPAN
        start, span = (minute, MINUTE) if near else (floor_to(minute, SPAN), SPAN)
        found: dict[datetime, set[int]] = {start + index * MINUTE: set() for index in range(span // MINUTE)}
        for where, line in self._reader.entry_lines(since=start, until=start + span):
            entry = read_entry(line, where)
            if start <= entry.at < start + span:
                found[floor_to(entry.at, MINUTE)].add(short(entry.key))
        for one, keys in found.items():
            if one not in self._minutes:
                self._minutes[one] = _Minute(array("Q", sorted(keys | self._pending.get(one, set()))))
                self._size += len(self._minutes[one])

    def _tidy(self) -> None:
        """Minutes that are not being written become small; the longest untouched ones go."""
        for minute in list(self._minutes)[:-3]:
            self._minutes[minute].settle()
        while self._size > self._limit and len(self._minutes) > SPAN // MINUTE:
            dropped, keys = self._minutes.popitem(last=False)
            self._size -= len(keys)
            self._read_until = max(self._read_until or dropped, dropped)
