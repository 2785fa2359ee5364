"""One tenant's documents, copied from a restored database into the living one; no other document is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dr.components.appdata.canonical import canonical_sha256
from dr.components.appdata.values import rest_fields
from dr.errors import CONFLICT, DAMAGED, RESTORE_FAILED, DrError
from dr.model.listing import first
from dr.model.timeline import format_instant, parse_instant
from dr.ports import Json, Salvaged, StepContext
from dr.vendors.firestore_writes import Change, FirestoreDocuments

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Seen:
    """A document as it is: hash of its content, and the version to name when it is replaced."""

    sha256: str
    version: Any
    updated: datetime


@dataclass(frozen=True, slots=True)
class TenantCopy:
    """`path` and everything under it, of one tenant."""

    documents: FirestoreDocuments
    project: str
    living: str
    restored: str
    path: str

    def differences(self) -> Iterator[Salvaged]:
        """What lives otherwise than it was restored."""
        wanted, found = self._seen(self.restored), self._seen(self.living)
        for path, seen in sorted(found.items()):
            before = wanted.get(path)
            if before is None or before.sha256 != seen.sha256:
                yield Salvaged(path, "newer" if before is None else "changed", seen.sha256)
        for path in sorted(set(wanted) - set(found)):
            yield Salvaged(path, "deleted", "")

    def run(self, context: StepContext) -> Json:
        """Write what differs, delete what was made since, and read both again. May be repeated: what is equal is left alone."""
        wanted, found = self._seen(self.restored), self._seen(self.living)
        self._refuse_late(wanted, found, str(context.outcome("undo-point").get("as_of", "")))
        changed = self._write(wanted, found, context)
        removed = [Change(path, None, seen.version) for path, seen in sorted(found.items()) if path not in wanted]
        self._commit(removed)
        self._prove(wanted)
        return {"under": self.path, "written": changed, "deleted": len(removed), "documents": len(wanted)}

    def _seen(self, database: str) -> dict[str, Seen]:
        return {
            one.path: Seen(content_of(one.path, one.fields), one.version, one.updated)
            for one in self.documents.below(self.project, database, self.path)
        }

    def _refuse_late(self, wanted: Mapping[str, Seen], found: Mapping[str, Seen], undo: str) -> None:
        """What the undo point does not hold is not replaced. Raises DrError RESTORE_FAILED naming it."""
        if not undo:
            return
        at = parse_instant(undo)
        late = sorted(p for p, seen in found.items() if seen.updated > at and not _same(wanted.get(p), seen))
        if late:
            hint = "stop what writes for this tenant, then plan again"
            text = f"{first(late, _NAMED)} of {self.living} changed after the undo point of {format_instant(at)}"
            raise DrError(RESTORE_FAILED, text, hint=hint)

    def _write(self, wanted: Mapping[str, Seen], found: Mapping[str, Seen], context: StepContext) -> int:
        """Streams the restored documents once more, so that only their hashes are held."""
        batch: list[Change] = []
        count = 0
        for one in self.documents.below(self.project, self.restored, self.path):
            seen = found.get(one.path)
            if _same(wanted.get(one.path), seen):
                continue
            batch.append(Change(one.path, one.fields, seen.version if seen else None))
            count += 1
            if len(batch) >= 200:
                self._commit(batch)
                batch = []
                context.progress(count, len(wanted), "documents")
        self._commit(batch)
        return count

    def _commit(self, changes: list[Change]) -> None:
        try:
            self.documents.write(self.project, self.living, changes)
        except DrError as error:
            if error.kind is not CONFLICT:
                raise
            hint = "stop what writes for this tenant, then resume"
            raise DrError(RESTORE_FAILED, error.message, hint=hint) from error

    def _prove(self, wanted: Mapping[str, Seen]) -> None:
        """Raises DrError RESTORE_FAILED naming documents that are not as they were."""
        found = self._seen(self.living)
        wrong = sorted(path for path in {*wanted, *found} if not _same(wanted.get(path), found.get(path)))
        if wrong:
            raise DrError(
                RESTORE_FAILED, f"{first(wrong, _NAMED)} of {self.living} differ from {self.restored} after the copy"
            )


def content_of(path: str, fields: Any) -> str:
    """Hash of the canonical content. Raises DrError DAMAGED on a value type this version does not know."""
    try:
        return canonical_sha256(rest_fields(fields))
    except ValueError as error:
        raise DrError(DAMAGED, f"document {path}: {error}") from None


def _same(one: Seen | None, other: Seen | None) -> bool:
    return one is not None and other is not None and one.sha256 == other.sha256
