"""The emulator behind the front, spoken to as its administrator: bulk reads at an instant, bulk writes, genuine exports."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import requests
from google.cloud.firestore_v1 import types

from lab.grpcproxy import UNLIMITED

BATCH = 500
IN_FLIGHT = 4
TIMEOUT_S = 600
_Query, _Answer = types.RunQueryRequest.pb(), types.RunQueryResponse.pb()
_Batch, _Written = types.BatchWriteRequest.pb(), types.BatchWriteResponse.pb()
_FIRESTORE = "/google.firestore.v1.Firestore/"


class EmulatorError(Exception):
    """The emulator answered something that it should not."""


@dataclass(frozen=True, slots=True)
class Moved:
    """From one database root (`projects/P/databases/D`) to another; references into `references` point into the destination
    afterwards (empty: all stay)."""

    source: str
    destination: str
    references: str = ""

    def rename(self, document: Any) -> Any:
        """`document`, changed in place."""
        document.name = self.destination + document.name[len(self.source) :]
        if self.references and f"{self.references}/documents/".encode() in document.SerializeToString():
            self._values(document.fields.values())
        document.ClearField("create_time")
        document.ClearField("update_time")
        return document

    def _values(self, values: Iterable[Any]) -> None:
        for value in values:
            kind = value.WhichOneof("value_type")
            if kind == "reference_value" and value.reference_value.startswith(f"{self.references}/documents/"):
                value.reference_value = self.destination + value.reference_value[len(self.references) :]
            elif kind == "map_value":
                self._values(value.map_value.fields.values())
            elif kind == "array_value":
                self._values(value.array_value.values)


class Emulator:
    """At `address` (host:port)."""

    def __init__(self, address: str) -> None:
        self._http = f"http://{address}/emulator/v1"
        channel = self._channel = grpc.insecure_channel(address, options=UNLIMITED)
        self._run_query = channel.unary_stream(
            f"{_FIRESTORE}RunQuery",
            request_serializer=_Query.SerializeToString,
            response_deserializer=_Answer.FromString,
        )
        self._batch_write = channel.unary_unary(
            f"{_FIRESTORE}BatchWrite",
            request_serializer=_Batch.SerializeToString,
            response_deserializer=_Written.FromString,
        )

    def read(self, root: str, at_ns: int | None, collection: str = "") -> Iterator[Any]:
        """Every document below `root` at an instant (Unix nanoseconds; None: now), as messages; `collection`: of that group only."""
        query = _Query(parent=f"{root}/documents")
        query.structured_query.SetInParent()
        query.structured_query.from_.add(all_descendants=True, collection_id=collection)
        if at_ns is not None:
            query.read_time.seconds, query.read_time.nanos = divmod(at_ns, 10**9)
        for answer in self._run_query(query, metadata=_metadata(root), timeout=TIMEOUT_S):
            if answer.HasField("document"):
                yield answer.document

    def write(self, root: str, documents: Iterable[Any], advanced: Callable[[int, int], None]) -> None:
        """Write them all; `advanced(documents, bytes)` after each batch."""
        waiting: deque[tuple[Any, int, int]] = deque()
        source = iter(documents)
        while batch := list(islice(source, BATCH)):
            request = _Batch(database=root)
            for document in batch:
                request.writes.add().update.CopyFrom(document)
            size = request.ByteSize()
            call = self._batch_write.future(request, metadata=_metadata(root), timeout=TIMEOUT_S)
            waiting.append((call, len(batch), size))
            if len(waiting) >= IN_FLIGHT:
                _settle(waiting, advanced)
        while waiting:
            _settle(waiting, advanced)

    def count(self, root: str, at_ns: int | None) -> int:
        """Documents at an instant."""
        request = types.RunAggregationQueryRequest.pb()(parent=f"{root}/documents")
        aggregation = request.structured_aggregation_query
        aggregation.structured_query.from_.add(all_descendants=True)
        aggregation.aggregations.add(alias="n").count.SetInParent()
        if at_ns is not None:
            request.read_time.seconds, request.read_time.nanos = divmod(at_ns, 10**9)
        return sum(answer.result.aggregate_fields["n"].integer_value for answer in self._aggregate(root, request))

    def _aggregate(self, root: str, request: Any) -> Iterator[Any]:
        call = self._aggregation()
        yield from call(request, metadata=_metadata(root), timeout=TIMEOUT_S)

    def _aggregation(self) -> Any:
        return self._channel.unary_stream(
            f"{_FIRESTORE}RunAggregationQuery",
            request_serializer=types.RunAggregationQueryRequest.pb().SerializeToString,
            response_deserializer=types.RunAggregationQueryResponse.pb().FromString,
        )

    def export(self, root: str, directory: Path, name: str) -> None:
        """Its genuine export of `root` as it is now, into `directory`/`name`."""
        body = {"database": root, "export_directory": str(directory), "export_name": name}
        self._post(root, "export", body)

    def load(self, root: str, metadata: Path) -> None:
        """Its genuine import of a `*.overall_export_metadata` whose keys carry `root`."""
        self._post(root, "import", {"database": root, "export_directory": str(metadata)})

    def clear(self, root: str) -> None:
        """Delete all documents below `root`."""
        answer = requests.delete(f"{self._http}/{root}/documents", headers=_OWNER, timeout=TIMEOUT_S)
        _check(answer, f"clearing {root}")

    def _post(self, root: str, verb: str, body: dict[str, str]) -> None:
        project = root.split("/databases/")[0]
        answer = requests.post(f"{self._http}/{project}:{verb}", json=body, headers=_OWNER, timeout=TIMEOUT_S)
        _check(answer, f"{verb} of {root}")


_OWNER = {"Authorization": "Bearer owner"}


def _metadata(root: str) -> list[tuple[str, str]]:
    return [("authorization", "Bearer owner"), ("google-cloud-resource-prefix", root)]


def _settle(waiting: deque[tuple[Any, int, int]], advanced: Callable[[int, int], None]) -> None:
    call, documents, size = waiting.popleft()
    failed = [status.message for status in call.result().status if status.code]
    if failed:
        raise EmulatorError(f"{len(failed)} writes were refused: {failed[0]}")
    advanced(documents, size)


def _check(answer: requests.Response, what: str) -> None:
    if answer.status_code != 200:
        raise EmulatorError(f"{what}: {answer.status_code} {answer.text[:300]}")
