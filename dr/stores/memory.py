"""Objects in memory: for tests, and as the overlay of a dry run. Dies with its process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dr.errors import CONFLICT, NOT_FOUND, RETENTION_REFUSED, DrError
from dr.model.timeline import format_instant
from dr.ports import ObjectInfo, Stored
from dr.stores.digest import CHUNK, Digest, crc32c, require_name, require_whole


@dataclass(frozen=True, slots=True)
class _Entry:
    info: ObjectInfo
    data: bytes


class MemoryStore:
    """An ObjectStore in a dictionary. `now` decides about retention."""

    def __init__(self, name: str = "memory", *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._name = name
        self._now = now
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.RLock()
        self._generation = 0

    @property
    def url(self) -> str:
        return f"memory://{self._name}"

    def put(
        self, name: str, data: bytes, *, if_generation: int | None = 0, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        with self._lock:
            old = self._entries.get(require_name(name))
            if if_generation is not None and (old.info.generation if old else 0) != if_generation:
                return self._same_or_conflict(name, data, old)
            if old is not None:
                self._refuse_retained(old.info)
            self._generation += 1
            info = ObjectInfo(name, len(data), crc32c(data), self._generation, self._now(), dict(metadata or {}))
            self._entries[name] = _Entry(info, bytes(data))
            return info

    def _same_or_conflict(self, name: str, data: bytes, old: _Entry | None) -> ObjectInfo:
        if old is not None and old.data == data:
            return old.info
        raise DrError(CONFLICT, f"{self.url}/{name} is not at the expected generation")

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

    def get(self, name: str, *, generation: int | None = None) -> bytes:
        return b"".join(self.stream(name, generation=generation))

    def stream(self, name: str, *, generation: int | None = None) -> Iterator[bytes]:
        entry = self._entry(name, generation)
        digest = Digest(sha=False)
        pieces = (entry.data[start : start + CHUNK] for start in range(0, len(entry.data), CHUNK))
        yield from digest.passing(pieces)
        require_whole(f"{self.url}/{name}", digest, entry.info.size, entry.info.crc32c)

    def stat(self, name: str) -> ObjectInfo | None:
        entry = self._entries.get(name)
        return entry.info if entry else None

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        with self._lock:
            found = [entry.info for name, entry in self._entries.items() if name.startswith(prefix)]
        return iter(sorted((info for info in found if info.name > start_after), key=lambda info: info.name))

    def delete(self, name: str, *, generation: int) -> None:
        with self._lock:
            self._refuse_retained(self._entry(name, generation).info)
            del self._entries[name]

    def retain(self, name: str, *, generation: int, until: datetime) -> None:
        with self._lock:
            entry = self._entry(name, generation)
            held = entry.info.retain_until
            if held is not None and until < held:
                raise DrError(RETENTION_REFUSED, f"{self.url}/{name} is locked until {format_instant(held)} already")
            self._entries[name] = replace(entry, info=replace(entry.info, retain_until=until))

    def hold(self, name: str, *, generation: int, held: bool) -> None:
        with self._lock:
            entry = self._entry(name, generation)
            self._entries[name] = replace(entry, info=replace(entry.info, held=held))

    def missing_permissions(self, wanted: Sequence[str]) -> tuple[str, ...]:
        return ()

    def server_time(self) -> datetime | None:
        return None

    def corrupt(self, name: str, data: bytes) -> None:
        """Replace bytes behind the checksum's back, as a bad disk would."""
        self._entries[name] = replace(self._entries[name], data=data)

    def _entry(self, name: str, generation: int | None) -> _Entry:
        entry = self._entries.get(name)
        if entry is None or generation not in (None, entry.info.generation):
            raise DrError(NOT_FOUND, f"{self.url}/{name} does not exist" + (f" at {generation}" if generation else ""))
        return entry

    def _refuse_retained(self, info: ObjectInfo) -> None:
        if info.held:
            raise DrError(RETENTION_REFUSED, f"{self.url}/{info.name} is under a hold")
        if info.retain_until is not None and info.retain_until > self._now():
            until = format_instant(info.retain_until)
            raise DrError(RETENTION_REFUSED, f"{self.url}/{info.name} is locked until {until}")
