"""The clock at the edge: wall time, monotonic time, and which boot the latter belongs to."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dr.model.runs import Stamp
from dr.ports import Clock

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SLACK = timedelta(seconds=5)
"""The store tells whole seconds, and the answer takes its time: a smaller difference is none."""


def boottime() -> float:
    """Seconds that nobody can set, and that pass while the process is stopped and while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SystemClock:
    """The machine's. Where the kernel gives no boot id, one for this process: monotonic times of two processes are
    then never compared."""

    def __init__(self) -> None:
        try:
            self._boot = _BOOT.read_text().strip()
        except OSError:
            self._boot = f"process-{uuid.uuid4()}"

    def now(self) -> datetime:
        return datetime.now(UTC)

    def stamp(self) -> Stamp:
        return Stamp(self.now(), time.monotonic(), self._boot)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SteadyClock:
    """A clock that setting the machine's clock does not move: it goes on by the time since boot, and only `correct` sets it.

    All replicas that follow the same store's clock name the same slots and judge the same claims, whatever their own say.
    """

    def __init__(self, inner: Clock, elapsed: Callable[[], float] = boottime) -> None:
        self._inner = inner
        self._elapsed = elapsed
        # one value, so that a reader in another thread sees both or neither
        self._anchor = (inner.now(), elapsed())

    def now(self) -> datetime:
        wall, at = self._anchor
        return wall + timedelta(seconds=self._elapsed() - at)

    def stamp(self) -> Stamp:
        stamp = self._inner.stamp()
        return Stamp(self.now(), stamp.monotonic, stamp.boot_id)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)

    def correct(self, told: datetime | None) -> timedelta:
        """Follow the store's clock, or where it has none the machine's; how far ours was ahead of it."""
        true, at = told or self._inner.now(), self._elapsed()
        ahead = self.now() - true
        if abs(ahead) > _SLACK:
            self._anchor = (true, at)
        return ahead
