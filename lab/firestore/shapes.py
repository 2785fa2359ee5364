"""Records of the lab -> messages of the admin API."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud.firestore_admin_v1 import types
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2, timestamp_pb2
from google.type import dayofweek_pb2

from lab.firestore.limits import Scale
from lab.firestore.world import BackupRecord, DatabaseRecord, OperationRecord, ScheduleRecord

EXPORT, IMPORT, CLONE, RESTORE, CREATE, UPDATE, DELETE = (
    "export", "import", "clone", "restore", "create", "update", "delete",
)  # fmt: skip
State = types.OperationState
_Pitr, _Protection = types.Database.PointInTimeRecoveryEnablement, types.Database.DeleteProtectionState


def instant(seconds: float) -> datetime:
    """Unix seconds as aware UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def database_message(project: str, record: DatabaseRecord, scale: Scale) -> Any:
    """A Database (raw message)."""
    pitr = record.pitr_since is not None
    return types.Database.pb(
        types.Database(
            name=f"projects/{project}/databases/{record.id}",
            uid=record.uid,
            create_time=instant(record.created),
            update_time=instant(record.updated),
            location_id=record.location,
            type_=types.Database.DatabaseType.FIRESTORE_NATIVE,
            concurrency_mode=record.concurrency,
            version_retention_period=timedelta(seconds=scale.window if pitr else scale.recent),
            earliest_version_time=instant(record.earliest(scale, time.time())),
            point_in_time_recovery_enablement=_Pitr(1 if pitr else 2),
            delete_protection_state=_Protection(2 if record.protected else 1),
            app_engine_integration_mode=types.Database.AppEngineIntegrationMode.DISABLED,
            database_edition=types.Database.DatabaseEdition.STANDARD,
            etag=f"{int(record.updated * 1e6):x}",
        )
    )


def backup_message(project: str, record: BackupRecord) -> Any:
    """A Backup (raw message)."""
    return types.Backup.pb(
        types.Backup(
            name=backup_name(project, record),
            database=f"projects/{project}/databases/{record.database}",
            database_uid=record.uid,
            snapshot_time=instant(record.snapshot),
            expire_time=instant(record.expires),
            state=types.Backup.State.READY,
            stats=types.Backup.Stats(size_bytes=record.size, document_count=record.documents, index_count=0),
        )
    )


def backup_name(project: str, record: BackupRecord) -> str:
    return f"projects/{project}/locations/{record.location}/backups/{record.id}"


def schedule_message(project: str, record: ScheduleRecord) -> Any:
    """A BackupSchedule (raw message)."""
    message = types.BackupSchedule.pb(
        types.BackupSchedule(
            name=f"projects/{project}/databases/{record.database}/backupSchedules/{record.id}",
            create_time=instant(record.created),
            update_time=instant(record.updated),
            retention=timedelta(seconds=record.retention_s),
        )
    )
    if record.weekday is None:
        message.daily_recurrence.SetInParent()
    else:
        message.weekly_recurrence.day = dayofweek_pb2.DayOfWeek.ValueType(record.weekday)
    return message


def operation_name(project: str, record: OperationRecord) -> str:
    return f"projects/{project}/databases/{record.database}/operations/{record.id}"


def operation_message(project: str, record: OperationRecord, database: Any) -> Any:
    """An Operation; `database` is the Database message that it made, if it did."""
    message = operations_pb2.Operation(name=operation_name(project, record), done=record.ended is not None)
    message.metadata.CopyFrom(_any(_metadata(project, record)))
    if record.ended is not None and record.code:
        message.error.code, message.error.message = record.code, record.message
    elif record.ended is not None:
        message.response.CopyFrom(_any(_response(record, database)))
    return message


def _response(record: OperationRecord, database: Any) -> Any:
    if record.kind == EXPORT:
        return types.ExportDocumentsResponse.pb()(output_uri_prefix=record.prefix)
    return database if record.kind != IMPORT and database is not None else empty_pb2.Empty()


def _state(record: OperationRecord) -> Any:
    if record.ended is None:
        return State.CANCELLING if record.cancelled else State.PROCESSING
    if not record.code:
        return State.SUCCESSFUL
    return State.CANCELLED if record.code == 1 else State.FAILED


def _metadata(project: str, record: OperationRecord) -> Any:
    common: dict[str, Any] = {"start_time": instant(record.started), "operation_state": _state(record)}
    if record.ended is not None:
        common["end_time"] = instant(record.ended)
    if record.kind in (EXPORT, IMPORT):
        return _moving(record, common)
    if record.kind in (CLONE, RESTORE):
        return _making(project, record, common)
    kinds = {CREATE: types.CreateDatabaseMetadata, UPDATE: types.UpdateDatabaseMetadata}
    return kinds.get(record.kind, types.DeleteDatabaseMetadata).pb()()


def _moving(record: OperationRecord, common: dict[str, Any]) -> Any:
    common |= {
        "progress_documents": types.Progress(estimated_work=record.documents_total, completed_work=record.documents),
        "progress_bytes": types.Progress(estimated_work=record.size_total, completed_work=record.size),
        "collection_ids": record.collections,
        "namespace_ids": record.namespaces,
    }
    if record.kind == IMPORT:
        metadata = types.ImportDocumentsMetadata(**common, input_uri_prefix=record.prefix)
        return types.ImportDocumentsMetadata.pb(metadata)
    if record.snapshot is not None:
        common["snapshot_time"] = instant(record.snapshot)
    return types.ExportDocumentsMetadata.pb(types.ExportDocumentsMetadata(**common, output_uri_prefix=record.prefix))


def _making(project: str, record: OperationRecord, common: dict[str, Any]) -> Any:
    common |= {
        "database": f"projects/{project}/databases/{record.database}",
        "progress_percentage": types.Progress(estimated_work=100, completed_work=record.percent()),
    }
    if record.kind == RESTORE:
        return types.RestoreDatabaseMetadata.pb(types.RestoreDatabaseMetadata(**common, backup=record.source))
    snapshot = types.PitrSnapshot(
        database=record.source, database_uid=record.source_uid.encode(), snapshot_time=instant(record.snapshot or 0)
    )
    return types.CloneDatabaseMetadata.pb(types.CloneDatabaseMetadata(**common, pitr_snapshot=snapshot))


def _any(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def nanoseconds(stamp: timestamp_pb2.Timestamp) -> int:
    """Unix nanoseconds."""
    return stamp.seconds * 10**9 + stamp.nanos
