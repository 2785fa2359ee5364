"""The one loop that executes, retries and records steps. Captures and restores differ only in their recipes."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from dr.errors import FENCED, TIMED_OUT, DrError
from dr.model.runs import Stamp, StepOutcome
from dr.plan.predict import rounded
from dr.ports import Clock, Json, Listener, Progress, Step
from dr.record.hold import Hold

SLICE_S = 1.0
"""How soon a pause notices that it should end."""


class Parked(Exception):
    """Asked to stop: what is journalled stays, the next run continues the attempt."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step is tried again after a temporary error, and the pauses (seconds, doubling, jittered)."""

    attempts: int = 7
    # about a minute of pauses in all: quotas of Google's admin APIs are per minute
    first_s: float = 1.0
    longest_s: float = 30.0

    def pause(self, failures: int) -> float:
        return min(self.longest_s, self.first_s * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)


def silent(_event: Progress) -> None:
    """A listener for those who want none."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


@dataclass(frozen=True, slots=True)
class Context:
    """What a step sees (ports.StepContext). `prefix` keeps the items of one restore apart."""

    hold: Hold
    clock: Clock
    listener: Listener
    prefix: str
    step: str
    began: Stamp
    patience: timedelta | None = None
    hurry: Callable[[], bool] = never

    @property
    def attempt(self) -> int:
        return self.hold.attempt

    def outcome(self, step: str) -> Json:
        return self.hold.outcomes[self.prefix + step].data

    def progress(self, done: float, total: float | None, unit: str) -> None:
        if self.hold.interrupted or self.hurry():
            raise Parked(f"interrupted in {self.step}")
        self.hold.require_unfenced()
        self.hold.moved(self.prefix + self.step, (done, total, unit))
        self._require_movement()
        self.hold.renew_if_due()
        elapsed = timedelta(seconds=self.clock.stamp().seconds_since(self.began))
        self.listener(Progress(self.hold.unit, self.prefix + self.step, "advanced", done, total, unit, elapsed))

    def _require_movement(self) -> None:
        """Raises DrError TIMED_OUT when nothing has moved for too long: the next attempt begins under new names."""
        if self.patience is not None and self.hold.idle_s() > self.patience.total_seconds():
            raise DrError(TIMED_OUT, f"{self.step} of {self.hold.unit} made no progress for {rounded(self.patience)}")


@dataclass(frozen=True, slots=True)
class Engine:
    """`renew_every`: a helper thread renews the claim while a step blocks; None leaves it to `progress` alone.

    `patience`: work that has not moved for so long is stuck. A step that tells its progress then fails; one that is silent is
    no longer kept alive, so that its claim runs out and another run takes over. `hurry`: park inside steps too, wherever
    they tell progress.
    """

    clock: Clock
    listener: Listener = silent
    retry: Retry = field(default_factory=Retry)
    renew_every: timedelta | None = timedelta(seconds=20)
    patience: timedelta | None = None
    hurry: Callable[[], bool] = never

    def run(
        self,
        hold: Hold,
        steps: Sequence[Step],
        *,
        prefix: str = "",
        first: int = 1,
        stop: Callable[[], bool] = never,
    ) -> Mapping[str, Json]:
        """Outcomes by step name, of journalled steps as they were journalled. `first`: number of the first step in the
        journal.

        Raises the DrError of the step that failed, FENCED when the unit was lost, Parked when `stop` said so.
        """
        for index, step in enumerate(steps, start=first):
            self.one(hold, step, index, prefix=prefix, stop=stop)
        return {step.name: hold.outcomes[prefix + step.name].data for step in steps}

    def one(self, hold: Hold, step: Step, index: int, *, prefix: str = "", stop: Callable[[], bool] = never) -> None:
        """Run and journal one step, unless it is journalled already. Raises as `run`."""
        if prefix + step.name in hold.outcomes:
            return
        if stop() or hold.interrupted:
            raise Parked(f"stopped before {step.name}")
        self._journalled(hold, step, index, prefix, stop)

    def _journalled(self, hold: Hold, step: Step, index: int, prefix: str, stop: Callable[[], bool]) -> None:
        began = self.clock.stamp()
        context = Context(hold, self.clock, self.listener, prefix, step.name, began, self.patience, self.hurry)
        self._tell(context, "started")
        try:
            data = self._persist(step, context, stop)
            ended = self.clock.stamp()
            hold.journal(StepOutcome(prefix + step.name, index, hold.claim.epoch, began, ended, data))
        except BaseException:
            self._tell(context, "failed")
            raise
        self._tell(context, "done")

    def _persist(self, step: Step, context: Context, stop: Callable[[], bool]) -> Json:
        """Temporary errors are tried again; each step asks first whether its effect is there (I4)."""
        failures = 0
        while True:
            context.hold.moved(context.prefix + step.name, f"try {failures}")
            try:
                return step.run(context)
            except DrError as error:
                failures += 1
                if not error.temporary or failures >= self.retry.attempts:
                    raise
                self._pause(self.retry.pause(failures), context, stop)

    def _pause(self, seconds: float, context: Context, stop: Callable[[], bool]) -> None:
        """In slices, so that a stop need not wait for it."""
        while seconds > 0:
            if stop() or self.hurry() or context.hold.interrupted:
                raise Parked(f"stopped while {context.step} waited to be tried again")
            self.clock.sleep(min(seconds, SLICE_S))
            seconds -= SLICE_S
        context.hold.require_unfenced()

    def _tell(self, context: Context, state: str) -> None:
        elapsed = timedelta(seconds=self.clock.stamp().seconds_since(context.began))
        self.listener(Progress(context.hold.unit, context.prefix + context.step, state, elapsed=elapsed))

    @contextmanager
    def renewing(self, hold: Hold) -> Iterator[None]:
        """Keep the claim alive inside the block, also while a step says nothing for long."""
        if self.renew_every is None:
            yield
            return
        done = threading.Event()
        every = self.renew_every.total_seconds()
        limit = self.patience.total_seconds() if self.patience else float("inf")
        thread = threading.Thread(target=_renew, args=(hold, done, every, limit), name="renewer", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _renew(hold: Hold, done: threading.Event, every_s: float, limit_s: float) -> None:
    while not done.wait(every_s):
        try:
            if hold.idle_s() <= limit_s:
                hold.renew_if_due()
        except DrError as error:
            # the hold remembers that it is fenced; anything else may pass, and the commit asks the journal again
            if error.kind is FENCED:
                return
