"""Locks segments soon after they are durable, beside the path of the acknowledgement."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from dr.errors import RETENTION_REFUSED, DrError
from dr.ports import Clock, ObjectInfo, ObjectStore

THREADS = 8


class Locker:
    """A pool that retains objects. What the store refuses is kept in mind and tried again with the next object, so a lock
    that is late is never forgotten; a writer that dies leaves it to the next one."""

    def __init__(self, vault: ObjectStore, clock: Clock, lock_for: timedelta) -> None:
        self._vault, self._clock, self._lock_for = vault, clock, lock_for
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="lock")
        self._late: deque[ObjectInfo] = deque()
        self._guard = threading.Lock()

    @property
    def failed(self) -> int:
        return len(self._late)

    def lock_all(self, objects: Iterable[ObjectInfo]) -> None:
        """Those without a lock."""
        for info in objects:
            if info.retain_until is None:
                self.lock(info)

    def lock(self, info: ObjectInfo) -> None:
        self._pool.submit(self._lock, info)

    def close(self) -> None:
        """All that was asked for is tried; what failed once is tried a last time."""
        self._pool.shutdown(wait=True)
        late, self._late = list(self._late), deque()
        for info in late:
            self._try(info)

    def _lock(self, info: ObjectInfo) -> None:
        if not self._try(info):
            return
        with self._guard:
            late = self._late.popleft() if self._late else None
        if late is not None:
            self._try(late)

    def _try(self, info: ObjectInfo) -> bool:
        try:
            self._vault.retain(info.name, generation=info.generation, until=self._clock.now() + self._lock_for)
        except DrError as error:
            if error.kind is not RETENTION_REFUSED:  # refused: locked for longer already
                with self._guard:
                    self._late.append(info)
                return False
        return True
