"""Messages that Pub/Sub handed to us: held while they are being stored, acknowledged when they are durable."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from dr.components.audit.access import PubsubApi
from dr.errors import DrError
from dr.vendors.pubsub import BATCH, Message

EXTEND_S = 60
"""A lease is extended to this long from then, whenever a third of it is used up."""
_GATHER_S = 0.02
_RETRY_S = 1.0


@dataclass(slots=True)
class _Held:
    """One delivery. `renew` is an instant of the monotonic clock."""

    size: int
    renew: float


class Leases:
    """Thread-safe; a context manager. Two threads: one acknowledges, one extends, so that neither waits for the other.

    Temporary errors are tried again for ever: what is not acknowledged comes again and is recognised. Others are kept
    for `require_sound`.
    """

    def __init__(self, api: PubsubApi, path: str, deadline_s: float) -> None:
        self._api, self._path, self._first_s = api, path, deadline_s / 3
        self._held: dict[str, _Held] = {}
        self._bytes = 0
        self._done: list[str] = []
        self._error: DrError | None = None
        self._closing = False
        self._changed = threading.Condition()
        works = (("acknowledge", self._acknowledge), ("extend", self._extend))
        self._threads = [threading.Thread(target=work, name=f"pubsub-{name}", daemon=True) for name, work in works]

    def hold(self, messages: Sequence[Message]) -> None:
        """From now on they are extended until `done` or `give_back`."""
        renew = time.monotonic() + self._first_s
        with self._changed:
            for message in messages:
                self._held[message.ack_id] = _Held(len(message.data), renew)
                self._bytes += len(message.data)

    def done(self, ack_ids: Sequence[str]) -> None:
        """They are durable: acknowledge them soon."""
        with self._changed:
            self._done += ack_ids
            self._changed.notify_all()

    def give_back(self, ack_ids: Sequence[str]) -> None:
        """They are not taken: Pub/Sub may deliver them anew at once. What it does not hear, it does by itself."""
        self._forget(ack_ids)
        for start in range(0, len(ack_ids), BATCH):
            try:
                self._api.extend(self._path, ack_ids[start : start + BATCH], 0)
            except DrError:
                return

    @property
    def load(self) -> tuple[int, int]:
        """Deliveries and bytes that are held."""
        with self._changed:
            return len(self._held), self._bytes

    def require_sound(self) -> None:
        """Raises the DrError that a repetition does not mend."""
        if self._error:
            raise self._error

    def __enter__(self) -> Leases:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What was done is acknowledged, unless Pub/Sub cannot be reached now."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    # --- the threads

    def _acknowledge(self) -> None:
        while batch := self._next_done():
            try:
                self._api.acknowledge(self._path, batch)
                self._forget(batch)
            except DrError as error:
                if not error.temporary:
                    self._error = error
                if self._closing or self._error:
                    return
                with self._changed:
                    self._done = batch + self._done
                    self._changed.wait_for(lambda: self._closing, timeout=_RETRY_S)

    def _next_done(self) -> list[str]:
        with self._changed:
            self._changed.wait_for(lambda: self._done or self._closing)
            if self._done and not self._closing:
                self._changed.wait_for(lambda: len(self._done) >= BATCH or self._closing, timeout=_GATHER_S)
            batch, self._done = self._done[:BATCH], self._done[BATCH:]
            return batch

    def _forget(self, ack_ids: Sequence[str]) -> None:
        with self._changed:
            for ack_id in ack_ids:
                if held := self._held.pop(ack_id, None):
                    self._bytes -= held.size

    def _extend(self) -> None:
        while not self._wait(self._first_s / 2):
            now = time.monotonic()
            with self._changed:
                due = [ack_id for ack_id, held in self._held.items() if held.renew <= now]
            for start in range(0, len(due), BATCH):
                self._extend_batch(due[start : start + BATCH])

    def _wait(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._closing, timeout=seconds)

    def _extend_batch(self, ack_ids: Sequence[str]) -> None:
        try:
            self._api.extend(self._path, ack_ids, EXTEND_S)
        except DrError as error:
            if not error.temporary:
                self._error = error
            return
        renew = time.monotonic() + EXTEND_S / 3
        with self._changed:
            for ack_id in ack_ids:
                if held := self._held.get(ack_id):
                    held.renew = renew
