"""FirestoreAdmin: databases, export, import, clone."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.cloud.firestore_admin_v1 import types

from lab.firestore import shapes
from lab.firestore.bucket import Bucket, parse_uri
from lab.firestore.jobs import OVERALL, Jobs
from lab.firestore.limits import Rate, Scale, check_snapshot
from lab.firestore.world import CREATING, DatabaseRecord, OperationRecord, World
from lab.grpcproxy import Refused
from lab.iam import Iam

_ID = re.compile(r"[a-z](?:[a-z0-9-]{2,61}[a-z0-9])")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DATABASE = re.compile(r"projects/([^/]+)/databases/([^/]+)")
_PROJECT = re.compile(r"projects/([^/]+)")
INVALID, PRECONDITION = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION


@dataclass(slots=True)
class Admin:
    """What the methods need. Each takes the caller's name and the raw request message."""

    iam: Iam
    world: World
    scale: Scale
    jobs: Jobs
    storage: str
    ca: Path
    rate: Rate = field(init=False)

    def __post_init__(self) -> None:
        self.rate = Rate(self.scale.per_minute)

    @property
    def project(self) -> str:
        return self.world.project

    def require(self, caller: str, permission: str, database: str = "") -> None:
        """Denied unless `caller` has it, on the database or else the project."""
        resource = f"projects/{self.project}" + (f"/databases/{database}" if database else "")
        self.iam.require(caller, f"datastore.{permission}", resource)

    def database_id(self, name: str) -> str:
        """The id in `projects/P/databases/D`; INVALID_ARGUMENT for other forms."""
        return self._matched(_DATABASE, name)[2]

    def in_project(self, parent: str) -> None:
        """INVALID_ARGUMENT or PERMISSION_DENIED unless `projects/P` is this project."""
        self._matched(_PROJECT, parent)

    def _matched(self, pattern: re.Pattern[str], name: str) -> re.Match[str]:
        found = pattern.fullmatch(name)
        if found is None:
            raise Refused(INVALID, f"Invalid resource name: {name!r}.")
        if found[1] != self.project:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, "The caller does not have permission")
        return found

    def message(self, record: DatabaseRecord) -> Any:
        return shapes.database_message(self.project, record, self.scale)

    def operation(self, record: OperationRecord) -> Any:
        """Its message, with the database that it made."""
        made = self.world.databases.get(record.database)
        return shapes.operation_message(self.project, record, self.message(made) if made else None)

    def remember(self, kind: str, database: str, **more: Any) -> OperationRecord:
        """A new operation; call inside `changing()`."""
        record = OperationRecord(uuid.uuid4().hex, kind, database, time.time(), **more)
        self.world.operations[record.id] = record
        return record

    # --- databases

    def get_database(self, caller: str, request: Any) -> Any:
        name = self.database_id(request.name)
        self.require(caller, "databases.getMetadata", name)
        return self.message(self.world.database(name))

    def list_databases(self, caller: str, request: Any) -> Any:
        self.in_project(request.parent)
        self.require(caller, "databases.list")
        records = sorted(self.world.databases.values(), key=lambda record: record.id)
        response = types.ListDatabasesResponse.pb()()
        response.databases.extend(self.message(record) for record in records)
        return response

    def create_database(self, caller: str, request: Any) -> Any:
        self.in_project(request.parent)
        self.require(caller, "databases.create")
        wanted = request.database
        if not wanted.location_id or wanted.type_ not in (1, 2):
            raise Refused(INVALID, "A database needs a location_id and a type.")
        with self.world.changing():
            record = self.new_record(request.database_id, wanted.location_id)
            record.pitr_since = record.created if wanted.point_in_time_recovery_enablement == 1 else None
            record.protected = wanted.delete_protection_state == 2
            record.concurrency = wanted.concurrency_mode or 1
            self.jobs.emulator.clear(self.jobs.root(record.id))
            self.world.databases[record.id] = record
            return self.operation(self._at_once(shapes.CREATE, record.id))

    def new_record(self, name: str, location: str, state: str = "ready") -> DatabaseRecord:
        """A database that is not there yet; INVALID_ARGUMENT, ALREADY_EXISTS or FAILED_PRECONDITION for its id."""
        if name != "(default)" and (not _ID.fullmatch(name) or _UUID.fullmatch(name)):
            text = "database_id should be 4-63 characters: lower-case letters, digits and hyphens, a letter first, no hyphen last."
            raise Refused(INVALID, f"Invalid database_id {name!r}: {text}")
        self.world.check_free(name, self.scale.reserve)
        now = time.time()
        return DatabaseRecord(name, str(uuid.uuid4()), location, now, now, state)

    def _at_once(self, kind: str, database: str) -> OperationRecord:
        record = self.remember(kind, database)
        record.ended = time.time()
        return record

    def update_database(self, caller: str, request: Any) -> Any:
        name = self.database_id(request.database.name)
        self.require(caller, "databases.update", name)
        paths = set(request.update_mask.paths) or {"point_in_time_recovery_enablement", "delete_protection_state"}
        unknown = paths - {"point_in_time_recovery_enablement", "delete_protection_state", "concurrency_mode"}
        if unknown:
            raise Refused(INVALID, f"Field {sorted(unknown)[0]!r} cannot be updated.")
        with self.world.changing():
            record = self.world.database(name)
            _update(record, request.database, paths)
            return self.operation(self._at_once(shapes.UPDATE, name))

    def delete_database(self, caller: str, request: Any) -> Any:
        name = self.database_id(request.name)
        self.require(caller, "databases.delete", name)
        with self.world.changing():
            record = self.world.database(name)
            if record.protected:
                text = f"Cannot delete database {name}: delete protection is enabled. Disable it before deleting the database."
                raise Refused(PRECONDITION, text)
            if request.etag and request.etag != self.message(record).etag:
                raise Refused(PRECONDITION, "The etag does not match the database's.")
            message = self._bury(record)
        self.jobs.emulator.clear(self.jobs.root(name))
        return message

    def _bury(self, record: DatabaseRecord) -> Any:
        """Schedules go with their database, backups stay."""
        message = self.message(record)
        record.deleted = time.time()
        self.world.graves.append(self.world.databases.pop(record.id))
        for schedule in [one.id for one in self.world.schedules.values() if one.database == record.id]:
            del self.world.schedules[schedule]
        operation = self._at_once(shapes.DELETE, record.id)
        return shapes.operation_message(self.project, operation, message)

    # --- export, import, clone

    def export_documents(self, caller: str, request: Any) -> Any:
        name = self.database_id(request.name)
        self.require(caller, "databases.export", name)
        record = self.world.readable(name)
        bucket_name, prefix = parse_uri(request.output_uri_prefix)
        at_ns = self._snapshot(request, record)
        if any(request.namespace_ids):
            raise Refused(INVALID, "Firestore in native mode only has the default namespace.")
        self.rate.take()
        prefix = prefix or time.strftime("%Y-%m-%dT%H:%M:%S_", time.gmtime()) + str(time.time_ns() % 10**5)
        bucket = self.bucket(bucket_name)
        self._check_empty(bucket, prefix)
        with self.world.changing():
            self._check_room(shapes.EXPORT)
            uri = f"gs://{bucket_name}/{prefix}"
            operation = self.remember(shapes.EXPORT, name, prefix=uri, collections=list(request.collection_ids))
            operation.snapshot = None if at_ns is None else at_ns / 1e9
        work = self._work(operation)
        self.jobs.start(operation, lambda: self.jobs.export(operation, bucket, prefix, at_ns, work))
        return self.operation(operation)

    def _snapshot(self, request: Any, record: DatabaseRecord) -> int | None:
        if not request.HasField("snapshot_time"):
            return None
        at_ns = shapes.nanoseconds(request.snapshot_time)
        check_snapshot(self.scale, "snapshot_time", at_ns, record.earliest(self.scale, time.time()))
        return at_ns

    def bucket(self, name: str) -> Bucket:
        return Bucket(self.storage, self.ca, self.iam, name)

    def _work(self, operation: OperationRecord) -> Path:
        path = self.world.directory / "work" / operation.id
        path.mkdir(parents=True)
        return path.resolve()

    def _check_empty(self, bucket: Bucket, prefix: str) -> None:
        bucket.require("storage.objects.create")
        taken = next(bucket.names(f"{prefix}/"), None)
        uri = f"gs://{bucket.name}/{prefix}"
        running = any(one.prefix == uri and one.ended is None for one in self.world.operations.values())
        if taken or running:
            raise Refused(INVALID, f"Path already exists: /{bucket.name}/{prefix}")

    def _check_room(self, kind: str) -> None:
        running = sum(1 for one in self.world.operations.values() if one.kind == kind and one.ended is None)
        if running >= self.scale.concurrent:
            text = f"Too many concurrent {kind} operations: {running} are running, {self.scale.concurrent} are allowed."
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, text)

    def import_documents(self, caller: str, request: Any) -> Any:
        name = self.database_id(request.name)
        self.require(caller, "databases.import", name)
        self.world.readable(name)
        bucket_name, prefix = parse_uri(request.input_uri_prefix)
        if any(request.namespace_ids):
            raise Refused(INVALID, "Firestore in native mode only has the default namespace.")
        self.rate.take()
        bucket = self.bucket(bucket_name)
        bucket.require("storage.objects.get")
        names = list(bucket.names(f"{prefix}/"))
        _check_export(names, prefix, bucket_name, list(request.collection_ids))
        with self.world.changing():
            self._check_room(shapes.IMPORT)
            operation = self.remember(shapes.IMPORT, name, prefix=request.input_uri_prefix)
            operation.collections = list(request.collection_ids)
        work = self._work(operation)
        self.jobs.start(operation, lambda: self.jobs.import_(operation, bucket, names, prefix, work))
        return self.operation(operation)

    def clone_database(self, caller: str, request: Any) -> Any:
        self.in_project(request.parent)
        snapshot = request.pitr_snapshot
        source = self.database_id(snapshot.database)
        self.require(caller, "databases.clone", source)
        self.require(caller, "databases.create")
        origin = self.world.database(source)
        if snapshot.database_uid and snapshot.database_uid not in (origin.uid.encode(), uuid.UUID(origin.uid).bytes):
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Database '{source}' with the given database_uid does not exist.")
        at_ns = shapes.nanoseconds(snapshot.snapshot_time)
        check_snapshot(self.scale, "snapshot_time", at_ns, origin.earliest(self.scale, time.time()))
        with self.world.changing():
            made = self.new_record(request.database_id, origin.location, CREATING)
            made.concurrency = origin.concurrency
            self.world.databases[made.id] = made
            operation = self.remember(shapes.CLONE, made.id, source=snapshot.database, source_uid=origin.uid)
            operation.snapshot = at_ns / 1e9
        self._make(operation, lambda: self.jobs.clone(operation, source, at_ns))
        return self.operation(operation)

    def _make(self, operation: OperationRecord, work: Any) -> None:
        self.jobs.emulator.clear(self.jobs.root(operation.database))
        self.jobs.start(operation, work, lambda: self.jobs.drop(operation.database))

    def restore_into(self, name: str, location: str, backup_name: str, content: Path) -> Any:
        """Start the restore of a backup's content into a new database."""
        with self.world.changing():
            made = self.new_record(name, location, CREATING)
            self.world.databases[made.id] = made
            operation = self.remember(shapes.RESTORE, made.id, source=backup_name)
        self._make(operation, lambda: self.jobs.restore(operation, content, self._work(operation)))
        return self.operation(operation)


def _update(record: DatabaseRecord, wanted: Any, paths: set[str]) -> None:
    record.updated = time.time()
    if "point_in_time_recovery_enablement" in paths and wanted.point_in_time_recovery_enablement:
        on = wanted.point_in_time_recovery_enablement == 1
        record.pitr_since = (record.pitr_since or record.updated) if on else None
    if "delete_protection_state" in paths and wanted.delete_protection_state:
        record.protected = wanted.delete_protection_state == 2
    if "concurrency_mode" in paths and wanted.concurrency_mode:
        record.concurrency = wanted.concurrency_mode


def _check_export(names: list[str], prefix: str, bucket: str, collections: list[str]) -> None:
    """NOT_FOUND without its metadata; INVALID_ARGUMENT for a collection that the export did not carry apart."""
    overall = f"{prefix}/{prefix.rpartition('/')[2]}{OVERALL}"
    if overall not in names:
        text = f"Google Cloud Storage file does not exist: /{bucket}/{overall}"
        raise Refused(grpc.StatusCode.NOT_FOUND, text)
    for collection in collections:
        if not any(name.startswith(f"{prefix}/all_namespaces/kind_{collection}/") for name in names):
            text = f"The export does not contain the collection group {collection!r} apart: only what it was filtered by can be chosen."
            raise Refused(INVALID, text)
