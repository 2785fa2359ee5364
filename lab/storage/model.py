"""What is stored: buckets, object generations, resumable sessions. Frozen; a change is a new value."""

import datetime as dt
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

Json = Mapping[str, object]
MICROSECONDS = 1_000_000


class State(StrEnum):
    """Where a generation is in its life."""

    LIVE = "live"
    NONCURRENT = "noncurrent"
    SOFT_DELETED = "soft"


@dataclass(frozen=True, slots=True)
class Bucket:
    """Times are Unix microseconds; `settings` are the writable parts of the resource, in its JSON form."""

    name: str
    project: str
    metageneration: int
    created_us: int
    updated_us: int
    settings: Json

    def section(self, key: str) -> Json:
        """A nested part of the settings, {} when absent."""
        value = self.settings.get(key)
        return value if isinstance(value, Mapping) else {}

    @property
    def versioned(self) -> bool:
        """Whether a replaced or deleted object becomes noncurrent."""
        return self.section("versioning").get("enabled") is True

    @property
    def object_retention(self) -> bool:
        """Whether objects may carry a retention of their own."""
        return self.section("objectRetention").get("mode") == "Enabled"

    @property
    def retention_s(self) -> int:
        """The bucket's retention period in seconds, 0 without one."""
        return integer(self.section("retentionPolicy"), "retentionPeriod")

    @property
    def soft_delete_s(self) -> int:
        """How long a deleted object can be brought back, in seconds."""
        return integer(self.section("softDeletePolicy"), "retentionDurationSeconds")


@dataclass(frozen=True, slots=True)
class Content:
    """Durable bytes: `payload` names them; `inline` holds them until they are in the index. Checksums are base64."""

    payload: str
    size: int
    crc32c: str
    md5: str
    inline: bytes | None = None


@dataclass(frozen=True, slots=True)
class Object:
    """One generation. Times are Unix microseconds, 0 when it has not happened."""

    bucket: str
    name: str
    generation: int
    state: State
    payload: str
    size: int
    crc32c: str
    md5: str
    metageneration: int
    created_us: int
    updated_us: int
    settings: Json
    components: int = 0
    deleted_us: int = 0
    soft_deleted_us: int = 0
    hard_delete_us: int = 0

    @property
    def retention(self) -> Json:
        """`{"mode", "retainUntilTime"}` or {}."""
        value = self.settings.get("retention")
        return value if isinstance(value, Mapping) else {}

    @property
    def retain_until_us(self) -> int:
        """End of the object's own retention, 0 without one."""
        return microseconds(str(self.retention["retainUntilTime"])) if self.retention else 0


@dataclass(frozen=True, slots=True)
class Session:
    """A resumable upload. `received` bytes are durable; `generation` is set once it is committed."""

    id: str
    bucket: str
    name: str
    identity: str
    query: str
    settings: Json
    received: int = 0
    generation: int = 0


def integer(section: Json, key: str) -> int:
    """An int64 of the JSON API, which may come as a string; 0 when absent."""
    value = section.get(key)
    return int(value) if isinstance(value, (str, int)) and str(value) else 0


def rfc3339(us: int) -> str:
    """`2025-05-28T10:00:00.123Z`; microseconds only where milliseconds would lose them."""
    moment, rest = _second(us // MICROSECONDS), us % MICROSECONDS
    return f"{moment}.{rest:06d}Z" if rest % 1000 else f"{moment}.{rest // 1000:03d}Z"


@functools.lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    """Every resource states the same few seconds several times."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")


def microseconds(text: str) -> int:
    """Unix microseconds of an RFC 3339 instant; ValueError when it is none or has no offset."""
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset")
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
