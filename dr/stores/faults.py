"""A wrapper that fails on purpose: errors, lost replies, short or flipped reads, and the death of the process.

For tests and drills of `dr` itself; never part of a production composition.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from dr.errors import DAMAGED, UNAVAILABLE, DrError, ErrorKind
from dr.ports import ObjectInfo, ObjectStore, Stored


class Action(StrEnum):
    """What happens. `LOSE_REPLY`: the operation takes effect, the caller hears that it failed."""

    ERROR = "error"
    LOSE_REPLY = "lose-reply"
    TRUNCATE = "truncate"
    FLIP = "flip"
    KILL_BEFORE = "kill-before"
    KILL_AFTER = "kill-after"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Fault:
    """Strikes at operations number `first` (from 0) up to `first + times` among those that match.

    `operation` and `name` are regular expressions, matched whole: `put|retain`, `points/.*`.
    """

    action: Action
    operation: str = ".*"
    name: str = ".*"
    first: int = 0
    times: int = 1
    kind: ErrorKind = UNAVAILABLE
    call: Callable[[], None] | None = None

    def matches(self, operation: str, name: str) -> bool:
        return bool(re.fullmatch(self.operation, operation) and re.fullmatch(self.name, name))


@dataclass(slots=True)
class Faults:
    """The script, shared by the wrappers of several stores so that operations are counted over all of them."""

    script: tuple[Fault, ...] = ()
    log: list[tuple[str, str]] = field(default_factory=list)
    """(operation, name) of all that was asked, in order."""
    _seen: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def strike(self, operation: str, name: str) -> Fault | None:
        """Count the operation; the first fault of the script that is due, if any."""
        with self._lock:
            self.log.append((operation, name))
            due: Fault | None = None
            for index, fault in enumerate(self.script):
                if not fault.matches(operation, name):
                    continue
                count = self._seen.get(index, 0)
                self._seen[index] = count + 1
                if due is None and fault.first <= count < fault.first + fault.times:
                    due = fault
            return due


class FaultyStore:
    """An ObjectStore that does what `inner` does until the script says otherwise."""

    def __init__(self, inner: ObjectStore, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    @property
    def url(self) -> str:
        return self._inner.url

    @contextmanager
    def _around(self, operation: str, name: str) -> Iterator[Fault | None]:
        fault = self._faults.strike(operation, name)
        action = fault.action if fault else None
        if fault and fault.call:
            fault.call()
        if action is Action.KILL_BEFORE:
            _die()
        if fault and action is Action.ERROR:
            raise DrError(fault.kind, f"{operation} of {self.url}/{name} failed on purpose")
        yield fault
        if action is Action.KILL_AFTER:
            _die()
        if fault and action is Action.LOSE_REPLY:
            raise DrError(fault.kind, f"the reply to {operation} of {self.url}/{name} was lost on purpose")

    def put(
        self, name: str, data: bytes, *, if_generation: int | None = 0, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        with self._around("put", name):
            return self._inner.put(name, data, if_generation=if_generation, metadata=metadata)

    def put_stream(
        self,
        name: str,
        chunks: Iterable[bytes],
        *,
        if_generation: int | None = 0,
        metadata: Mapping[str, str] | None = None,
    ) -> Stored:
        with self._around("put_stream", name):
            return self._inner.put_stream(name, chunks, if_generation=if_generation, metadata=metadata)

    def get(self, name: str, *, generation: int | None = None) -> bytes:
        with self._around("get", name) as fault:
            return self._spoilt(name, self._inner.get(name, generation=generation), fault)

    def stream(self, name: str, *, generation: int | None = None) -> Iterator[bytes]:
        with self._around("stream", name) as fault:
            for chunk in self._inner.stream(name, generation=generation):
                yield self._spoilt(name, chunk, fault)

    def _spoilt(self, name: str, data: bytes, fault: Fault | None) -> bytes:
        """TRUNCATE is a read that the store notices; FLIP one that only the reader's own hash can notice."""
        if fault and fault.action is Action.TRUNCATE:
            raise DrError(DAMAGED, f"{self.url}/{name} is damaged: {len(data) // 2} of {len(data)} bytes could be read")
        if fault and fault.action is Action.FLIP and data:
            return bytes([data[0] ^ 1]) + data[1:]
        return data

    def stat(self, name: str) -> ObjectInfo | None:
        with self._around("stat", name):
            return self._inner.stat(name)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        with self._around("list", prefix):
            yield from self._inner.list(prefix, start_after=start_after)

    def delete(self, name: str, *, generation: int) -> None:
        with self._around("delete", name):
            self._inner.delete(name, generation=generation)

    def retain(self, name: str, *, generation: int, until: datetime) -> None:
        with self._around("retain", name):
            self._inner.retain(name, generation=generation, until=until)

    def hold(self, name: str, *, generation: int, held: bool) -> None:
        with self._around("hold", name):
            self._inner.hold(name, generation=generation, held=held)

    def missing_permissions(self, wanted: Sequence[str]) -> tuple[str, ...]:
        return self._inner.missing_permissions(wanted)

    def server_time(self) -> datetime | None:
        return self._inner.server_time()


def _die() -> None:
    """As kill -9 does: no handler, no flush, no farewell."""
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()
