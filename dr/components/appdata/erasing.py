"""The erasure ledger replayed over a restored database, before it serves: what was erased does not come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dr.components.appdata.access import TENANT_DOCUMENTS
from dr.components.appdata.targets import NewDatabase
from dr.errors import RESTORE_FAILED, DrError
from dr.model.erasure import Erasure
from dr.model.listing import first
from dr.model.points import Check
from dr.plan.erasure import covers, erased_paths
from dr.ports import Json, RestoreWork, StepContext
from dr.vendors.firestore_writes import Change, Versioned

STEP = "erase"
_NAMED, _BATCH = 3, 500
Ledger = Callable[[], Sequence[Erasure]]
"""Reads the ledger anew."""


class Documents(Protocol):
    """What is needed of `vendors.firestore_writes.FirestoreDocuments`."""

    def below(self, project: str, database: str, path: str) -> Iterator[Versioned]: ...

    def write(self, project: str, database: str, changes: Sequence[Change]) -> None: ...


@dataclass(frozen=True, slots=True)
class Erasing:
    """For every restored database. The ledger is read when it is replayed, not when the plan was made."""

    documents: Documents
    ledger: Ledger

    def paths(self, work: RestoreWork) -> tuple[str, ...]:
        return erased_paths(self.ledger(), str(work.item.details.get(TENANT_DOCUMENTS) or "tenants/{tenant}"))

    def run(self, work: RestoreWork, database: NewDatabase, context: StepContext) -> Json:
        """Deletes, then looks again. May be repeated. Raises DrError RESTORE_FAILED when something of it is still there."""
        paths, gone = self.paths(work), 0
        for number, path in enumerate(paths, 1):
            gone += self._erase(database, path)
            context.progress(number, len(paths), "subjects")
        if left := self._left(database, paths):
            raise DrError(
                RESTORE_FAILED, f"database {database.name} still holds what was erased: {first(left, _NAMED)}"
            )
        return {"subjects": len(paths), "erased": gone}

    def _erase(self, database: NewDatabase, path: str) -> int:
        batch: list[Change] = []
        count = 0
        for one in self.documents.below(database.project, database.name, path):
            batch.append(Change(one.path, None, one.version))
            count += 1
            if len(batch) == _BATCH:
                self.documents.write(database.project, database.name, batch)
                batch = []
        self.documents.write(database.project, database.name, batch)
        return count

    def _left(self, database: NewDatabase, paths: Sequence[str]) -> list[str]:
        return [one.path for path in paths for one in self.documents.below(database.project, database.name, path)]

    def check(self, work: RestoreWork, database: NewDatabase, erased: Json) -> Check:
        """By the ledger of this moment: a subject that was added since fails the copy. Told by count, never by name."""
        paths = self.paths(work)
        left = self._left(database, paths)
        words = f"{len(paths)} erased subjects; {erased.get('erased', 0)} documents were erased before it served"
        return Check(
            "erased subjects", not left, f"{len(left)} documents of erased subjects are in it" if left else words
        )


def erased_checks(
    erasing: Erasing | None, work: RestoreWork, database: NewDatabase, outcomes: Mapping[str, Json]
) -> Sequence[Check]:
    return (erasing.check(work, database, outcomes.get(STEP, {})),) if erasing else ()


def kept_by(erasing: Erasing | None, work: RestoreWork) -> Callable[[tuple[str, str]], bool]:
    """Of what a copy was restored from: what it should hold."""
    paths = erasing.paths(work) if erasing else ()
    return lambda item: not covers(paths, item[0])
