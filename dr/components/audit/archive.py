"""A restored audit log: compressed JSON lines by day that any tool can read, and an index that says what is there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256

from dr.changelog.entries import Entry, damaged, dump
from dr.changelog.frames import compress, decompressing, lines
from dr.components.audit.entry import QUARANTINE
from dr.errors import CONFLICT, NOT_FOUND, TARGET_EXISTS, DrError
from dr.ports import Json, ObjectStore

INDEX = "index.json"
PART_BYTES = 8 << 20
"""Text of one file; several days may be open at a time, entries come late."""
OPEN_BYTES = 64 << 20


@dataclass(slots=True)
class _Day:
    """What of one day is not written yet, and how many files it has."""

    parts: int = 0
    lines: list[bytes] = field(default_factory=list)
    size: int = 0


@dataclass
class ArchiveWriter:
    """Bounded memory. The same entries give the same files, so that it can be begun again."""

    store: ObjectStore
    files: list[Json] = field(default_factory=list)
    entries: int = 0
    quarantined: int = 0
    _days: dict[str, _Day] = field(default_factory=dict)
    _open: int = 0

    def add(self, entry: Entry) -> None:
        """An entry as Cloud Logging wrote it; what is known of a quarantined message goes to a folder of its own."""
        poison = entry.key.startswith(QUARANTINE)
        body = entry.data["quarantined" if poison else "entry"]
        assert isinstance(body, Mapping)
        self.quarantined += poison
        self.entries += not poison
        folder = "quarantined" if poison else entry.at.date().isoformat()
        line = dump(body)
        day = self._days.setdefault(folder, _Day())
        day.lines.append(line)
        day.size += len(line)
        self._open += len(line)
        if day.size >= PART_BYTES:
            self._flush(folder)
        elif self._open >= OPEN_BYTES:
            self._flush(max(self._days, key=lambda name: self._days[name].size))

    def finish(self, about: Json) -> Json:
        """Everything written, the index last; what it says."""
        for folder in sorted(self._days):
            self._flush(folder)
        index = {
            "format": 1,
            "kind": "audit-archive",
            **about,
            "entries": self.entries,
            "quarantined": self.quarantined,
            "files": sorted(self.files, key=lambda file: str(file["name"])),
        }
        put(self.store, INDEX, dump(index))
        return index

    def _flush(self, folder: str) -> None:
        day = self._days[folder]
        if not day.lines:
            return
        day.parts += 1
        data = compress(b"".join(day.lines))
        name = f"{folder}/{day.parts:05d}.jsonl.zst"
        put(self.store, name, data)
        self.files.append(
            {"name": name, "entries": len(day.lines), "size": len(data), "sha256": sha256(data).hexdigest()}
        )
        self._open -= day.size
        day.lines, day.size = [], 0


def put(store: ObjectStore, name: str, data: bytes) -> None:
    """Raises DrError TARGET_EXISTS when something else stands there."""
    try:
        store.put(name, data)
    except DrError as error:
        if error.kind is not CONFLICT:
            raise
        raise DrError(TARGET_EXISTS, f"{store.url}/{name} exists and holds something else") from error


def read_index(store: ObjectStore) -> Json:
    """Raises DrError NOT_FOUND, DAMAGED."""
    where = f"{store.url}/{INDEX}"
    if store.stat(INDEX) is None:
        raise DrError(NOT_FOUND, f"{where} does not exist: the archive is not whole")
    body = json.loads(store.get(INDEX))
    if not isinstance(body, dict) or body.get("kind") != "audit-archive":
        raise damaged(where, "it is no index of an audit archive")
    return body


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file as the index promises it."""

    name: str
    entries: int
    sha256: str

    @property
    def quarantine(self) -> bool:
        return self.name.startswith("quarantined/")

    @property
    def day(self) -> date:
        return date.fromisoformat(self.name.partition("/")[0])


def files_of(index: Json) -> tuple[ArchiveFile, ...]:
    found = index["files"]
    assert isinstance(found, list)
    return tuple(ArchiveFile(str(file["name"]), int(file["entries"]), str(file["sha256"])) for file in found)


def read_file(store: ObjectStore, file: ArchiveFile) -> Iterator[Mapping[str, object]]:
    """Every entry of a file. Raises DrError DAMAGED naming it when it is not what the index promises."""
    where = f"{store.url}/{file.name}"
    data = store.get(file.name)
    if sha256(data).hexdigest() != file.sha256:
        raise damaged(where, "its bytes are not those that the index tells")
    count = 0
    for line in lines(decompressing([data], where)):
        count += 1
        yield json.loads(line)
    if count != file.entries:
        raise damaged(where, f"{count} entries, {file.entries} were told")
