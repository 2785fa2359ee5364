"""Firestore by its official clients: databases, exports, imports, clones, operations, and documents at an instant.

Reads are retried; what starts something is not: after an ambiguous failure the caller lists the operations and looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from dr.errors import NOT_FOUND, REJECTED, UNAVAILABLE, DrError
from dr.vendors.firestore_operations import Database, Operation, read_database, read_operation
from dr.vendors.google import translate
from dr.vendors.loading import preload
from dr.vendors.projects import missing_on_project
from dr.vendors.retry import with_retry

if TYPE_CHECKING:
    from dr.vendors.google import GoogleAccess

T = TypeVar("T")
ADMIN, DATA = "google.cloud.firestore_admin_v1", "google.cloud.firestore_v1.services.firestore"
HOST = "firestore.googleapis.com"
_CALL_S = 60.0
_STREAM_S = 3600.0
_BATCH, _AT_ONCE = 300, 4
_RESUMES = 5
"""Times in a row that a broken stream of documents is taken up again without having moved on."""


@dataclass(frozen=True)
class Firestore:
    """One identity's way to Firestore. Errors: DrError of the catalogue, naming the database."""

    access: GoogleAccess

    def missing_permissions(self, project: str, wanted: Sequence[str]) -> tuple[str, ...]:
        """Those of `wanted` (`datastore.databases.export`...) that this identity lacks on the project."""
        return missing_on_project(self.access, project, wanted)

    # --- databases

    def database(self, project: str, database: str) -> Database | None:
        """None when there is no such database (or it was deleted)."""
        name = path_of(project, database)
        try:
            found = self._read(f"read database {database}", lambda: self._admin.get_database(name=name, **_ONCE))
        except DrError as error:
            if error.kind.code == "not-found":
                return None
            raise
        return read_database(found)

    def create_database(
        self, project: str, database: str, *, location: str, protected: bool, history: bool
    ) -> Operation:
        """Start making an empty database. `protected`: against deletion; `history`: point-in-time recovery. CONFLICT when it exists."""
        preload(ADMIN)
        from google.cloud.firestore_admin_v1 import types

        enablement, protection = types.Database.PointInTimeRecoveryEnablement, types.Database.DeleteProtectionState
        wanted = types.Database(
            location_id=location,
            type_=types.Database.DatabaseType.FIRESTORE_NATIVE,
            point_in_time_recovery_enablement=enablement(1 if history else 2),
            delete_protection_state=protection(2 if protected else 1),
        )
        request = {"parent": f"projects/{project}", "database": wanted, "database_id": database}
        return self._start(f"create database {database}", lambda: self._admin.create_database(request=request, **_ONCE))

    def delete_database(self, project: str, database: str, *, etag: str) -> Operation:
        """Start deleting exactly the state that `etag` names."""
        request = {"name": path_of(project, database), "etag": etag}
        return self._start(f"delete database {database}", lambda: self._admin.delete_database(request=request, **_ONCE))

    # --- moving data

    def export(self, project: str, database: str, *, output: str, snapshot: datetime) -> Operation:
        """Start an export of everything, as of `snapshot`, to `output` (`gs://...`)."""
        request = {"name": path_of(project, database), "output_uri_prefix": output, "snapshot_time": snapshot}
        return self._start(
            f"export database {database}", lambda: self._admin.export_documents(request=request, **_ONCE)
        )

    def load(self, project: str, database: str, *, source: str) -> Operation:
        """Start importing the export at `source` (`gs://...`)."""
        request = {"name": path_of(project, database), "input_uri_prefix": source}
        return self._start(
            f"import into database {database}", lambda: self._admin.import_documents(request=request, **_ONCE)
        )

    def clone(self, project: str, database: str, *, target: str, snapshot: datetime) -> Operation:
        """Start copying `database` as of `snapshot` into the new database `target`."""
        preload(ADMIN)
        from google.cloud.firestore_admin_v1 import types

        picture = types.PitrSnapshot(database=path_of(project, database), snapshot_time=snapshot)
        request = {"parent": f"projects/{project}", "database_id": target, "pitr_snapshot": picture}
        return self._start(
            f"clone database {database} to {target}", lambda: self._admin.clone_database(request=request, **_ONCE)
        )

    # --- operations

    def operation(self, name: str) -> Operation:
        return read_operation(
            self._read(f"read operation {name}", lambda: self._admin.get_operation({"name": name}, **_ONCE))
        )

    def operations(self, project: str, database: str) -> tuple[Operation, ...]:
        """All that the database still remembers; empty for a database that is not there. Begins anew when the token of a
        later page is refused: half a list would look as if an operation had never been started (I4)."""
        for _ in range(3):
            found = self._pages(path_of(project, database), f"list the operations of {database}")
            if found is not None:
                return found
        raise DrError(UNAVAILABLE, f"the list of operations of {database} expired three times while it was read")

    def _pages(self, name: str, what: str) -> tuple[Operation, ...] | None:
        """None: the token of a later page was refused."""
        found: list[Operation] = []
        token = ""
        while True:
            request = {"name": name, "page_token": token}
            try:
                page = self._read(what, partial(self._list, request))
            except DrError as error:
                if token and error.kind in (REJECTED, NOT_FOUND):
                    return None
                if error.kind is NOT_FOUND:
                    return ()
                raise
            found += map(read_operation, page.operations)
            token = page.next_page_token
            if not token:
                return tuple(found)

    def _list(self, request: dict[str, str]) -> Any:
        return self._admin.list_operations(request, **_ONCE)

    # --- documents

    def documents(self, project: str, database: str, at: datetime | None = None) -> Iterator[tuple[str, Any]]:
        """(path, protobuf fields) of every document in name order, all of one instant: `at`, or the first answer's."""
        return ((path, fields) for path, fields, _ in self.versions(project, database, at))

    def versions(self, project: str, database: str, at: datetime | None = None) -> Iterator[tuple[str, Any, datetime]]:
        """As `documents`, each with the instant of its last change.

        A broken stream goes on after the last document, at the same instant.
        """
        last, failures = "", 0
        while True:
            try:
                for answer in self._query(project, database, at, last):
                    if at is None:
                        at = answer.read_time
                    if answer._pb.HasField("document"):
                        document = answer._pb.document
                        last, failures = document.name, 0
                        changed = document.update_time.ToDatetime(UTC)
                        yield document.name.partition("/documents/")[2], document.fields, changed
                return
            except Exception as error:
                failure = translate(error, f"read the documents of {database}")
                failures += 1
                if not failure.temporary or failures > _RESUMES:
                    raise failure from error

    def fields_at(self, project: str, database: str, paths: Sequence[str], at: datetime) -> dict[str, Any]:
        """path -> protobuf fields, of those of `paths` that stood at `at`."""
        batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="documents") as pool:
            found = pool.map(partial(self._got, path_of(project, database), at), batches)
            return {path: fields for batch in found for path, fields in batch}

    def _got(self, root: str, at: datetime, paths: Sequence[str]) -> list[tuple[str, Any]]:
        preload(DATA)
        from google.cloud.firestore_v1 import types

        names = [f"{root}/documents/{path}" for path in paths]
        request = types.BatchGetDocumentsRequest(database=root, documents=names, read_time=at)

        def ask() -> list[tuple[str, Any]]:
            answers = self._data.batch_get_documents(
                request=request, retry=None, timeout=_CALL_S, metadata=[(_PREFIX, root)]
            )
            found = (answer._pb.found for answer in answers if answer._pb.HasField("found"))
            return [(one.name.partition("/documents/")[2], one.fields) for one in found]

        return self._read(f"read documents of {root.rpartition('/')[2]} as they were", ask)

    def _query(self, project: str, database: str, at: datetime | None, after: str) -> Any:
        preload(DATA)
        from google.cloud.firestore_v1 import types

        everything = types.StructuredQuery.CollectionSelector(all_descendants=True)
        order = types.StructuredQuery.Order(field={"field_path": "__name__"}, direction=1)
        query = types.StructuredQuery(from_=[everything], order_by=[order])
        if after:
            query.start_at = types.Cursor(values=[types.Value(reference_value=after)], before=False)
        root = path_of(project, database)
        request = types.RunQueryRequest(parent=f"{root}/documents", structured_query=query, read_time=at)
        return self._data.run_query(request=request, retry=None, timeout=_STREAM_S, metadata=[(_PREFIX, root)])

    def count(self, project: str, database: str) -> int:
        """Number of documents, by aggregation (billed as one read for each 1,000)."""
        preload(DATA)
        from google.cloud.firestore_v1 import types

        everything = types.StructuredQuery.CollectionSelector(all_descendants=True)
        return self.counted(project, database, types.StructuredQuery(from_=[everything]))

    def counted(self, project: str, database: str, query: Any) -> int:
        """How many documents a `StructuredQuery` finds."""
        preload(DATA)
        from google.cloud.firestore_v1 import types

        count = types.StructuredAggregationQuery.Aggregation(alias="n", count={})
        whole = types.StructuredAggregationQuery(structured_query=query, aggregations=[count])
        root = path_of(project, database)
        request = types.RunAggregationQueryRequest(parent=f"{root}/documents", structured_aggregation_query=whole)

        def ask() -> int:
            stream = self._data.run_aggregation_query(
                request=request, retry=None, timeout=_CALL_S, metadata=[(_PREFIX, root)]
            )
            return sum(answer.result.aggregate_fields["n"].integer_value for answer in stream)

        return self._read(f"count the documents of {database}", ask)

    # --- clients

    @cached_property
    def _channel(self) -> Any:
        preload(ADMIN, DATA)
        return self.access.channel(self.access.firestore_endpoint, HOST)

    @cached_property
    def _admin(self) -> Any:
        preload(ADMIN)
        from google.cloud.firestore_admin_v1 import FirestoreAdminClient
        from google.cloud.firestore_admin_v1.services.firestore_admin.transports import FirestoreAdminGrpcTransport

        return FirestoreAdminClient(transport=FirestoreAdminGrpcTransport(channel=self._channel))

    @cached_property
    def _data(self) -> Any:
        preload(DATA)
        from google.cloud.firestore_v1.services.firestore import FirestoreClient
        from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport

        return FirestoreClient(transport=FirestoreGrpcTransport(channel=self._channel))

    def _read(self, what: str, call: Callable[[], T]) -> T:
        return with_retry(lambda: _translated(what, call), what=what)

    def _start(self, what: str, call: Callable[[], Any]) -> Operation:
        return read_operation(_translated(what, call).operation)


_ONCE: dict[str, Any] = {"retry": None, "timeout": _CALL_S}
_PREFIX = "google-cloud-resource-prefix"


def path_of(project: str, database: str) -> str:
    """`projects/P/databases/D`."""
    return f"projects/{project}/databases/{database}"


def _translated(what: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except Exception as error:
        raise translate(error, what) from error
