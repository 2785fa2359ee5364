"""Who of several replicas does the work: a Lease that is renewed while its holder lives.

The Lease only saves work that would be done twice. What keeps two leaders from doing harm is the fence at commit: epochs of claims,
numbers of segments.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dr.errors import CONFLICT, DrError
from dr.ports import LeaseRecord, LeaseStore
from dr.run.clock import boottime

LOOK_S = 0.1
LEAD_SHARE = 0.8
"""Share of the Lease after its last renewal in which the holder trusts it: who waits for its end waits longer."""
RENEW_SHARE = 1 / 3
RETRY_SHARE = 1 / 6
LONGEST_LOOK_S = 2.0
"""How long a Lease that was released may lie there."""


def replica_name() -> str:
    """`pod/pid/nonce`: unique for each process."""
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}/{os.getpid()}/{secrets.token_hex(3)}"


# --- decisions


@dataclass(frozen=True, slots=True)
class Seen:
    """A Lease as it stands, and since when this replica sees it so, by its own clock: no two clocks are compared."""

    lease: LeaseRecord | None
    since: float


def observe(before: Seen | None, lease: LeaseRecord | None, now: float) -> Seen:
    """A Lease that did not change keeps its age."""
    if before and before.lease and lease and before.lease.version == lease.version:
        return before
    return Seen(lease, now)


def may_take(seen: Seen, me: str, now: float) -> bool:
    """There is none, it was released, it is ours, or its holder has not renewed it for its whole duration."""
    lease = seen.lease
    if lease is None or lease.holder in ("", me):
        return True
    return now - seen.since >= lease.duration.total_seconds()


def taken(lease: LeaseRecord | None, me: str, duration: timedelta, wall: datetime) -> LeaseRecord:
    """The Lease as `me` writes it to take or renew it."""
    if lease is None:
        return LeaseRecord(me, duration, wall)
    changed = lease.holder != me
    return replace(lease, holder=me, duration=duration, renewed=wall, transitions=lease.transitions + changed)


# --- leaders


class Alone:
    """No election: this process leads."""

    def hold(self, stop: Callable[[], bool]) -> None:
        return None

    def leads(self) -> bool:
        return True

    def release(self) -> None:
        return None


class LeaseLeader:
    """Competes for one Lease in a thread of its own, from the first `hold` on (`ports.Leader`).

    While the Lease cannot be reached its holder goes on leading until it would have run out, and not longer. `trouble`
    hears why it cannot be had, each reason once.
    """

    def __init__(
        self,
        store: LeaseStore,
        me: str,
        duration: timedelta,
        wall: Callable[[], datetime],
        *,
        trouble: Callable[[DrError], None] = lambda _error: None,
        elapsed: Callable[[], float] = boottime,
    ) -> None:
        self.me = me
        self._store = store
        self._duration = duration
        self._wall = wall
        self._trouble = trouble
        self._elapsed = elapsed
        self._seen: Seen | None = None
        self._until = float("-inf")
        self._said = ""
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, stop: Callable[[], bool]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._compete, name="lease", daemon=True)
            self._thread.start()
        while not self.leads() and not stop():
            time.sleep(min(LOOK_S, self._duration.total_seconds() * RETRY_SHARE))

    def leads(self) -> bool:
        return self._elapsed() < self._until

    def release(self) -> None:
        """A successor may begin at once. A Lease that cannot be reached runs out by itself."""
        self._ending.set()
        if self._thread is not None:
            # a call that hangs is left to its own timeout
            self._thread.join(self._duration.total_seconds() * RENEW_SHARE)
        held, self._until = self.leads(), float("-inf")
        if not held or self._seen is None or self._seen.lease is None:
            return
        try:
            self._store.write(replace(self._seen.lease, holder="", renewed=self._wall()))
        except DrError as error:
            self._trouble(error)

    def _compete(self) -> None:
        while not self._ending.is_set():
            self.turn()
            lease_s = self._duration.total_seconds()
            self._ending.wait(lease_s * RENEW_SHARE if self.leads() else min(LONGEST_LOOK_S, lease_s * RETRY_SHARE))

    def turn(self) -> None:
        """One look, and one write if the Lease is ours or free. A test calls it by itself."""
        try:
            if not self.leads() or self._seen is None:
                self._seen = observe(self._seen, self._store.read(), self._elapsed())
            if may_take(self._seen, self.me, self._elapsed()):
                self._write(self._seen)
            self._said = ""
        except DrError as error:
            self._failed(error)

    def _write(self, seen: Seen) -> None:
        # the Lease counts from before the request: it may have been granted at once
        began = self._elapsed()
        lease = self._store.write(taken(seen.lease, self.me, self._duration, self._wall()))
        self._seen = Seen(lease, began)
        self._until = began + self._duration.total_seconds() * LEAD_SHARE

    def _failed(self, error: DrError) -> None:
        if error.kind is CONFLICT:
            # another replica wrote since we looked: the Lease is not ours any more, or was never to be
            self._until, self._seen = float("-inf"), None
            return
        if self.leads():
            self._seen = None  # the write may have been taken although its answer was lost
        if error.message != self._said:
            self._said = error.message
            self._trouble(error)
