"""The service around the scheduler: what it tells, and its exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from dr.errors import DrError, Exit
from dr.model.ids import Slot
from dr.plan.due import DueSlot
from dr.run.runner import Captured, CaptureResult
from dr.run.scheduler import Reports, Scheduler


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """What the service asks and does; `capture` is told how to learn that it must stop."""

    due: Callable[[], Sequence[DueSlot]]
    capture: Callable[[Slot, Callable[[], bool]], CaptureResult]


class Service:
    """`dr run`. Logs are JSON lines on standard output, one for each capture that ended and each trouble."""

    def __init__(self, parts: ServiceParts, tick_s: float) -> None:
        self._parts = parts
        self._log = structlog.wrap_logger(
            structlog.PrintLogger(),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(),
            ],
        )
        self._scheduler = Scheduler(
            due=self._due,
            capture=lambda slot: parts.capture(slot, self._scheduler.stopping),
            reports=Reports(finished=self._finished, trouble=self._trouble),
            every=timedelta(seconds=tick_s),
        )

    def stop(self) -> None:
        """Safe in a signal handler."""
        self._scheduler.stop()

    def run(self) -> int:
        """Until stopped; 0."""
        self._log.info("started")
        self._scheduler.run()
        self._log.info("stopped")
        return int(Exit.OK)

    def once(self) -> int:
        """What is due now, one after the other; 0, or 1 when a capture failed."""
        results = [self._parts.capture(slot, self._scheduler.stopping) for slot in self._due()]
        for result in results:
            self._finished(result)
        return int(Exit.OK if all(result.ok for result in results) else Exit.FAILED)

    def _due(self) -> list[Slot]:
        found = self._parts.due()
        for due in found:
            self._log.info("due", slot=due.slot.id, reasons=list(due.reasons))
        return [due.slot for due in found]

    def _finished(self, result: CaptureResult) -> None:
        fields: dict[str, object] = {"slot": result.slot.id, "seconds": round(result.seconds, 3)}
        if result.point:
            fields |= {"point": result.point.name, "as_of": result.point.as_of.isoformat(), "bytes": result.point.size}
        if result.error:
            fields |= {"error": result.error.message, "code": result.error.kind.code}
        level = self._log.error if result.captured is Captured.FAILED else self._log.info
        level(str(result.captured), **fields)

    def _trouble(self, error: DrError) -> None:
        self._log.error("cannot decide what is due", error=error.message, code=error.kind.code)
