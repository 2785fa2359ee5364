"""What Eventarc would put on Pub/Sub: one CloudEvent for each acknowledged write, at least once, in no order, off the request's way."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
from google.cloud.firestore_v1 import types
from google.pubsub_v1 import types as pubsub

EVENT = "google.cloud.firestore.document.v1.written"
SCHEMA = "https://github.com/googleapis/google-cloudevents/blob/main/proto/google/events/cloud/firestore/v1/data.proto"
BATCH = 400
RETRY_S = 0.5
_Publish, _Get, _Found = (
    pubsub.PublishRequest.pb(),
    types.BatchGetDocumentsRequest.pb(),
    types.BatchGetDocumentsResponse.pb(),
)
_RESPONSES = {
    "Commit": types.CommitResponse.pb(),
    "BatchWrite": types.BatchWriteResponse.pb(),
    "Write": types.WriteResponse.pb(),
    "CreateDocument": types.Document.pb(),
    "UpdateDocument": types.Document.pb(),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One written document; `content` is a serialized Document, None when it must be read back, empty when it was deleted."""

    name: str
    at_ns: int
    content: bytes | None


def changes(method: str, request: Any, response: bytes) -> Iterator[Change]:
    """The changes that a response acknowledges."""
    if method == "DeleteDocument":
        yield Change(request.name, int(datetime.now(UTC).timestamp() * 1e6) * 1000, b"")
        return
    answer = _RESPONSES[method].FromString(response)
    if method in ("CreateDocument", "UpdateDocument"):
        yield Change(answer.name, _ns(answer.update_time), answer.SerializeToString())
        return
    for index, (write, result) in enumerate(zip(request.writes, answer.write_results, strict=False)):
        if method == "BatchWrite" and index < len(answer.status) and answer.status[index].code:
            continue
        stamp = answer.commit_time if method == "Commit" else result.update_time
        yield _change(write, stamp)


def _change(write: Any, stamp: Any) -> Change:
    if write.HasField("delete"):
        return Change(write.delete, _ns(stamp), b"")
    if write.HasField("transform"):
        return Change(write.transform.document, _ns(stamp), None)
    if write.HasField("update_mask") or write.update_transforms:
        return Change(write.update.name, _ns(stamp), None)
    write.update.update_time.CopyFrom(stamp)
    return Change(write.update.name, _ns(stamp), write.update.SerializeToString())


def _ns(stamp: Any) -> int:
    return int(stamp.seconds) * 10**9 + int(stamp.nanos)


@dataclass(slots=True)
class Publisher:
    """Publishes to `topic` (full name) over `channel`; reads documents back from `firestore` (the emulator)."""

    channel: Any
    firestore: Any
    topic: str
    location: str
    _queue: asyncio.Queue[Change] = field(default_factory=asyncio.Queue)

    def announce(self, method: str, request: Any, response: bytes) -> None:
        """From the request's way: only remember."""
        for change in changes(method, request, response):
            self._queue.put_nowait(change)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._deliver(batch)

    async def _deliver(self, batch: Sequence[Change]) -> None:
        """Again and again until Pub/Sub has it: an event is never dropped."""
        publish = self.channel.unary_unary("/google.pubsub.v1.Publisher/Publish")
        while True:
            try:
                request = _Publish(topic=self.topic)
                for change in batch:
                    content = change.content if change.content is not None else await self._read_back(change)
                    request.messages.add(data=_event(content), attributes=_attributes(change, self.location))
                await publish(request.SerializeToString(), metadata=_OWNER)
                return
            except grpc.aio.AioRpcError:
                await asyncio.sleep(RETRY_S)

    async def _read_back(self, change: Change) -> bytes:
        """The document as it was at the commit."""
        root = change.name.partition("/documents/")[0]
        request = _Get(database=root, documents=[change.name])
        request.read_time.seconds, request.read_time.nanos = divmod(change.at_ns, 10**9)
        call = self.firestore.unary_stream("/google.firestore.v1.Firestore/BatchGetDocuments")
        metadata = (*_OWNER, ("google-cloud-resource-prefix", root))
        async for answer in call(request.SerializeToString(), metadata=metadata):
            message = _Found.FromString(answer)
            if message.HasField("found"):
                return bytes(message.found.SerializeToString())
        return b""


_OWNER = (("authorization", "Bearer owner"),)


def _event(content: bytes) -> bytes:
    """DocumentEventData: field 1 is the document after the write; absent when it was deleted."""
    return b"\x0a" + _varint(len(content)) + content if content else b""


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + _varint(value >> 7)


def _attributes(change: Change, location: str) -> dict[str, str]:
    root, _, document = change.name.partition("/documents/")
    _, project, _, database = root.split("/")
    return {
        "content-type": "application/protobuf",
        "ce-id": str(uuid.uuid4()),
        "ce-source": f"//firestore.googleapis.com/{root}",
        "ce-specversion": "1.0",
        "ce-type": EVENT,
        "ce-subject": f"documents/{document}",
        "ce-time": datetime.fromtimestamp(change.at_ns / 1e9, UTC).isoformat().replace("+00:00", "Z"),
        "ce-dataschema": SCHEMA,
        "ce-project": project,
        "ce-database": database,
        "ce-namespace": "(default)",
        "ce-document": document,
        "ce-location": location,
    }
