"""`dr run`: asks again and again what is due, and starts it. What is due is decided by a pure planner over the journal, which is
the truth. APScheduler is the clock; the time since boot, which nobody sets, watches over it (docs/adr/0009)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from queue import Empty, SimpleQueue

from apscheduler.schedulers.background import BackgroundScheduler

from dr.errors import DrError
from dr.model.ids import SourceId
from dr.plan.due import Agenda, DueSlot, startable
from dr.run.clock import boottime
from dr.run.runner import CaptureResult

LOOK_S = 0.1
"""How soon a stop is noticed."""
PATIENCE = 1.5
"""Intervals by the time since boot without a ring: then the wall clock, which APScheduler goes by, was set back."""
WORKERS = 4


@dataclass(frozen=True, slots=True)
class Reports:
    """Where a scheduler tells what it did, from its own thread."""

    started: Callable[[DueSlot], None]
    finished: Callable[[CaptureResult], None]
    trouble: Callable[[DrError], None]
    """Nothing could be decided this time (the journal did not answer); the next tick asks again."""
    looked: Callable[[Agenda], None] = lambda _agenda: None


@dataclass(frozen=True, slots=True)
class _Running:
    due: DueSlot
    since: float


@dataclass(frozen=True, slots=True)
class _Ended:
    running: _Running
    result: CaptureResult | None
    bug: BaseException | None = None


def in_thread(work: Callable[[], None], name: str) -> None:
    """A daemon: what hangs for good must not keep a stopped service from ending."""
    threading.Thread(target=work, name=name, daemon=True).start()


@contextmanager
def ringing(ring: Callable[[], None], every: timedelta) -> Iterator[None]:
    """APScheduler calls `ring` at every interval, late rather than twice."""
    clock = BackgroundScheduler(timezone="UTC", logger=_quiet())
    clock.add_job(
        ring, "interval", seconds=every.total_seconds(), max_instances=1, coalesce=True, misfire_grace_time=None
    )
    clock.start()
    try:
        yield
    finally:
        clock.shutdown(wait=False)


def _quiet() -> logging.Logger:
    """The service tells in its own words what it does."""
    logger = logging.getLogger("dr.clock")
    logger.setLevel(logging.CRITICAL)
    return logger


@dataclass(slots=True)
class Scheduler:
    """Looks at `agenda` every `every`, and at once when a capture has ended; runs at most `workers`, never two of one source.

    `capture` runs one slot to its end. All state is the loop's own: other threads only put into the queue. `start` is how
    work is started, `elapsed` the seconds that pass: a test or a simulation brings its own and calls `step`.
    """

    agenda: Callable[[], Agenda]
    capture: Callable[[DueSlot], CaptureResult]
    reports: Reports
    every: timedelta = timedelta(seconds=15)
    workers: int = WORKERS
    start: Callable[[Callable[[], None], str], None] = in_thread
    elapsed: Callable[[], float] = boottime
    bugs: list[BaseException] = field(default_factory=list)
    _running: dict[SourceId, _Running] = field(default_factory=dict)
    _ended: SimpleQueue[_Ended] = field(default_factory=SimpleQueue)
    _next: float = 0.0
    _rung: bool = False
    _patience: float = 1.0
    _stopping: bool = False

    def stop(self) -> None:
        """Park: running captures stop after their current step. Safe to call from a signal handler: only a flag."""
        self._stopping = True

    def stopping(self) -> bool:
        """For the runner, which asks between steps."""
        return self._stopping

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Until `stop`, then until the running captures are parked. Raises what was a bug in one of them."""
        self._patience = PATIENCE
        try:
            with ringing(self._ring, self.every):
                while not self._stopping and not stop():
                    self.step()
                    time.sleep(min(LOOK_S, self.every.total_seconds()))
        finally:
            self._stopping = True
            while self._running:
                self._collect(wait_s=LOOK_S)
        if self.bugs:
            raise self.bugs[0]

    def _ring(self) -> None:
        """In APScheduler's thread: only a flag."""
        self._rung = True

    def step(self) -> None:
        """One turn of the loop: take in what ended; look, when it is time."""
        if self._collect() or self._rung or self.elapsed() >= self._next:
            self._rung, self._next = False, self.elapsed() + self._patience * self.every.total_seconds()
            self._tick()

    def _tick(self) -> None:
        try:
            found = self.agenda()
        except DrError as error:
            self.reports.trouble(error)
            return
        self.reports.looked(found)
        self._forget_stuck(found)
        for due in startable(found, self._running, self.workers):
            self._begin(due)

    def _forget_stuck(self, found: Agenda) -> None:
        """A source that is due although a capture of it has been running for longer than two leases: the journal knows of
        no living claim, so that capture is stuck for good, or fenced. It no longer counts; its end is heard all the same."""
        for due in found.due:
            running = self._running.get(due.slot.source)
            if running and self.elapsed() - running.since > 2 * due.schedule.lease.total_seconds():
                del self._running[due.slot.source]

    def _begin(self, due: DueSlot) -> None:
        running = _Running(due, self.elapsed())
        self._running[due.slot.source] = running
        self.reports.started(due)
        self.start(lambda: self._work(running), f"capture {due.slot.source.slug}")

    def _work(self, running: _Running) -> None:
        try:
            self._ended.put(_Ended(running, self.capture(running.due)))
        except BaseException as bug:  # noqa: BLE001 `run` raises it, once the others are parked
            self._ended.put(_Ended(running, None, bug))

    def _collect(self, wait_s: float = 0.0) -> bool:
        """Take in what has ended; whether a look is worth it at once: after a failure the next tick is soon enough."""
        good = False
        while True:
            try:
                ended = self._ended.get(timeout=wait_s) if wait_s else self._ended.get_nowait()
            except Empty:
                return good
            good |= self._take(ended)

    def _take(self, ended: _Ended) -> bool:
        source = ended.running.due.slot.source
        if self._running.get(source) is ended.running:
            del self._running[source]
        if ended.bug is not None:
            self.bugs.append(ended.bug)
            self._stopping = True
            return False
        assert ended.result is not None
        self.reports.finished(ended.result)
        return ended.result.ok
