"""A copy of a place in which some objects are others, and that keeps what is written for itself. The place is only read."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from heapq import merge

from dr.errors import CONFLICT, NOT_FOUND, RETENTION_REFUSED, DrError
from dr.ports import ObjectInfo, ObjectStore, Stored
from dr.stores.digest import CHUNK, Digest, crc32c, require_name

_FIRST = 1 << 62
"""Generations of what is written here: above those of any store."""


@dataclass(frozen=True, slots=True)
class Own:
    """One object of the copy."""

    info: ObjectInfo
    data: bytes


@dataclass(slots=True)
class Overlay:
    """`files`: what stands instead, under the generation of what stood there; None: it is gone. `emptied`: nothing of the
    place is seen. Not for large objects: what differs is held in memory."""

    inner: ObjectStore
    files: Mapping[str, bytes | None] = field(default_factory=dict)
    metadata: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    emptied: bool = False
    writable: bool = False
    _own: dict[str, Own] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)
    _written: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        for name in self.files.keys() | self.metadata.keys():
            data = self.files[name] if name in self.files else self.inner.get(name)
            if data is None:
                self._gone.add(name)
            else:
                self._own[name] = Own(self._instead(name, data), data)

    def _instead(self, name: str, data: bytes) -> ObjectInfo:
        there = self.inner.stat(name) or ObjectInfo(name, 0, "", 1, datetime.now(UTC))
        told = self.metadata.get(name, there.metadata)
        return replace(there, size=len(data), crc32c=crc32c(data), metadata=dict(told))

    @property
    def url(self) -> str:
        return f"copy+{self.inner.url}"

    # --- reading

    def stat(self, name: str) -> ObjectInfo | None:
        own = self._own.get(name)
        return own.info if own else None if self._hidden(name) else self.inner.stat(name)

    def get(self, name: str, *, generation: int | None = None) -> bytes:
        own = self._held(name, generation)
        return own.data if own else self.inner.get(name, generation=generation)

    def stream(self, name: str, *, generation: int | None = None) -> Iterator[bytes]:
        own = self._held(name, generation)
        if own is None:
            yield from self.inner.stream(name, generation=generation)
            return
        yield from (own.data[start : start + CHUNK] for start in range(0, len(own.data), CHUNK))

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        with self._lock:
            own = [held.info for name, held in self._own.items() if name.startswith(prefix) and name > start_after]
        there = () if self.emptied else self.inner.list(prefix, start_after=start_after)
        others = (info for info in there if info.name not in self._own and info.name not in self._gone)
        return merge(sorted(own, key=_name), others, key=_name)

    def _hidden(self, name: str) -> bool:
        return name in self._gone or self.emptied

    def _held(self, name: str, generation: int | None) -> Own | None:
        """None: the place itself is to be asked. Raises DrError NOT_FOUND."""
        own = self._own.get(name)
        absent = self._hidden(name) if own is None else generation not in (None, own.info.generation)
        if absent:
            raise DrError(NOT_FOUND, f"{self.url}/{name} does not exist")
        return own

    # --- writing: here, or not at all

    def put(
        self, name: str, data: bytes, *, if_generation: int | None = 0, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        with self._lock:
            self._refuse(name)
            old = self.stat(require_name(name))
            if if_generation is not None and (old.generation if old else 0) != if_generation:
                if old is not None and self.get(name) == data:
                    return old
                raise DrError(CONFLICT, f"{self.url}/{name} is not at the expected generation")
            self._refuse_locked(old)
            self._written += 1
            made = ObjectInfo(
                name, len(data), crc32c(data), _FIRST + self._written, datetime.now(UTC), dict(metadata or {})
            )
            self._own[name] = Own(made, bytes(data))
            return made

    def put_stream(
        self,
        name: str,
        chunks: Iterable[bytes],
        *,
        if_generation: int | None = 0,
        metadata: Mapping[str, str] | None = None,
    ) -> Stored:
        digest = Digest()
        data = b"".join(digest.passing(chunks))
        return Stored(self.put(name, data, if_generation=if_generation, metadata=metadata), digest.sha256)

    def delete(self, name: str, *, generation: int) -> None:
        with self._lock:
            self._refuse_locked(self._writing(name, generation).info)
            self._own.pop(name, None)
            self._gone.add(name)

    def retain(self, name: str, *, generation: int, until: datetime) -> None:
        with self._lock:
            own = self._writing(name, generation)
            if own.info.retain_until and until < own.info.retain_until:
                raise DrError(RETENTION_REFUSED, f"{self.url}/{name} is locked for longer already")
            self._own[name] = replace(own, info=replace(own.info, retain_until=until))

    def hold(self, name: str, *, generation: int, held: bool) -> None:
        with self._lock:
            own = self._writing(name, generation)
            self._own[name] = replace(own, info=replace(own.info, held=held))

    def _writing(self, name: str, generation: int) -> Own:
        """The object, brought up here where it is still the place's own."""
        self._refuse(name)
        info = self.stat(name)
        if info is None or info.generation != generation:
            raise DrError(NOT_FOUND, f"{self.url}/{name} does not exist at {generation}")
        return self._own.get(name) or Own(info, self.inner.get(name, generation=generation))

    def _refuse(self, name: str) -> None:
        if not self.writable:
            raise DrError(RETENTION_REFUSED, f"{self.url}/{name}: this copy is only read")

    def _refuse_locked(self, info: ObjectInfo | None) -> None:
        if info and info.held:
            raise DrError(RETENTION_REFUSED, f"{self.url}/{info.name} is under a hold")
        if info and info.retain_until and info.retain_until > datetime.now(UTC):
            raise DrError(RETENTION_REFUSED, f"{self.url}/{info.name} is locked")

    def missing_permissions(self, wanted: Sequence[str]) -> tuple[str, ...]:
        return self.inner.missing_permissions(wanted)

    def server_time(self) -> datetime | None:
        return self.inner.server_time()


def _name(info: ObjectInfo) -> str:
    return info.name
