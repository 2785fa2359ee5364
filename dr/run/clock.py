"""The clock at the edge: wall time, monotonic time, and which boot the latter belongs to."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from dr.model.runs import Stamp

_BOOT = Path("/proc/sys/kernel/random/boot_id")


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
