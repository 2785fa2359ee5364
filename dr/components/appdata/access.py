"""What the component needs of Firestore, its options, and the names that it derives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from dr.errors import CONFIGURATION, NOT_FOUND, DrError
from dr.model.strategy import SourceSpec
from dr.model.timeline import compact_instant, parse_duration
from dr.ports import ObjectStore
from dr.vendors.firestore_operations import Database, Operation

EXPORT, PITR = "firestore-export", "firestore-pitr"
LONGEST_ID = 63
TENANT_DOCUMENTS = "tenantDocuments"
"""Option of a source: the document under which everything of a tenant is."""
_GRANULARITY, _DEADLINE = timedelta(minutes=1), timedelta(hours=12)


class FirestoreApi(Protocol):
    """As `vendors.firestore.Firestore`, which says what each means."""

    def missing_permissions(self, project: str, wanted: Sequence[str]) -> tuple[str, ...]: ...

    def database(self, project: str, database: str) -> Database | None: ...

    def create_database(
        self, project: str, database: str, *, location: str, protected: bool, history: bool
    ) -> Operation: ...

    def delete_database(self, project: str, database: str, *, etag: str) -> Operation: ...

    def export(self, project: str, database: str, *, output: str, snapshot: datetime) -> Operation: ...

    def load(self, project: str, database: str, *, source: str) -> Operation: ...

    def clone(self, project: str, database: str, *, target: str, snapshot: datetime) -> Operation: ...

    def operation(self, name: str) -> Operation: ...

    def operations(self, project: str, database: str) -> tuple[Operation, ...]: ...

    def documents(self, project: str, database: str, at: datetime | None = None) -> Iterator[tuple[str, Any]]: ...

    def versions(
        self, project: str, database: str, at: datetime | None = None
    ) -> Iterator[tuple[str, Any, datetime]]: ...

    def fields_at(self, project: str, database: str, paths: Sequence[str], at: datetime) -> dict[str, Any]: ...

    def count(self, project: str, database: str) -> int: ...


OpenStore = Callable[[str], ObjectStore]


@dataclass(frozen=True, slots=True)
class FirestoreOptions:
    """One source's options (`strategy.yaml`)."""

    project: str
    database: str
    location: str
    granularity: timedelta
    """Instants that can be exported or cloned are whole multiples of it."""
    deadline: timedelta
    """An operation that runs longer is given up (and goes on at Google: a later attempt starts another)."""
    staging: str
    """`gs://...` that exports pass through when the vault is not on Cloud Storage; else empty."""
    protect: bool
    """Whether a database made by a real restore is protected against deletion."""

    @classmethod
    def of(cls, spec: SourceSpec) -> FirestoreOptions:
        """Raises DrError CONFIGURATION."""
        options = spec.options

        def text(name: str, default: str = "") -> str:
            return str(options.get(name) or default)

        def span(name: str, default: timedelta) -> timedelta:
            return parse_duration(text(name)) if text(name) else default

        project, database = text("project", spec.place.project), text("database", spec.id.name)
        if not project:
            raise DrError(CONFIGURATION, f"{spec.id}: options.project is missing")
        return cls(
            project=project,
            database=database,
            location=text("location", spec.place.location),
            granularity=span("snapshotGranularity", _GRANULARITY),
            deadline=span("deadline", _DEADLINE),
            staging=text("staging").rstrip("/"),
            protect=options.get("deleteProtection", True) is not False,
        )


def living(api: FirestoreApi, options: FirestoreOptions) -> Database:
    """The database of a source. Raises DrError NOT_FOUND."""
    found = api.database(options.project, options.database)
    if found is None:
        raise DrError(NOT_FOUND, f"database {options.database} does not exist in project {options.project}")
    return found


def isolated_id(prefix: str, database: str) -> str:
    """`<prefix><database>`, shortened by a hash to what Firestore accepts."""
    return _fit(f"{prefix}{_plain(database)}")


def restored_id(database: str, instant: datetime) -> str:
    """`<database>-restored-20250528t100000z`."""
    return _fit(f"{_plain(database)}-restored-{compact_instant(instant).lower().replace('.', '-')}")


def _plain(database: str) -> str:
    return database.strip("()")


def _fit(name: str) -> str:
    if len(name) <= LONGEST_ID:
        return name
    short = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: LONGEST_ID - 9].rstrip('-')}-{short}"
