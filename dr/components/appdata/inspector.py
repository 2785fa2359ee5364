"""Reads an export back from the vault: every byte hashed, every document decoded, every count compared."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b, sha256
from typing import Any, TypeVar

import google_crc32c

from dr.components.appdata.access import EXPORT
from dr.components.appdata.exportfile import (
    ExportLayout,
    Pointer,
    check_files,
    read_listing,
    read_output,
    read_overall,
)
from dr.errors import DAMAGED, NOT_FOUND, DrError
from dr.model.points import Artefact, Check
from dr.ports import Inspection, Json, ObjectStore

T = TypeVar("T")
DOCUMENTS = "documents"
REMEMBERED = 1_000_000
"""Paths that are held against each other, about 100 MB; of a larger export a document that comes twice is found after the import."""
_BAD = (DAMAGED, NOT_FOUND)
"""What says something about the artefact; other errors say something about the way to it, and are raised."""


class FirestoreExportInspector:
    """`ports.Inspector` of the method `firestore-export`."""

    method = EXPORT

    def inspect(self, vault: ObjectStore, artefacts: Sequence[Artefact], details: Json) -> Inspection:
        """Raises DrError only for what says nothing about the export (UNREACHABLE, NOT_AUTHORISED...)."""
        return _Reading(vault, {one.name: one for one in artefacts}, _home(details)).inspection()


def _home(details: Json) -> str:
    return f"projects/{details.get('project')}/databases/{details.get('database')}"


@dataclass
class _Tee:
    """Passes chunks on and hashes them."""

    size: int = 0
    sha: Any = field(default_factory=sha256)
    crc: google_crc32c.Checksum = field(default_factory=google_crc32c.Checksum)

    def pass_on(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.size += len(chunk)
            self.sha.update(chunk)
            self.crc.update(chunk)
            yield chunk


@dataclass
class _Reading:
    """One inspection under way."""

    vault: ObjectStore
    promised: dict[str, Artefact]
    home: str
    found: dict[str, Artefact] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)

    def inspection(self) -> Inspection:
        pointers = self._metadata()
        for name in self.promised:
            if name not in self.found and name not in {check.name for check in self.checks}:
                count = self._read(name, lambda chunks, name=name: self._count(name, chunks))  # type: ignore[misc]
                if count is not None:
                    self.counts[name] = count
                    self.found[name] = replace(self.found[name], records=count)
        self._compare(pointers)
        ordered = tuple(self.found[name] for name in self.promised if name in self.found)
        return Inspection(ordered, {DOCUMENTS: sum(self.counts.values())}, tuple(self.checks))

    def _metadata(self) -> dict[Pointer, tuple[str, ...]]:
        """Listings by what points to them. Empty after a failure, which is a check then."""
        try:
            layout = ExportLayout.of(self.promised)
        except DrError as error:
            self.checks.append(Check("export files", False, error.message))
            return {}
        overall = self._read(layout.overall, lambda chunks: read_overall(layout.overall, chunks))
        listed: dict[Pointer, tuple[str, ...]] = {}
        for name in layout.listings:
            outputs = self._read(name, lambda chunks, name=name: read_listing(name, chunks))  # type: ignore[misc]
            listed |= {pointer: outputs for pointer in overall or () if pointer.file == name and outputs is not None}
        if overall is not None and len(listed) == len(layout.listings):
            self._note("export files", lambda: check_files(layout, {p.file: listed.get(p, ()) for p in overall}))
        return listed

    def _compare(self, pointers: dict[Pointer, tuple[str, ...]]) -> None:
        for pointer, outputs in pointers.items():
            count = sum(self.counts.get(name, 0) for name in outputs)
            said = f"its outputs hold {count} documents, the export counted {pointer.entities}"
            self.checks.append(Check(f"documents of {pointer.file}", count == pointer.entities, said))

    def _count(self, name: str, chunks: Iterator[bytes]) -> int:
        count = 0
        for document in read_output(name, chunks):
            count += 1
            if document.database != self.home:
                raise DrError(DAMAGED, f"{name}: document {document.path} is of {document.database}, not {self.home}")
            self._once(name, document.path)
        return count

    def _once(self, name: str, path: str) -> None:
        """An import of a document that comes twice fails, or keeps one of both."""
        if len(self.seen) >= REMEMBERED:
            return
        digest = blake2b(path.encode(), digest_size=12).digest()
        if digest in self.seen:
            raise DrError(DAMAGED, f"{name}: document {path} is there twice")
        self.seen.add(digest)

    def _read(self, name: str, decode: Callable[[Iterator[bytes]], T]) -> T | None:
        """Decode one artefact and hash what was read. None, with a failed check that names it, when it is bad."""
        tee = _Tee()
        try:
            promised = self.promised[name]
            chunks = tee.pass_on(self.vault.stream(name, generation=promised.generation or None))
            result = decode(chunks)
            for _rest in chunks:  # a decoder may stop early: the hash must not
                pass
        except DrError as error:
            if error.kind not in _BAD:
                raise
            self.checks.append(Check(name, False, error.message))
            return None
        crc = base64.b64encode(tee.crc.digest()).decode()
        digest: str = tee.sha.hexdigest()
        self.found[name] = replace(promised, size=tee.size, crc32c=crc, sha256=digest, records=None)
        return result

    def _note(self, name: str, check: Callable[[], None]) -> None:
        try:
            check()
        except DrError as error:
            self.checks.append(Check(name, False, error.message))
        else:
            self.checks.append(Check(name, True, f"{len(self.promised)} files, as listed"))
