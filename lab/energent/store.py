"""The platform's database client: Firestore over its gRPC protocol with a service-account key, quick to import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.auth.transport.grpc import AuthMetadataPlugin
from google.auth.transport.requests import Request
from google.cloud.firestore_v1.types import document as documents
from google.cloud.firestore_v1.types import firestore as service
from google.cloud.firestore_v1.types import query as queries
from google.cloud.firestore_v1.types import write as writes
from google.oauth2 import service_account

from lab.energent.values import Fields, Message, from_fields, set_fields

SCOPES = ("https://www.googleapis.com/auth/datastore", "https://www.googleapis.com/auth/cloud-platform")
BATCH = 500
BATCH_BYTES = 3 << 20
WRITE_S = 15.0
READ_S = 300.0  # of a whole stream: a walk over everything takes its time
_LIMITS = (("grpc.max_receive_message_length", 32 << 20), ("grpc.max_send_message_length", 32 << 20))


@dataclass(frozen=True, slots=True)
class Target:
    """A database and how to reach it. Without `key` the channel is in clear, as the bare emulator wants it."""

    endpoint: str
    project: str
    database: str
    key: Path | None = None
    ca: Path | None = None

    @property
    def root(self) -> str:
        return f"projects/{self.project}/databases/{self.database}"


def channel(target: Target) -> grpc.Channel:
    """TLS with the key's self-signed tokens, as Google's own gRPC clients do by default."""
    if target.key is None:
        return grpc.insecure_channel(target.endpoint, options=_LIMITS)
    account = service_account.Credentials.from_service_account_file(str(target.key), scopes=SCOPES)
    account = account.with_always_use_jwt_access(True)
    call = grpc.metadata_call_credentials(AuthMetadataPlugin(account, Request()))
    roots = target.ca.read_bytes() if target.ca else None
    tls = grpc.composite_channel_credentials(grpc.ssl_channel_credentials(roots), call)
    return grpc.secure_channel(target.endpoint, tls, options=_LIMITS)


@dataclass(frozen=True, slots=True)
class Put:
    """One write: the document's fields, or None to delete it."""

    path: str
    fields: Fields | None


class WriteRefused(Exception):
    """One write of a batch was not taken."""


class Store:
    """Documents of one database. Every call raises grpc.RpcError. Safe to share between threads.

    `read_s`: how long one read may take, in seconds.
    """

    def __init__(self, target: Target, read_s: float = READ_S) -> None:
        self._read_s = read_s
        self._root, self._channel = target.root, channel(target)
        self._metadata = [("google-cloud-resource-prefix", target.root)]
        self._metadata += [("x-goog-request-params", f"database={target.root}")]
        self._metadata += [] if target.key else [("authorization", "Bearer owner")]

    def close(self) -> None:
        self._channel.close()

    def commit(self, put: Put) -> None:
        """One atomic write; returns when it is acknowledged."""
        request = service.CommitRequest.pb(service.CommitRequest(database=self._root))
        self._add(request, put)
        self._unary("Commit", request, service.CommitResponse)

    def write_all(self, puts: Sequence[Put]) -> None:
        """Up to 500 writes that need not be atomic. Raises WriteRefused when one of them was not taken."""
        request = service.BatchWriteRequest.pb(service.BatchWriteRequest(database=self._root))
        for put in puts:
            self._add(request, put)
        answer = self._unary("BatchWrite", request, service.BatchWriteResponse)
        for put, status in zip(puts, answer.status, strict=True):
            if status.code:
                raise WriteRefused(f"{put.path}: {status.message}")

    def get(self, path: str) -> Fields | None:
        """A document's fields, or None."""
        name = f"{self._root}/documents/{path}"
        request = service.BatchGetDocumentsRequest.pb(service.BatchGetDocumentsRequest(database=self._root))
        request.documents.append(name)
        for answer in self._stream("BatchGetDocuments", request, service.BatchGetDocumentsResponse):
            if answer.WhichOneof("result") == "found":
                return from_fields(answer.found.fields)
        return None

    def walk(self, below: str = "") -> Iterator[tuple[str, Fields]]:
        """(path, fields) of every document below a document, or of all; one consistent read in order of names."""
        query = {"from_": [{"all_descendants": True}]}
        for answer in self._query(below, query):
            yield answer.document.name.partition("/documents/")[2], from_fields(answer.document.fields)

    def count(self, collection: str, *, group: bool = False) -> int:
        """Documents in a root collection, or in all collections of that id."""
        query = {"from_": [{"collection_id": collection, "all_descendants": group}]}
        wanted = {"structured_query": query, "aggregations": [{"count": {}, "alias": "n"}]}
        request = service.RunAggregationQueryRequest(
            parent=f"{self._root}/documents", structured_aggregation_query=wanted
        )
        raw = service.RunAggregationQueryRequest.pb(request)
        for answer in self._stream("RunAggregationQuery", raw, service.RunAggregationQueryResponse):
            return int(answer.result.aggregate_fields["n"].integer_value)
        return 0

    def latest(self, collection: str, field: str) -> int | None:
        """The greatest integer in `field` over all collections of that id."""
        down = queries.StructuredQuery.Direction.DESCENDING
        query = {"from_": [{"collection_id": collection, "all_descendants": True}], "limit": 1}
        order = {"order_by": [{"field": {"field_path": field}, "direction": down}]}
        for answer in self._query("", query | order):
            return int(answer.document.fields[field].integer_value)
        return None

    def _query(self, below: str, query: Mapping[str, object]) -> Iterator[Message]:
        parent = f"{self._root}/documents" + (f"/{below}" if below else "")
        request = service.RunQueryRequest.pb(service.RunQueryRequest(parent=parent, structured_query=query))
        for answer in self._stream("RunQuery", request, service.RunQueryResponse):
            if answer.HasField("document"):
                yield answer

    def _add(self, request: Message, put: Put) -> None:
        name, write = f"{self._root}/documents/{put.path}", request.writes.add()
        if put.fields is None:
            write.delete = name
        else:
            write.update.name = name
            set_fields(write.update.fields, put.fields, self._root)

    def _unary(self, method: str, request: Message, answer: type[Message]) -> Message:
        return self._method("unary_unary", method, request, answer, WRITE_S)

    def _stream(self, method: str, request: Message, answer: type[Message]) -> Iterator[Message]:
        found: Iterator[Message] = self._method("unary_stream", method, request, answer, self._read_s)
        return found

    def _method(self, shape: str, method: str, request: Message, answer: type[Message], timeout: float) -> Message:
        call = getattr(self._channel, shape)(
            f"/google.firestore.v1.Firestore/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=type(answer.pb(answer())).FromString,
        )
        return call(request, metadata=self._metadata, timeout=timeout)


def size_of(put: Put) -> int:
    """About how many bytes a write takes on the wire."""
    probe = writes.Write.pb(writes.Write(update=documents.Document()))
    set_fields(probe.update.fields, put.fields or {}, "")
    return int(probe.ByteSize()) + len(put.path)
