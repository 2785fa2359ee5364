"""A Firestore in memory, by hand: databases with history, operations that need to be asked twice, exports that are real files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from google.cloud.firestore_v1 import types

from dr.errors import CONFLICT, NOT_FOUND, REJECTED, UNAVAILABLE, DrError
from dr.model.timeline import floor_to
from dr.stores.memory import MemoryStore
from dr.vendors.firestore_operations import Database, Operation
from tests.unit.export_writer import entity, export
from tests.unit.fakes import FakeClock

Documents = dict[str, int]
PROJECT, MINUTE = "energent-lab", timedelta(minutes=1)


class CloudMemory(MemoryStore):
    """Memory that says it is a bucket."""

    @property
    def url(self) -> str:
        return f"gs://{self._name}"


@dataclass
class _Held:
    database: Database
    history: list[tuple[datetime, Documents]]
    operations: list[str] = field(default_factory=list)

    def at(self, instant: datetime) -> Documents:
        return next((documents for when, documents in reversed(self.history) if when <= instant), {})


@dataclass
class FakeFirestore:
    """`lose_answers`: so many of the next starts take effect, and then the connection breaks."""

    clock: FakeClock
    stores: dict[str, MemoryStore]
    held: dict[str, _Held] = field(default_factory=dict)
    running: dict[str, Operation] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    withheld: set[str] = field(default_factory=set)
    """Permissions that the caller lacks."""
    lose_answers: int = 0
    end_with: str = ""
    """Error that operations end with."""
    uids: int = 0

    def add(self, name: str, documents: Documents, *, history: bool = True) -> None:
        self.uids += 1
        now = self.clock.now()
        earliest = now - timedelta(days=7) if history else now
        found = Database(name, f"uid-{self.uids}", "us-central1", now, earliest, history, True, "etag")
        self.held[name] = _Held(found, [(now, documents)])

    def write(self, name: str, **documents: int) -> None:
        held = self.held[name]
        now = {**held.at(self.clock.now())} | {f"c/{path}": value for path, value in documents.items()}
        held.history.append((self.clock.now(), now))

    def missing_permissions(self, project: str, wanted: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in wanted if name in self.withheld)

    def database(self, project: str, database: str) -> Database | None:
        return self.held[database].database if database in self.held else None

    def create_database(
        self, project: str, database: str, *, location: str, protected: bool, history: bool
    ) -> Operation:
        self._free(database)
        self.add(database, {}, history=history)
        self.held[database].database = replace(self.held[database].database, location=location, protected=protected)
        return self._begin(Operation("", "CreateDatabase", False), database)

    def delete_database(self, project: str, database: str, *, etag: str) -> Operation:
        if self.held[database].database.protected:
            raise DrError(REJECTED, "delete protection is on")
        del self.held[database]
        return Operation("gone", "DeleteDatabase", True)

    def export(self, project: str, database: str, *, output: str, snapshot: datetime) -> Operation:
        if floor_to(snapshot, MINUTE) != snapshot:
            raise DrError(REJECTED, "not a whole minute")
        documents = self.held[database].at(snapshot)
        bucket, _, folder = output.removeprefix("gs://").partition("/")
        rows = [entity(path, project=project, database=database, x=value) for path, value in documents.items()]
        for name, data in export(rows, folder).items():
            self.stores[bucket].put(name, data)
        count = len(documents)
        found = Operation("", "ExportDocuments", False, "", output, snapshot, "", count, count)
        return self._begin(found, database)

    def load(self, project: str, database: str, *, source: str) -> Operation:
        from dr.components.appdata.exportfile import read_export

        bucket, _, folder = source.removeprefix("gs://").partition("/")
        store, loaded = self.stores[bucket], {}
        names = [info.name for info in store.list(f"{folder}/")]
        for document in read_export(store.stream, names):
            loaded[document.path] = int(str(document.fields["x"]["integerValue"]))
        self.held[database].history.append((self.clock.now(), loaded))
        found = Operation("", "ImportDocuments", False, "", source, None, "", len(loaded), len(loaded))
        return self._begin(found, database)

    def clone(self, project: str, database: str, *, target: str, snapshot: datetime) -> Operation:
        self._free(target)
        self.add(target, dict(self.held[database].at(snapshot)), history=False)
        self.held[target].database = replace(self.held[target].database, protected=False)
        root = f"projects/{project}/databases/{database}"
        return self._begin(Operation("", "CloneDatabase", False, "", "", snapshot, root, percent=50), target)

    def operation(self, name: str) -> Operation:
        """Done from the second time on."""
        found = self.running[name]
        self.running[name] = replace(found, done=True, error=self.end_with)
        return found

    def operations(self, project: str, database: str) -> tuple[Operation, ...]:
        return tuple(self.running[name] for name in self.held[database].operations) if database in self.held else ()

    def documents(self, project: str, database: str, at: datetime | None = None) -> Iterator[tuple[str, Any]]:
        return ((path, fields) for path, fields, _ in self.versions(project, database, at))

    def versions(self, project: str, database: str, at: datetime | None = None) -> Iterator[tuple[str, Any, datetime]]:
        if database not in self.held:
            raise DrError(NOT_FOUND, f"database {database} does not exist")
        instant = at or self.clock.now()
        for path, value in sorted(self.held[database].at(instant).items()):
            document = types.Document(fields={"x": types.Value(integer_value=value)})
            yield path, document._pb.fields, self._changed(database, path, instant)

    def fields_at(self, project: str, database: str, paths: Sequence[str], at: datetime) -> dict[str, Any]:
        """Beyond the last hour whole minutes only, and nothing before the history."""
        earliest = self.held[database].database.earliest
        if (self.clock.now() - at > 60 * MINUTE and floor_to(at, MINUTE) != at) or (earliest and at < earliest):
            raise DrError(REJECTED, "that instant cannot be read")
        return {path: fields for path, fields, _ in self.versions(project, database, at) if path in set(paths)}

    def _changed(self, database: str, path: str, instant: datetime) -> datetime:
        """When it last became what it is at the instant."""
        changed = self.held[database].history[0][0]
        before: int | None = None
        for when, documents in self.held[database].history:
            if when <= instant and documents.get(path) != before:
                changed, before = when, documents.get(path)
        return changed

    def count(self, project: str, database: str) -> int:
        return len(self.held[database].at(self.clock.now()))

    def _free(self, database: str) -> None:
        if database in self.held:
            raise DrError(CONFLICT, f"database {database} exists")

    def _begin(self, operation: Operation, database: str) -> Operation:
        name = f"{database}/operations/{len(self.running)}"
        self.running[name] = replace(operation, name=name)
        self.held[database].operations.append(name)
        self.started.append(operation.kind)
        if self.lose_answers:
            self.lose_answers -= 1
            raise DrError(UNAVAILABLE, "the connection broke")
        return self.running[name]
