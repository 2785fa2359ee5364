"""A fresh reader of a Velero backup in the vault: every artefact whole, every item decoded, every count the same."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import google_crc32c

from dr.components.cluster.contents import Item, read_items
from dr.components.cluster.layout import METHOD, REQUIRED
from dr.components.cluster.tarball import gunzip
from dr.components.cluster.volumes import bound_claims, read_volumes, uncaptured
from dr.errors import DrError
from dr.model.listing import first
from dr.model.points import Artefact, Check
from dr.model.timeline import parse_instant
from dr.ports import Inspection, Json, ObjectStore
from dr.vendors.kubernetes_objects import mapping, number, sequence, text, uid_of

_NAMED = 5
"""Names shown of a longer list."""
_ROUNDED_S = 1
"""The status of a backup cuts its instants to whole seconds, the archive rounds them."""
_LARGEST = 256 << 20
"""Bytes of a decoded JSON artefact; the resource list of a million items stays below."""


@dataclass(slots=True)
class _Read:
    """What one artefact turned out to be. Filled while its bytes pass."""

    artefact: Artefact
    fault: str = ""
    decoded: object = None
    found: dict[str, set[str]] = field(default_factory=dict)
    """Of the contents archive: kind -> entries."""
    claims: Mapping[str, str] = field(default_factory=dict)
    written: tuple[int, int] = (0, 0)
    """Of the contents archive: first and last time stamp of an item."""
    items: int = 0


class VeleroInspector:
    """`ports.Inspector` of method `velero`. Reads in streams; holds the names of items, never their contents."""

    @property
    def method(self) -> str:
        return METHOD

    def inspect(self, vault: ObjectStore, artefacts: Sequence[Artefact], details: Json) -> Inspection:
        with ThreadPoolExecutor(max_workers=4) as pool:
            read = list(pool.map(lambda artefact: _read(vault, artefact, details), artefacts))
        by_role = {one.artefact.role: one for one in read}
        checks = [Check(one.artefact.name, not one.fault, one.fault or _seen(one)) for one in read]
        checks += _present(by_role)
        if all(check.passed for check in checks):
            checks += _consistent(by_role, details)
        return Inspection(tuple(one.artefact for one in read), _counts(by_role), tuple(checks))


def _seen(read: _Read) -> str:
    items = f", {read.items} items" if read.items else ""
    return f"{read.artefact.size} bytes{items}, sha256 {read.artefact.sha256[:12]}"


def _present(by_role: Mapping[str, _Read]) -> list[Check]:
    missing = [role for role in REQUIRED if role not in by_role]
    return [Check(role, False, f"the point has no artefact of the role {role}") for role in missing]


# --- one artefact


def _read(vault: ObjectStore, stated: Artefact, details: Json) -> _Read:
    """Read one artefact to its end; a fault is kept, never raised: an inspection names all that is wrong."""
    passing = _Passing(vault, stated)
    read = _Read(replace(stated, sha256="", records=None))
    try:
        if stated.role == "velero/contents":
            _take_items(read, read_items(passing.chunks()), stated.name)
        else:
            _take_json(read, stated, passing.chunks())
        passing.drain()
    except DrError as error:
        read.fault = f"{stated.name}: {error.message}"
    except ValueError as error:
        read.fault = f"{stated.name} cannot be decoded: {error}"
    read.artefact = passing.artefact(read.items or None)
    read.fault = read.fault or passing.differs()
    return read


class _Passing:
    """The bytes of an artefact on their way to a decoder, measured."""

    def __init__(self, vault: ObjectStore, stated: Artefact) -> None:
        self._vault = vault
        self._stated = stated
        self._sha = hashlib.sha256()
        self._crc = google_crc32c.Checksum()
        self._size = 0
        self._source: Iterator[bytes] = iter(())

    def chunks(self) -> Iterator[bytes]:
        self._source = self._measured()
        return self._source

    def _measured(self) -> Iterator[bytes]:
        for chunk in self._vault.stream(self._stated.name, generation=self._stated.generation or None):
            self._sha.update(chunk)
            self._crc.update(chunk)
            self._size += len(chunk)
            yield chunk

    def drain(self) -> None:
        """A decoder may stop before the end; the store checks its sum only there."""
        for _ in self._source:
            pass

    def artefact(self, records: int | None) -> Artefact:
        crc = base64.b64encode(self._crc.digest()).decode()
        return replace(self._stated, size=self._size, sha256=self._sha.hexdigest(), crc32c=crc, records=records)

    def differs(self) -> str:
        """How what was read differs from what the point states, or an empty text."""
        stated, seen = self._stated, self.artefact(None)
        if seen.size != stated.size:
            return f"{stated.name} has {seen.size} bytes, {stated.size} were committed"
        if stated.sha256 and seen.sha256 != stated.sha256:
            return f"{stated.name} has sha256 {seen.sha256[:12]}, {stated.sha256[:12]} was committed"
        if stated.crc32c and seen.crc32c != stated.crc32c:
            return f"{stated.name} has crc32c {seen.crc32c}, {stated.crc32c} was committed"
        return ""


def _take_items(read: _Read, items: Iterable[Item], name: str) -> None:
    found: dict[str, set[str]] = defaultdict(set)
    claims: list[Item] = []
    first = last = 0
    for item in items:
        if item.entry in found[item.kind]:
            raise ValueError(f"{item} is twice in {name}")
        found[item.kind].add(item.entry)
        first, last = min(first or item.modified, item.modified), max(last, item.modified)
        if item.resource == "persistentvolumeclaims":
            claims.append(item)
    read.found, read.written, read.claims = dict(found), (first, last), bound_claims(claims)
    read.items = sum(map(len, found.values()))


def _take_json(read: _Read, stated: Artefact, chunks: Iterable[bytes]) -> None:
    plain = chunks if stated.name.endswith(".json") else gunzip(chunks)
    data = _bounded(plain)
    read.decoded = data if stated.role == "velero/logs" else json.loads(data)


def _bounded(chunks: Iterable[bytes]) -> bytes:
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > _LARGEST:
            raise ValueError("it is larger than any list of Velero")
        parts.append(chunk)
    return b"".join(parts)


# --- together


def _counts(by_role: Mapping[str, _Read]) -> dict[str, int]:
    status = mapping(_decoded(by_role, "velero/backup"), "status")
    contents = by_role.get("velero/contents")
    items = contents.items if contents else 0
    return {"items": items, "errors": number(status, "errors"), "warnings": number(status, "warnings")}


def _decoded(by_role: Mapping[str, _Read], role: str) -> object:
    read = by_role.get(role)
    return read.decoded if read else None


def _consistent(by_role: Mapping[str, _Read], details: Json) -> list[Check]:
    """What only the artefacts together tell: that they are of one backup, and that it is complete."""
    backup = _decoded(by_role, "velero/backup")
    listed = mapping(_decoded(by_role, "velero/resource-list"))
    contents = by_role["velero/contents"]
    return [
        _same_backup(by_role["velero/backup"].artefact.name, backup, details),
        _items_listed(contents, {kind: set(map(str, sequence(listed, kind))) for kind in listed}),
        _written_within(contents, backup),
        _logs_of(by_role["velero/logs"], text(details, "backup")),
        _results_clean(by_role["velero/results"], _decoded(by_role, "velero/results")),
        _operations_of(by_role["velero/itemoperations"], text(details, "backup")),
        _volumes_whole(contents, _decoded(by_role, "velero/volumeinfo"), details),
    ]


def _same_backup(name: str, backup: object, details: Json) -> Check:
    """Name and uid as they were journalled when the backup was requested, and the one phase that counts."""
    wanted = (text(details, "backup"), text(details, "uid"), "Completed")
    seen = (text(backup, "metadata", "name"), uid_of(backup), text(backup, "status", "phase"))
    return Check(
        "backup",
        seen == wanted,
        f"{name} is of {' '.join(seen)}" + ("" if seen == wanted else f", not {' '.join(wanted)}"),
    )


def _items_listed(contents: _Read, listed: Mapping[str, set[str]]) -> Check:
    """Items against the resource list, in both directions."""
    name = contents.artefact.name
    if not contents.items:  # each namespace is an item itself
        return Check("items", False, f"{name}: not one item, a backup of nothing")
    missing = [
        f"{kind} {entry}" for kind, entries in listed.items() for entry in entries - contents.found.get(kind, set())
    ]
    extra = [
        f"{kind} {entry}" for kind, entries in contents.found.items() for entry in entries - listed.get(kind, set())
    ]
    if not missing and not extra:
        return Check("items", True, f"all {contents.items} listed items are in {name}, and nothing else")
    parts = [
        f"{len(names)} {what}: {_some(names)}" for what, names in (("missing", missing), ("not listed", extra)) if names
    ]
    return Check("items", False, f"{name}: " + "; ".join(parts))


def _some(names: Sequence[str]) -> str:
    return first(sorted(names), _NAMED)


def _written_within(contents: _Read, backup: object) -> Check:
    """An archive carries no name of its backup, but each item the second in which Velero wrote it: this is what tells a
    swapped archive with the very same objects."""
    name = contents.artefact.name
    start, end = (text(backup, "status", key) for key in ("startTimestamp", "completionTimestamp"))
    if not start or not end:
        return Check("archive", False, "velero-backup.json tells no start and end")
    first, last = contents.written
    low, high = parse_instant(start).timestamp(), parse_instant(end).timestamp() + _ROUNDED_S
    inside = contents.items == 0 or low <= first <= last <= high
    detail = f"{name} was written " + (
        f"between {start} and {end}" if inside else f"outside {start} to {end}: another backup's"
    )
    return Check("archive", inside, detail)


def _logs_of(logs: _Read, backup: str) -> Check:
    data = logs.decoded if isinstance(logs.decoded, bytes) else b""
    first = data[:4096].decode("utf-8", "replace")
    ours = f"/{backup} " in first or f"/{backup}\n" in first
    return Check("logs", ours, f"{logs.artefact.name} " + (f"is of {backup}" if ours else f"does not name {backup}"))


def _results_clean(results: _Read, decoded: object) -> Check:
    errors = mapping(decoded, "errors")
    said = json.dumps(errors)[:300] if errors else "no errors"
    return Check("results", isinstance(decoded, dict) and not errors, f"{results.artefact.name}: {said}")


def _operations_of(operations: _Read, backup: str) -> Check:
    """Asynchronous operations (snapshots, data movement): all of this backup, all completed."""
    listed = operations.decoded if isinstance(operations.decoded, list) else []
    bad = [
        f"{text(entry, 'spec', 'operationID')} {text(entry, 'status', 'phase')}"
        for entry in listed
        if text(entry, "spec", "backupName") != backup or text(entry, "status", "phase") != "Completed"
    ]
    detail = f"{len(listed)} operations" + (f", not of {backup} or not completed: {_some(bad)}" if bad else "")
    return Check("operations", not bad, f"{operations.artefact.name}: {detail}")


def _volumes_whole(contents: _Read, info: object, details: Json) -> Check:
    """Each volume that Velero met, and each bound claim of the archive, has its data captured or is excluded by name."""
    excluded = [str(pattern) for pattern in sequence(details, "excluded_volumes")]
    volumes = read_volumes(info if isinstance(info, list) else [])
    bad = [f"{volume.name} ({volume.reason})" for volume in uncaptured(volumes, excluded)]
    met = {volume.claim for volume in volumes}
    unmet = read_volumes([_claimed(claim) for claim in contents.claims if claim not in met])
    bad += [f"{volume.name} (not in the volume information)" for volume in uncaptured(unmet, excluded)]
    captured = sum(volume.captured for volume in volumes)
    detail = f"{captured} of {len(volumes)} volumes captured" + (f"; without data: {_some(bad)}" if bad else "")
    return Check("volumes", not bad, detail)


def _claimed(claim: str) -> dict[str, object]:
    namespace, _, name = claim.partition("/")
    return {"pvcName": name, "pvcNamespace": namespace, "skipped": True}
