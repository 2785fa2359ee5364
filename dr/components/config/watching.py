"""One kind of objects, followed by one thread: a consistent list, then every change after it.

What is observed is handed on at once. `fresh` is the instant up to which nothing of this kind is missing: that of the last
believed list, or of the last consistent read whose resource version the watch has passed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dr.components.config.access import ConfigApi
from dr.components.config.confirming import believed
from dr.components.config.tracking import Change, Tracker, version_of
from dr.errors import NOT_AUTHORISED, NOT_FOUND, DrError
from dr.ports import Clock
from dr.vendors.kubernetes import Event
from dr.vendors.kubernetes_objects import Resource
from dr.vendors.kubernetes_transport import Gone
from dr.vendors.kubernetes_watching import Changes

Emit = Callable[[Sequence[Change]], None]
Told = Callable[[str, str], None]
"""(kind of notice, detail)."""

_PATIENCE = 3
"""Watch calls that may end without passing a consistent read; then the kind is listed again."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_STARTING_S = 60.0


@dataclass(frozen=True, slots=True)
class Barrier:
    """A consistent read: everything changed before `at` is at or below `version`."""

    version: int
    at: datetime
    calls: int = 0


class Watch:
    """Thread-safe. `seconds`: how long one watch call lasts."""

    def __init__(self, api: ConfigApi, tracker: Tracker, emit: Emit, told: Told, clock: Clock, seconds: int) -> None:
        self._api, self._tracker, self._emit, self._told = api, tracker, emit, told
        self._clock, self._seconds = clock, seconds
        self._lock = threading.RLock()
        self._stream: Changes | None = None
        self._version = ""
        self._barrier: Barrier | None = None
        self._list_again = True
        self._refused: float | None = None
        self.fresh: datetime | None = None

    @property
    def resource(self) -> Resource:
        return self._tracker.resource

    # --- listing

    def sync(self, emit: Emit | None = None) -> int:
        """A consistent list against what is known; how many differences were handed on. Raises DrError."""
        with self._lock:
            at = self._clock.now()
            listing = believed(self._api, self._tracker, self._api.list(self.resource), self._clock)
            changes = self._tracker.listed(listing.items)
            (emit or self._emit)(changes)
            self._version, self._barrier, self._list_again = listing.version, None, False
            self.fresh = at
        return len(changes)

    def list_again(self, known_until: datetime | None) -> None:
        """More objects are meant from now on, and nothing is known of them after `known_until`."""
        with self._lock:
            self._list_again, self._barrier = True, None
            if self.fresh and known_until:
                self.fresh = min(self.fresh, known_until)
        self.interrupt()

    def leave(self, namespace: str) -> None:
        """A namespace is no longer meant."""
        with self._lock:
            if changes := self._tracker.leave(namespace):
                self._emit(changes)

    def interrupt(self) -> None:
        """The watch call that is open ends at once."""
        stream = self._stream
        if stream is not None:
            stream.close()

    # --- following

    def follow(self, stop: threading.Event) -> None:
        """Until `stop`. Temporary errors are waited out. Raises DrError."""
        pause = _FIRST_PAUSE_S
        while not stop.is_set():
            try:
                self._once(stop)
                pause, self._refused = _FIRST_PAUSE_S, None
            except Gone:
                self._list_again = True
            except DrError as error:
                if not error.temporary and not self._may_pass(error):
                    raise
                self._told("reconnected", error.message)
                stop.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _may_pass(self, error: DrError) -> bool:
        """An API server that has just started forbids everybody everything and knows no custom resource, until it has read
        its own rules: what worked before is tried again for a while."""
        if error.kind not in (NOT_AUTHORISED, NOT_FOUND):
            return False
        now = time.monotonic()
        self._refused = self._refused if self._refused is not None else now
        return now - self._refused < _STARTING_S

    def _once(self, stop: threading.Event) -> None:
        if self._list_again:
            count = self.sync()
            self._told("relisted", f"{self.resource}: {count} differences")
        self._take_barrier()
        self._read(stop)

    def _take_barrier(self) -> None:
        """One at a time; one that stays unpassed for long asks for a list."""
        waiting = self._barrier
        if waiting is None:
            at = self._clock.now()
            self._barrier = Barrier(_number(self._api.version_now(self.resource)), at)
            self._pass()
        elif waiting.calls >= _PATIENCE:
            raise Gone("the watch does not advance")
        else:
            self._barrier = Barrier(waiting.version, waiting.at, waiting.calls + 1)

    def _pass(self) -> None:
        with self._lock:
            waiting = self._barrier
            if waiting and not self._list_again and 0 <= waiting.version <= _number(self._version):
                self.fresh, self._barrier = waiting.at, None

    def _read(self, stop: threading.Event) -> None:
        self._stream = stream = self._api.changes(self.resource, self._version, self._seconds)
        if self._list_again or stop.is_set():
            stream.close()
        try:
            for event in stream:
                self._take(event)
                if stop.is_set() or self._list_again:
                    return
        finally:
            self._stream = None

    def _take(self, event: Event) -> None:
        received = self._clock.now()  # before it waits for others, and before a Secret is sealed
        with self._lock:
            change = self._change(event, received)
            if change is not None:
                self._emit([change])
            self._version = version_of(event.object) or self._version
            self._pass()

    def _change(self, event: Event, received: datetime) -> Change | None:
        if event.type == "BOOKMARK":
            return None
        if event.type == "DELETED":
            found = self._tracker.gone(self._tracker.key_of(event.object))
        else:
            found = self._tracker.seen(event.object)
        return replace(found, by=self._happened_by(event, found.by, received)) if found else None

    def _happened_by(self, event: Event, told: datetime | None, received: datetime) -> datetime:
        """An event that was waiting for this watch happened before the consistent read that the watch began with. One that
        comes as it happens is dated by our clock, which is finer than the object's and the same for all."""
        barrier = self._barrier
        if barrier is None or not 0 <= _number(version_of(event.object)) <= barrier.version:
            return received
        return min(told, barrier.at) if told else barrier.at


def _number(version: str) -> int:
    """Resource versions of one kind compare as numbers (Kubernetes 1.35 promises it, etcd always did); -1: not this one."""
    return int(version) if version.isdigit() else -1
