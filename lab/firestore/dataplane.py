"""The rules of the data plane: which database, who may, and which past instants can be read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.cloud.firestore_v1 import types

from lab.firestore.limits import Scale, check_read
from lab.firestore.world import World
from lab.grpcproxy import Refused
from lab.iam import Iam

SERVICE = "google.firestore.v1.Firestore"
UNARY = (
    "GetDocument", "ListDocuments", "UpdateDocument", "DeleteDocument", "CreateDocument", "BeginTransaction", "Commit",
    "Rollback", "PartitionQuery", "ListCollectionIds", "BatchWrite",
)  # fmt: skip
GET, LIST = ("datastore.entities.get",), ("datastore.entities.get", "datastore.entities.list")
CREATE, UPDATE, DELETE = "datastore.entities.create", "datastore.entities.update", "datastore.entities.delete"
_DATABASE = re.compile(r"projects/([^/]+)/databases/([^/]+)")


def _written(writes: Iterable[Any]) -> tuple[str, ...]:
    needed: set[str] = set()
    for write in writes:
        needed.update(_one_write(write))
    return tuple(sorted(needed))


def _one_write(write: Any) -> tuple[str, ...]:
    if write.HasField("delete"):
        return (DELETE,)
    return _upsert(write)


def _upsert(message: Any) -> tuple[str, ...]:
    """A precondition tells whether a write can create, update or both."""
    if not message.HasField("current_document"):
        return CREATE, UPDATE
    condition = message.current_document
    return (CREATE,) if condition.WhichOneof("condition_type") == "exists" and not condition.exists else (UPDATE,)


@dataclass(frozen=True, slots=True)
class Method:
    """How a request is read: its message, where it names the database, what it takes."""

    message: Any
    locate: Callable[[Any], str]
    needs: Callable[[Any], Sequence[str]]


def _name(message: Any) -> str:
    return str(message.name)


def _parent(message: Any) -> str:
    return str(message.parent)


def _at(message: Any) -> str:
    return str(message.database)


METHODS: Mapping[str, Method] = {
    "GetDocument": Method(types.GetDocumentRequest.pb(), _name, lambda _: GET),
    "ListDocuments": Method(types.ListDocumentsRequest.pb(), _parent, lambda _: LIST),
    "UpdateDocument": Method(types.UpdateDocumentRequest.pb(), lambda m: str(m.document.name), _upsert),
    "DeleteDocument": Method(types.DeleteDocumentRequest.pb(), _name, lambda _: (DELETE,)),
    "CreateDocument": Method(types.CreateDocumentRequest.pb(), _parent, lambda _: (CREATE,)),
    "BatchGetDocuments": Method(types.BatchGetDocumentsRequest.pb(), _at, lambda _: GET),
    "BeginTransaction": Method(types.BeginTransactionRequest.pb(), _at, lambda _: ("datastore.databases.get",)),
    "Rollback": Method(types.RollbackRequest.pb(), _at, lambda _: ("datastore.databases.get",)),
    "Commit": Method(types.CommitRequest.pb(), _at, lambda m: _written(m.writes)),
    "BatchWrite": Method(types.BatchWriteRequest.pb(), _at, lambda m: _written(m.writes)),
    "Write": Method(types.WriteRequest.pb(), _at, lambda m: _written(m.writes)),
    "Listen": Method(types.ListenRequest.pb(), _at, lambda _: LIST),
    "RunQuery": Method(types.RunQueryRequest.pb(), _parent, lambda _: LIST),
    "RunAggregationQuery": Method(types.RunAggregationQueryRequest.pb(), _parent, lambda _: LIST),
    "PartitionQuery": Method(types.PartitionQueryRequest.pb(), _parent, lambda _: LIST),
    "ListCollectionIds": Method(types.ListCollectionIdsRequest.pb(), _parent, lambda _: LIST[1:]),
}
WRITES = ("Commit", "BatchWrite", "Write", "CreateDocument", "UpdateDocument", "DeleteDocument")

Announce = Callable[[str, Any, bytes], None]
"""(method, request message, response bytes) of a write that was acknowledged."""


@dataclass(frozen=True, slots=True)
class DataGate:
    """A `lab.grpcproxy.Gate` for Firestore."""

    iam: Iam
    world: World
    scale: Scale
    announce: Announce | None = None

    def admit(self, caller: str, method: str, request: bytes, first: bool) -> None:
        """Refuse what production would refuse."""
        known = METHODS.get(method)
        if known is None:
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, f"The lab does not know the method {method}.")
        message = known.message.FromString(request)
        location = known.locate(message)
        if not first and not location:
            location = self._any_database()  # later messages of a stream may leave it out
        database = self._database(location)
        for permission in known.needs(message):
            self.iam.require(caller, permission, f"projects/{self.world.project}/databases/{database}")
        record = self.world.readable(database)
        for instant in _read_times(message):
            check_read(self.scale, instant, record.earliest(self.scale, time.time()))

    def answered(self, method: str, request: bytes, response: bytes) -> None:
        """Tell of acknowledged writes."""
        if self.announce is not None and method in WRITES:
            self.announce(method, METHODS[method].message.FromString(request), response)

    def _any_database(self) -> str:
        return f"projects/{self.world.project}/databases/{next(iter(self.world.databases), '')}"

    def _database(self, location: str) -> str:
        found = _DATABASE.match(location)
        if found is None:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"Invalid resource name: {location!r}.")
        if found[1] != self.world.project:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, "Missing or insufficient permissions.")
        return found[2]


def _read_times(message: Any) -> list[int]:
    """Unix nanoseconds of every past instant that a request asks for."""
    holders = [message]
    for outer in ("options", "new_transaction"):
        if outer in message.DESCRIPTOR.fields_by_name and message.HasField(outer):
            holders.append(getattr(message, outer).read_only)
    asked = [h for h in holders if "read_time" in h.DESCRIPTOR.fields_by_name and h.HasField("read_time")]
    return [holder.read_time.seconds * 10**9 + holder.read_time.nanos for holder in asked]
