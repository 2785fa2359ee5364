"""What FirestoreAdmin answers, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dr.vendors.loading import preload


@dataclass(frozen=True, slots=True)
class Database:
    """One database. `earliest`: the oldest instant that can be read, exported or cloned."""

    id: str
    uid: str
    location: str
    created: datetime
    earliest: datetime | None
    history: bool
    """Point-in-time recovery is on."""
    protected: bool
    """Against deletion."""
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One long-running operation. Fields that its kind does not have are empty."""

    name: str
    kind: str
    """`ExportDocuments`, `ImportDocuments`, `CloneDatabase`..."""
    done: bool
    error: str = ""
    """Why it ended without a result; also when it was cancelled."""
    uri: str = ""
    """Where an export goes, or an import comes from."""
    snapshot: datetime | None = None
    source: str = ""
    """`projects/P/databases/D` that a clone copies."""
    documents: int = 0
    documents_total: int = 0
    size: int = 0
    """Bytes so far."""
    percent: int = 0


def read_database(found: Any) -> Database:
    """From a `Database` of the admin client."""
    earliest = _instant(found._pb.earliest_version_time)
    return Database(
        id=found.name.rpartition("/")[2],
        uid=found.uid,
        location=found.location_id,
        created=_instant(found._pb.create_time) or datetime.fromtimestamp(0, UTC),
        earliest=earliest,
        history=int(found.point_in_time_recovery_enablement) == 1,
        protected=int(found.delete_protection_state) == 2,
        etag=found.etag,
    )


def read_operation(found: Any) -> Operation:
    """From a `google.longrunning.Operation`. What ran but has neither result nor error yet is not done."""
    kind = found.metadata.type_url.rpartition(".")[2].removesuffix("Metadata")
    metadata = _metadata(kind, found.metadata.value)
    picture = getattr(metadata, "pitr_snapshot", None)
    documents, size = getattr(metadata, "progress_documents", None), getattr(metadata, "progress_bytes", None)
    percent = getattr(metadata, "progress_percentage", None)
    done = bool(found.done)
    return Operation(
        name=found.name,
        kind=kind,
        done=done,
        error=_error(found) if done else "",
        uri=_uri(kind, found, metadata),
        snapshot=_instant(getattr(picture or metadata, "snapshot_time", None)),
        source=getattr(picture, "database", ""),
        documents=getattr(documents, "completed_work", 0),
        documents_total=getattr(documents, "estimated_work", 0),
        size=getattr(size, "completed_work", 0),
        percent=getattr(percent, "completed_work", 0),
    )


def _metadata(kind: str, value: bytes) -> Any:
    preload("google.cloud.firestore_admin_v1")
    from google.cloud.firestore_admin_v1 import types

    message = getattr(types, f"{kind}Metadata", None)
    return message.pb(message.deserialize(value)) if message else None


def _error(found: Any) -> str:
    if not found.HasField("error"):
        return ""
    return found.error.message or f"status {found.error.code}"


def _uri(kind: str, found: Any, metadata: Any) -> str:
    """An export's response names what it really wrote to; until then its request's prefix."""
    if kind == "ExportDocuments" and found.HasField("response"):
        preload("google.cloud.firestore_admin_v1")
        from google.cloud.firestore_admin_v1 import types

        response = types.ExportDocumentsResponse.deserialize(found.response.value)
        if response.output_uri_prefix:
            return str(response.output_uri_prefix)
    return str(getattr(metadata, "output_uri_prefix", "") or getattr(metadata, "input_uri_prefix", ""))


def _instant(stamp: Any) -> datetime | None:
    """None for a stamp that was never set. Firestore keeps microseconds."""
    if stamp is None or not (stamp.seconds or stamp.nanos):
        return None
    return datetime.fromtimestamp(stamp.seconds, UTC).replace(microsecond=stamp.nanos // 1000)
