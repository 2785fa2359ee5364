"""What the front remembers: databases, backups, schedules and operations, in one file that a restart reads."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc

from lab.firestore.limits import Scale
from lab.grpcproxy import Refused

READY, CREATING, DELETED = "ready", "creating", "deleted"


@dataclass(slots=True)
class DatabaseRecord:
    """One database. Times are Unix seconds."""

    id: str
    uid: str
    location: str
    created: float
    updated: float
    state: str = READY
    pitr_since: float | None = None
    protected: bool = False
    deleted: float | None = None
    concurrency: int = 1

    def earliest(self, scale: Scale, now: float) -> float:
        """The earliest instant that can be read; turning point-in-time recovery off forgets what it had."""
        recent = now - scale.recent
        start = (
            recent if self.pitr_since is None else min(recent, max(self.pitr_since - scale.recent, now - scale.window))
        )
        return max(self.created, start)


@dataclass(slots=True)
class BackupRecord:
    """A backup made by a schedule; its content lies in `<state>/backups/<id>`."""

    id: str
    database: str
    uid: str
    location: str
    snapshot: float
    expires: float
    documents: int
    size: int


@dataclass(slots=True)
class ScheduleRecord:
    """A backup schedule; `weekday` None: daily."""

    id: str
    database: str
    retention_s: float
    weekday: int | None
    created: float
    updated: float


@dataclass(slots=True)
class OperationRecord:
    """A long-running operation. `subject` and the like depend on `kind`; `code` 0 with `ended` is success."""

    id: str
    kind: str
    database: str
    started: float
    ended: float | None = None
    cancelled: bool = False
    code: int = 0
    message: str = ""
    documents: int = 0
    documents_total: int = 0
    size: int = 0
    size_total: int = 0
    prefix: str = ""
    snapshot: float | None = None
    collections: list[str] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    source: str = ""
    source_uid: str = ""

    def percent(self) -> int:
        """Progress of clones and restores."""
        if self.ended is not None and not self.code:
            return 100
        return min(99, 100 * self.documents // self.documents_total) if self.documents_total else 0


@dataclass(slots=True)
class World:
    """All of it. Change it inside `changing()`, which writes it down."""

    directory: Path
    project: str
    databases: dict[str, DatabaseRecord] = field(default_factory=dict)
    graves: list[DatabaseRecord] = field(default_factory=list)
    backups: dict[str, BackupRecord] = field(default_factory=dict)
    schedules: dict[str, ScheduleRecord] = field(default_factory=dict)
    operations: dict[str, OperationRecord] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def open(cls, directory: Path, project: str) -> World:
        """Read what is there. Operations that were under way end as ABORTED, half-made databases are gone."""
        world = cls(directory, project)
        path = directory / "world.json"
        if path.exists():
            world._load(json.loads(path.read_text()))
        with world.changing():
            for operation in world.operations.values():
                if operation.ended is None:
                    operation.ended, operation.code = time.time(), grpc.StatusCode.ABORTED.value[0]
                    operation.message = "The operation was aborted: the service restarted."
            half = [one.id for one in world.databases.values() if one.state == CREATING]
            for name in half:
                del world.databases[name]
        return world

    def _load(self, raw: Mapping[str, list[dict[str, Any]]]) -> None:
        shelves: tuple[tuple[str, dict[str, Any], Callable[..., object]], ...] = (
            ("databases", self.databases, DatabaseRecord),
            ("backups", self.backups, BackupRecord),
            ("schedules", self.schedules, ScheduleRecord),
            ("operations", self.operations, OperationRecord),
        )
        for name, shelf, kind in shelves:
            for fields in raw[name]:
                shelf[str(fields["id"])] = kind(**fields)
        self.graves = [DatabaseRecord(**fields) for fields in raw["graves"]]

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Alone, and durable at the end (also when the change was refused half-way: nothing is changed before a refusal)."""
        with self._lock:
            yield
            self._save()

    def _save(self) -> None:
        shelves = ("databases", "backups", "schedules", "operations")
        content: dict[str, object] = {name: [asdict(one) for one in getattr(self, name).values()] for name in shelves}
        content["graves"] = [asdict(one) for one in self.graves]
        temporary = self.directory / f".world.{os.getpid()}"
        temporary.write_text(json.dumps(content))
        os.replace(temporary, self.directory / "world.json")

    def database(self, name: str) -> DatabaseRecord:
        """By id; NOT_FOUND in the words of the admin service."""
        record = self.databases.get(name)
        if record is None:
            text = f"Project '{self.project}' or database '{name}' does not exist."
            raise Refused(grpc.StatusCode.NOT_FOUND, text)
        return record

    def readable(self, name: str) -> DatabaseRecord:
        """By id, for the data plane; NOT_FOUND in its words, FAILED_PRECONDITION while it is being made."""
        record = self.databases.get(name)
        if record is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, _unknown(self.project, name))
        if record.state == CREATING:
            text = f"The database {name} is being created and cannot be used until the operation is done."
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, text)
        return record

    def check_free(self, name: str, reserve_s: float) -> None:
        """ALREADY_EXISTS when the id is taken; FAILED_PRECONDITION while a deleted database still reserves it."""
        if name in self.databases:
            raise Refused(
                grpc.StatusCode.ALREADY_EXISTS, f"Database '{name}' already exists. Please use another database_id."
            )
        gone = [grave.deleted or 0 for grave in self.graves if grave.id == name]
        if gone and max(gone) + reserve_s > time.time():
            text = f"Database ID '{name}' is not available: it was deleted. Please retry in {reserve_s:.0f} seconds."
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, text)


def _unknown(project: str, name: str) -> str:
    return (
        f"The database {name} does not exist for project {project} Please visit "
        f"https://console.cloud.google.com/datastore/setup?project={project} to add a Cloud Datastore or Cloud Firestore database. "
    )
