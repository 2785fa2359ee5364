"""Documents of a part of a database, with the versions that say whether somebody else wrote them since; and writes on that
condition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dr.errors import CONFLICT, NOT_FOUND, REJECTED, DrError
from dr.vendors.firestore import DATA, Firestore, path_of
from dr.vendors.google import translate
from dr.vendors.loading import preload

_CALL_S = 60.0
_STREAM_S = 3600.0
_BATCH, _BATCH_BYTES = 200, 4 << 20


@dataclass(frozen=True, slots=True)
class Versioned:
    """One document as it was read. `fields` and `version` are the server's own messages."""

    path: str
    fields: Any
    version: Any
    updated: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """One write. `fields` None deletes; `version` None: the document must not exist yet."""

    path: str
    fields: Any
    version: Any


@dataclass(frozen=True, slots=True)
class FirestoreDocuments:
    """One identity's way to the documents."""

    firestore: Firestore

    def below(self, project: str, database: str, path: str) -> Iterator[Versioned]:
        """The document `path`, if it is there, and every one under it, in name order. Raises DrError."""
        try:
            yield from self._itself(project, database, path)
            yield from self._under(project, database, path)
        except DrError:
            raise
        except Exception as error:
            raise translate(error, f"read {path} of {database}") from error

    def _itself(self, project: str, database: str, path: str) -> Iterator[Versioned]:
        root = path_of(project, database)
        request = {"database": root, "documents": [f"{root}/documents/{path}"]}
        answers = self.firestore._data.batch_get_documents(
            request=request, retry=None, timeout=_CALL_S, metadata=[(_PREFIX, root)]
        )
        yield from (_versioned(answer._pb.found) for answer in answers if answer._pb.HasField("found"))

    def _under(self, project: str, database: str, path: str) -> Iterator[Versioned]:
        preload(DATA)
        from google.cloud.firestore_v1 import types

        root = path_of(project, database)
        everything = types.StructuredQuery.CollectionSelector(all_descendants=True)
        order = types.StructuredQuery.Order(field={"field_path": "__name__"}, direction=1)
        query = types.StructuredQuery(from_=[everything], order_by=[order])
        request = types.RunQueryRequest(parent=f"{root}/documents/{path}", structured_query=query)
        answers = self.firestore._data.run_query(
            request=request, retry=None, timeout=_STREAM_S, metadata=[(_PREFIX, root)]
        )
        yield from (_versioned(answer._pb.document) for answer in answers if answer._pb.HasField("document"))

    def write(self, project: str, database: str, changes: Sequence[Change]) -> None:
        """All of them, in batches that are atomic each. Raises DrError CONFLICT when a document is not in the version that was
        named; what was written before stays."""
        for batch in batches(changes):
            self._commit(project, database, batch)

    def _commit(self, project: str, database: str, batch: Sequence[Change]) -> None:
        preload(DATA)
        from google.cloud.firestore_v1 import types

        root = path_of(project, database)
        request = types.CommitRequest.pb(types.CommitRequest(database=root))
        for change in batch:
            _add(request.writes.add(), root, change)
        try:
            self.firestore._data.commit(
                request=types.CommitRequest.wrap(request), retry=None, timeout=_CALL_S, metadata=[(_PREFIX, root)]
            )
        except Exception as error:
            failure = translate(error, f"write into {database}")
            if failure.kind in (CONFLICT, NOT_FOUND, REJECTED):
                text = f"a document of {batch[0].path} to {batch[-1].path} was written meanwhile: {failure.message}"
                raise DrError(CONFLICT, text) from error
            raise failure from error


_PREFIX = "google-cloud-resource-prefix"


def _versioned(document: Any) -> Versioned:
    updated = document.update_time.ToDatetime(tzinfo=UTC)
    return Versioned(document.name.partition("/documents/")[2], document.fields, document.update_time, updated)


def _add(write: Any, root: str, change: Change) -> None:
    name = f"{root}/documents/{change.path}"
    if change.version is None:
        write.current_document.exists = False
    else:
        write.current_document.update_time.CopyFrom(change.version)
    if change.fields is None:
        write.delete = name
        return
    write.update.name = name
    for key, value in change.fields.items():
        copied = write.update.fields[key]
        copied.CopyFrom(value)
        rehome(copied, root)


def rehome(value: Any, root: str) -> None:
    """References into the database that a value was read from point into the one that it is written to."""
    kind = value.WhichOneof("value_type")
    if kind == "reference_value":
        _, separator, path = value.reference_value.partition("/documents/")
        value.reference_value = f"{root}/documents/{path}" if separator else value.reference_value
    elif kind == "array_value":
        for inner in value.array_value.values:
            rehome(inner, root)
    elif kind == "map_value":
        for inner in value.map_value.fields.values():
            rehome(inner, root)


def batches(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """As one commit takes them."""
    batch: list[Change] = []
    size = 0
    for change in changes:
        weight = len(change.path) + sum(value.ByteSize() for value in (change.fields or {}).values())
        if batch and (len(batch) == _BATCH or size + weight > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(change)
        size += weight
    if batch:
        yield batch
