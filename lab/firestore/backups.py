"""FirestoreAdmin: backups, their schedules, restores from them. A backup is made only when a schedule fires."""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.cloud.firestore_admin_v1 import types
from google.protobuf import empty_pb2

from lab.firestore import shapes
from lab.firestore.admin import INVALID, Admin
from lab.firestore.limits import MAX_BACKUP_RETENTION_S
from lab.firestore.world import BackupRecord, OperationRecord, ScheduleRecord
from lab.grpcproxy import Refused

_BACKUP = re.compile(r"projects/[^/]+/locations/([^/]+)/backups/([^/]+)")
_SCHEDULE = re.compile(r"(projects/[^/]+/databases/[^/]+)/backupSchedules/([^/]+)")
_LOCATION = re.compile(r"(projects/[^/]+)/locations/([^/]+)")


@dataclass(frozen=True, slots=True)
class Backups:
    """Methods as in `Admin`."""

    admin: Admin

    def create_backup_schedule(self, caller: str, request: Any) -> Any:
        database = self.admin.database_id(request.parent)
        self.admin.require(caller, "backupSchedules.create", database)
        self.admin.world.database(database)
        wanted = request.backup_schedule
        retention = _retention(wanted)
        kind = wanted.WhichOneof("recurrence")
        if kind is None:
            raise Refused(INVALID, "A backup schedule needs a daily or a weekly recurrence.")
        weekday = None if kind == "daily_recurrence" else int(wanted.weekly_recurrence.day)
        with self.admin.world.changing():
            self._check_single(database, weekday)
            now = time.time()
            record = ScheduleRecord(str(uuid.uuid4()), database, retention, weekday, now, now)
            self.admin.world.schedules[record.id] = record
        return shapes.schedule_message(self.admin.project, record)

    def _check_single(self, database: str, weekday: int | None) -> None:
        for one in self.admin.world.schedules.values():
            if one.database == database and (one.weekday is None) == (weekday is None):
                kind = "daily" if weekday is None else "weekly"
                text = f"A {kind} backup schedule already exists for database {database}."
                raise Refused(grpc.StatusCode.ALREADY_EXISTS, text)

    def _schedule(self, caller: str, verb: str, name: str) -> ScheduleRecord:
        found = _SCHEDULE.fullmatch(name)
        if found is None:
            raise Refused(INVALID, f"Invalid resource name: {name!r}.")
        database = self.admin.database_id(found[1])
        self.admin.require(caller, f"backupSchedules.{verb}", database)
        record = self.admin.world.schedules.get(found[2])
        if record is None or record.database != database:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Backup schedule {name} does not exist.")
        return record

    def get_backup_schedule(self, caller: str, request: Any) -> Any:
        return shapes.schedule_message(self.admin.project, self._schedule(caller, "get", request.name))

    def list_backup_schedules(self, caller: str, request: Any) -> Any:
        database = self.admin.database_id(request.parent)
        self.admin.require(caller, "backupSchedules.list", database)
        self.admin.world.database(database)
        response = types.ListBackupSchedulesResponse.pb()()
        for record in self.admin.world.schedules.values():
            if record.database == database:
                response.backup_schedules.append(shapes.schedule_message(self.admin.project, record))
        return response

    def update_backup_schedule(self, caller: str, request: Any) -> Any:
        record = self._schedule(caller, "update", request.backup_schedule.name)
        retention = _retention(request.backup_schedule)
        with self.admin.world.changing():
            record.retention_s, record.updated = retention, time.time()
        return shapes.schedule_message(self.admin.project, record)

    def delete_backup_schedule(self, caller: str, request: Any) -> Any:
        record = self._schedule(caller, "delete", request.name)
        with self.admin.world.changing():
            self.admin.world.schedules.pop(record.id, None)
        return empty_pb2.Empty()

    def _backup(self, caller: str, permission: str, name: str) -> BackupRecord:
        found = _BACKUP.fullmatch(name)
        if found is None:
            raise Refused(INVALID, f"Invalid resource name: {name!r}.")
        self.admin.require(caller, permission)
        self._expire()
        record = self.admin.world.backups.get(found[2])
        if record is None or record.location != found[1]:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Backup {name} does not exist.")
        return record

    def get_backup(self, caller: str, request: Any) -> Any:
        return shapes.backup_message(self.admin.project, self._backup(caller, "backups.get", request.name))

    def list_backups(self, caller: str, request: Any) -> Any:
        """Of one location, or of all (`-`)."""
        found = _LOCATION.fullmatch(request.parent)
        if found is None:
            raise Refused(INVALID, f"Invalid resource name: {request.parent!r}.")
        self.admin.in_project(found[1])
        self.admin.require(caller, "backups.list")
        self._expire()
        response = types.ListBackupsResponse.pb()()
        for record in self.admin.world.backups.values():
            if found[2] in ("-", record.location):
                response.backups.append(shapes.backup_message(self.admin.project, record))
        return response

    def delete_backup(self, caller: str, request: Any) -> Any:
        record = self._backup(caller, "backups.delete", request.name)
        self._forget([record])
        return empty_pb2.Empty()

    def restore_database(self, caller: str, request: Any) -> Any:
        self.admin.in_project(request.parent)
        record = self._backup(caller, "backups.restoreDatabase", request.backup)
        self.admin.require(caller, "databases.create")
        name = shapes.backup_name(self.admin.project, record)
        return self.admin.restore_into(request.database_id, record.location, name, self._content(record.id))

    def _content(self, backup: str) -> Path:
        return (self.admin.world.directory / "backups" / backup).resolve()

    def _expire(self) -> None:
        now = time.time()
        self._forget([one for one in self.admin.world.backups.values() if one.expires < now])

    def _forget(self, records: Sequence[BackupRecord]) -> None:
        if not records:
            return
        with self.admin.world.changing():
            for record in records:
                self.admin.world.backups.pop(record.id, None)
        for record in records:
            shutil.rmtree(self._content(record.id), ignore_errors=True)

    def fire(self, database: str = "") -> list[str]:
        """Let every schedule (of one database) make its backup now; names of the backups."""
        due = [one for one in self.admin.world.schedules.values() if database in ("", one.database)]
        return [self._make(schedule) for schedule in due]

    def _make(self, schedule: ScheduleRecord) -> str:
        origin = self.admin.world.readable(schedule.database)
        now = int(time.time() * 1e6) * 1000
        progress = OperationRecord("backup", "backup", origin.id, time.time())  # nobody can ask for it
        backup = str(uuid.uuid4())
        folder = self._content(backup)
        self.admin.jobs.export_files(progress, origin.id, now, folder)
        size = sum(path.stat().st_size for path in folder.rglob("output-*"))
        record = BackupRecord(
            backup,
            origin.id,
            origin.uid,
            origin.location,
            now / 1e9,
            now / 1e9 + schedule.retention_s,
            progress.documents,
            size,
        )
        with self.admin.world.changing():
            self.admin.world.backups[backup] = record
        return shapes.backup_name(self.admin.project, record)


def _retention(schedule: Any) -> float:
    seconds = schedule.retention.seconds + schedule.retention.nanos / 1e9
    if not 0 < seconds <= MAX_BACKUP_RETENTION_S:
        raise Refused(INVALID, "The retention of a backup schedule must be positive and at most 14 weeks.")
    return float(seconds)
