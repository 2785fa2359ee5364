"""The service's rules about time and load, in the lab's scale."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import grpc

from lab.grpcproxy import Refused

TOO_OLD = "The requested snapshot version is too old."
MAX_BACKUP_RETENTION_S = 14 * 7 * 86_400


@dataclass(frozen=True, slots=True)
class Scale:
    """Seconds. Production: a window of 7 days, granularity 60, recent 3,600, an id reserved for 300."""

    window: float = 240
    """How far back point-in-time recovery reaches; the emulator forgets after about 5 minutes."""
    granularity: float = 60
    recent: float = 60
    """Any microsecond can be read within it, only whole granules before it; all there is without point-in-time recovery."""
    reserve: float = 300
    """How long the id of a deleted database stays taken."""
    concurrent: int = 50
    per_minute: int = 20

    def whole(self, nanoseconds: int) -> bool:
        """Whether an instant (Unix nanoseconds) lies on the granularity."""
        return nanoseconds % int(self.granularity * 1e9) == 0


def check_snapshot(scale: Scale, what: str, nanoseconds: int, earliest: float) -> None:
    """A `snapshot_time` of an export or clone: whole granules, not in the future, not before `earliest` (Unix seconds)."""
    if not scale.whole(nanoseconds):
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"{what} must be a timestamp on a whole minute.")
    if nanoseconds / 1e9 > time.time():
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"{what} must not be in the future.")
    if nanoseconds / 1e9 < earliest:
        raise Refused(grpc.StatusCode.FAILED_PRECONDITION, TOO_OLD)


def check_read(scale: Scale, nanoseconds: int, earliest: float) -> None:
    """A `read_time` of a read: any microsecond within the recent window, whole granules before, never before `earliest`."""
    now = time.time()
    if nanoseconds % 1000:
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "read_time must have microsecond precision.")
    if nanoseconds / 1e9 > now:
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "read_time must not be in the future.")
    if nanoseconds / 1e9 < earliest:
        raise Refused(grpc.StatusCode.FAILED_PRECONDITION, TOO_OLD)
    if nanoseconds / 1e9 < now - scale.recent and not scale.whole(nanoseconds):
        text = "read_time must be a whole minute when it is older than one hour."
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, text)


@dataclass(slots=True)
class Rate:
    """Export and import requests of one project within a minute."""

    per_minute: int
    _taken: deque[float] = field(default_factory=deque)

    def take(self) -> None:
        """Count one request, or RESOURCE_EXHAUSTED."""
        now = time.monotonic()
        while self._taken and self._taken[0] < now - 60:
            self._taken.popleft()
        if len(self._taken) >= self.per_minute:
            text = f"Quota exceeded for quota metric 'Admin export and import requests' ({self.per_minute} per minute)."
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        self._taken.append(now)
