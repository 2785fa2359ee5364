"""What a database holds, document by document, and how two such streams are compared in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

from dr.components.appdata.access import FirestoreApi, FirestoreOptions
from dr.components.appdata.canonical import canonical_sha256
from dr.components.appdata.exportfile import read_export
from dr.components.appdata.values import rest_fields
from dr.errors import DAMAGED, NOT_FOUND, REJECTED, DrError
from dr.model.points import Artefact, Check
from dr.model.strategy import SourceSpec
from dr.model.timeline import floor_to
from dr.ports import Clock, ObjectStore, RestoredItem

_EXACT = timedelta(hours=1)
"""Within it any microsecond can be read; further back whole minutes only."""
_NAMED = 3
Items = Iterable[tuple[str, str]]
"""(path, SHA-256 of the canonical content) of each document."""


def database_items(
    api: FirestoreApi, project: str, database: str, at: datetime | None = None
) -> Iterator[tuple[str, str]]:
    """Read from the database, all at one instant. Raises DrError, DAMAGED on a value type this version does not know."""
    for path, fields in api.documents(project, database, at):
        yield path, _content(path, database, fields)


def _content(path: str, database: str, fields: Any) -> str:
    try:
        return canonical_sha256(rest_fields(fields))
    except ValueError as error:
        raise DrError(DAMAGED, f"document {path} of {database}: {error}") from None


def export_items(vault: ObjectStore, artefacts: Sequence[Artefact]) -> Iterator[tuple[str, str]]:
    """Read from the export's files. Raises DrError DAMAGED."""
    generations = {artefact.name: artefact.generation for artefact in artefacts}
    for document in read_export(lambda name: vault.stream(name, generation=generations[name]), list(generations)):
        yield document.path, canonical_sha256(document.fields)


class Digest(NamedTuple):
    """Of a set of documents in any order."""

    documents: int
    total: int


def digest(items: Items) -> Digest:
    """Sum of the hashes of path and content: the order of reading does not matter, memory does not grow."""
    count = total = 0
    for path, content in items:
        count += 1
        total += int.from_bytes(sha256(f"{path}\0{content}".encode()).digest(), "big")
    return Digest(count, total)


def same_contents(name: str, wanted: Callable[[], Items], found: Callable[[], Items]) -> Check:
    """Whether both hold the same documents; the first that differ are named, which reads both once more."""
    left, right = digest(wanted()), digest(found())
    if left == right:
        return Check(name, True, f"{right.documents} documents, content equal")
    named = _differing(wanted(), found())
    return Check(name, False, f"{right.documents} documents instead of {left.documents}; {'; '.join(named)}")


def _named_once(items: Items, said: list[str]) -> dict[str, str]:
    """By path; one that comes twice is said: what was imported can be only one of them."""
    found: dict[str, str] = {}
    for path, content in items:
        if path in found and len(said) < _NAMED:
            said.append(f"{path} is there twice")
        found[path] = content
    return found


def _differing(items: Items, found: Items) -> list[str]:
    said: list[str] = []
    wanted = _named_once(items, said)
    for path, content in found:
        expected = wanted.pop(path, None)
        if expected != content and len(said) < _NAMED:
            said.append(f"{path} is {'unexpected' if expected is None else 'different'}")
    return said + [f"{path} is missing" for path in sorted(wanted)[:_NAMED]]


class FirestoreWitness:
    """Reads the living database as it was at an instant (`ports.LivingWitness`, `ports.Remembering`)."""

    def __init__(self, api: FirestoreApi, clock: Clock) -> None:
        self._api, self._clock = api, clock

    def read(self, spec: SourceSpec, at: datetime) -> Iterator[RestoredItem]:
        """Beyond the last hour at the whole granularity before `at`. Raises DrError."""
        options = FirestoreOptions.of(spec)
        exact = self._clock.now() - at < _EXACT
        instant = at if exact else floor_to(at, options.granularity)
        for path, fields, changed in self._api.versions(options.project, options.database, instant):
            yield RestoredItem(path, _content(path, options.database, fields), changed)

    def recall(self, spec: SourceSpec, paths: Collection[str], at: datetime) -> Mapping[str, str] | None:
        """None where Firestore refuses to read at that instant: too old, or beyond the last hour and no whole minute."""
        options = FirestoreOptions.of(spec)
        try:
            found = self._api.fields_at(options.project, options.database, sorted(paths), at)
        except DrError as error:
            if error.kind in (REJECTED, NOT_FOUND):
                return None
            raise
        return {path: _content(path, options.database, fields) for path, fields in found.items()}
