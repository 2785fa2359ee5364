"""The service: while it leads, it follows the continuous sources and captures the others when they are due. What it tells, and its
exit code."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dr.errors import DrError, Exit
from dr.model.ids import SourceId
from dr.model.timeline import format_instant
from dr.plan.due import Agenda, DueSlot
from dr.ports import Leader, Notice, Observer
from dr.run.clock import boottime
from dr.run.following import Follow, Followers, FollowReports
from dr.run.leading import Alone
from dr.run.logs import json_log
from dr.run.runner import Captured, CaptureResult
from dr.run.scheduler import Reports, Scheduler

GRACE_S = 20.0
"""After a stop a step may finish for so long; then it parks wherever it tells progress."""


class Unobserved:
    """An observer for those who want none."""

    def looked(self, now: datetime) -> None: ...

    def captured(self, source: SourceId, result: str, seconds: float, code: str) -> None: ...

    def noticed(self, notice: Notice) -> None: ...

    def led(self, leading: bool) -> None: ...

    def troubled(self, code: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Brake:
    """How a capture learns that it must end: `stop` before the next step, `hurry` inside this one."""

    stop: Callable[[], bool]
    hurry: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """What the service asks and does."""

    agenda: Callable[[], Agenda]
    capture: Callable[[DueSlot, Brake], CaptureResult]
    follow: Mapping[SourceId, Follow] = field(default_factory=dict)
    leader: Leader = field(default_factory=Alone)
    observer: Observer = field(default_factory=Unobserved)


class Service:
    """`dr run`. Logs are JSON lines on standard output: each capture that ended, each change of trouble, each term."""

    def __init__(self, parts: ServiceParts, tick_s: float, elapsed: Callable[[], float] = boottime) -> None:
        self._parts = parts
        self._every = timedelta(seconds=tick_s)
        self._elapsed = elapsed
        self._asked = 0
        self._asked_at = 0.0
        self._trouble = ""
        self._log = json_log()

    # --- stopping

    def stop(self) -> None:
        """Safe in a signal handler. Twice: sooner."""
        # only plain values: an Event has a lock, which the interrupted thread may hold at this very moment
        self._asked += 1
        self._asked_at = self._asked_at or self._elapsed()

    def stopping(self) -> bool:
        return self._asked > 0

    def hurried(self) -> bool:
        """Asked twice, or long enough ago; or another replica may lead already."""
        waited = self._asked > 0 and self._elapsed() - self._asked_at > GRACE_S
        return self._asked > 1 or waited or not self._parts.leader.leads()

    def _must_end(self) -> bool:
        return self.stopping() or not self._parts.leader.leads()

    # --- running

    def run(self) -> int:
        """Until stopped; 0. Raises what was a bug in a capture."""
        self._log.info("started")
        try:
            while not self.stopping():
                self._parts.leader.hold(self.stopping)
                if not self.stopping():
                    self._term()
        finally:
            self._parts.leader.release()
        self._log.info("stopped")
        return int(Exit.OK)

    def _term(self) -> None:
        """From taking the lead to losing it or being stopped: then everything is parked."""
        self._told_leading(True)
        halted: list[bool] = []
        followers = Followers(
            self._parts.follow, FollowReports(self._noticed, self._unfollowed), lambda: bool(halted) or self._must_end()
        )
        followers.start()
        try:
            self._scheduler().run(self._must_end)
        finally:
            halted.append(True)
            followers.join()
            self._told_leading(False)

    def _scheduler(self) -> Scheduler:
        def stop() -> bool:
            return scheduler.stopping() or self._must_end()

        brake = Brake(stop, self.hurried)
        scheduler = Scheduler(
            agenda=self._parts.agenda,
            capture=lambda due: self._parts.capture(due, brake),
            reports=Reports(self._started, self._finished, self._troubled, self._looked),
            every=self._every,
            elapsed=self._elapsed,
        )
        return scheduler

    def once(self) -> int:
        """What is due now, one after the other; 0, or 1 when a capture failed. Leaves the lead to whoever has it."""
        agenda = self._parts.agenda()
        brake = Brake(self.stopping, self.hurried)
        results = []
        for due in agenda.due:
            self._started(due)
            results.append(self._parts.capture(due, brake))
            self._finished(results[-1])
        return int(Exit.OK if all(result.ok for result in results) else Exit.FAILED)

    # --- telling

    def _told_leading(self, leading: bool) -> None:
        self._parts.observer.led(leading)
        self._log.info("leading" if leading else "parked", stopping=self.stopping())

    def cannot_lead(self, error: DrError) -> None:
        """The Lease does not answer, or may not be had."""
        self._parts.observer.troubled(error.kind.code)
        self._log.error("cannot reach the Lease", error=error.message, code=error.kind.code)

    def _looked(self, agenda: Agenda) -> None:
        self._parts.observer.looked(agenda.now)
        if self._trouble:
            self._log.info("decides again what is due")
            self._trouble = ""

    def _troubled(self, error: DrError) -> None:
        """Each trouble once: an outage of a day is not told six thousand times."""
        self._parts.observer.troubled(error.kind.code)
        if error.message != self._trouble:
            self._trouble = error.message
            self._log.error("cannot decide what is due", error=error.message, code=error.kind.code)

    def _started(self, due: DueSlot) -> None:
        by = format_instant(due.start_by) if due.start_by else None
        self._log.info("due", slot=due.slot.id, start_by=by, reasons=list(due.reasons))

    def _finished(self, result: CaptureResult) -> None:
        fields: dict[str, object] = {"slot": result.slot.id, "seconds": round(result.seconds, 3)}
        if result.point:
            fields |= {"point": result.point.name, "as_of": result.point.as_of.isoformat(), "bytes": result.point.size}
        if result.error:
            fields |= {"error": result.error.message, "code": result.error.kind.code}
        level = self._log.error if result.captured is Captured.FAILED else self._log.info
        level(str(result.captured), **fields)
        code = result.error.kind.code if result.error else ""
        self._parts.observer.captured(result.slot.source, str(result.captured), result.seconds, code)

    def _noticed(self, notice: Notice) -> None:
        self._parts.observer.noticed(notice)
        if notice.kind != "durable":  # the daily bread: metrics count it
            self._log.info(notice.kind, source=str(notice.source), count=notice.count, detail=notice.detail)

    def _unfollowed(self, source: SourceId, error: BaseException, pause_s: float) -> None:
        code = error.kind.code if isinstance(error, DrError) else "internal"
        self._parts.observer.troubled(code)
        fields: dict[str, object] = {"source": str(source), "code": code, "again_in_s": round(pause_s, 1)}
        if not isinstance(error, DrError):
            fields["traceback"] = "".join(traceback.format_exception(error))
        self._log.error("following ended", error=str(error) or type(error).__name__, **fields)
