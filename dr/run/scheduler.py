"""`dr run`: APScheduler is only the clock. What is due is asked of a pure planner over the journal, which is the truth."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from apscheduler.schedulers.background import BackgroundScheduler

from dr.errors import DrError
from dr.model.ids import Slot, SourceId
from dr.run.runner import CaptureResult

LOOK_S = 0.1
"""How soon a stop is noticed."""


@dataclass(frozen=True, slots=True)
class Reports:
    """Where a scheduler tells what it did. Called from its threads."""

    finished: Callable[[CaptureResult], None]
    trouble: Callable[[DrError], None]
    """Nothing could be decided this time (the journal did not answer); the next tick asks again."""


@dataclass(slots=True)
class Scheduler:
    """Asks `due` every `every`, and at once when a capture has ended; runs at most `workers` captures, never two of one source.

    `due` gives the slots to run now, most urgent first, from the journal's facts. `capture` runs one.
    """

    due: Callable[[], Sequence[Slot]]
    capture: Callable[[Slot], CaptureResult]
    reports: Reports
    every: timedelta = timedelta(seconds=15)
    workers: int = 4
    _stopping: bool = False
    _tick: threading.Lock = field(default_factory=threading.Lock)
    _running: dict[SourceId, Future[CaptureResult]] = field(default_factory=dict)
    _bugs: list[BaseException] = field(default_factory=list)

    def stop(self) -> None:
        """Park: running captures stop after their current step. Safe to call from a signal handler."""
        # only a flag: an Event has a lock, which the interrupted thread may hold at this very moment
        self._stopping = True

    def stopping(self) -> bool:
        """For the runner, which asks between steps."""
        return self._stopping

    def run(self) -> None:
        """Until `stop`, then until the running captures are parked. Raises what was a bug in one of them."""
        clock = BackgroundScheduler(timezone="UTC")
        with ThreadPoolExecutor(self.workers, thread_name_prefix="capture") as pool:
            clock.add_job(
                self._ask, "interval", (pool,), seconds=self.every.total_seconds(), max_instances=1, coalesce=True
            )
            clock.start()
            try:
                self._ask(pool)
                while not self._stopping:
                    time.sleep(LOOK_S)
            finally:
                self._stopping = True
                clock.shutdown(wait=True)
                with self._tick:
                    # whoever asks after this sees the stop, so nothing is submitted to a closed pool
                    pass
        if self._bugs:
            raise self._bugs[0]

    def _ask(self, pool: ThreadPoolExecutor) -> None:
        """One tick: start what is due and does not run yet."""
        with self._tick:
            if self._stopping:
                return
            try:
                slots = self.due()
            except DrError as error:
                self.reports.trouble(error)
                return
            for slot in slots:
                if slot.source not in self._running and len(self._running) < self.workers:
                    self._start(pool, slot)

    def _start(self, pool: ThreadPoolExecutor, slot: Slot) -> None:
        future = pool.submit(self.capture, slot)
        self._running[slot.source] = future
        future.add_done_callback(lambda done: self._ended(pool, slot, done))

    def _ended(self, pool: ThreadPoolExecutor, slot: Slot, done: Future[CaptureResult]) -> None:
        good = False
        try:
            result = done.result()
            good = result.ok
            self.reports.finished(result)
        except BaseException as error:
            self._bugs.append(error)
            self._stopping = True
            raise
        finally:
            threading.Thread(target=self._free, args=(pool, slot, good), name="tick", daemon=True).start()

    def _free(self, pool: ThreadPoolExecutor, slot: Slot, ask_again: bool) -> None:
        """In a thread of its own: the tick may be held by who started this capture. After a failure the clock's next
        tick is soon enough."""
        with self._tick:
            self._running.pop(slot.source, None)
        if ask_again:
            self._ask(pool)
