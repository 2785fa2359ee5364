"""The one loop that executes, retries and records steps. Captures and restores differ only in their recipes."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from dr.errors import FENCED, DrError
from dr.model.runs import Stamp, StepOutcome
from dr.ports import Clock, Json, Listener, Progress, Step
from dr.record.hold import Hold


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

    @property
    def attempt(self) -> int:
        return self.hold.attempt

    def outcome(self, step: str) -> Json:
        return self.hold.outcomes[self.prefix + step].data

    def progress(self, done: float, total: float | None, unit: str) -> None:
        if self.hold.interrupted:
            raise Parked(f"interrupted in {self.step}")
        self.hold.require_unfenced()
        self.hold.renew_if_due()
        elapsed = timedelta(seconds=self.clock.stamp().seconds_since(self.began))
        self.listener(Progress(self.hold.unit, self.prefix + self.step, "advanced", done, total, unit, elapsed))


@dataclass(frozen=True, slots=True)
class Engine:
    """`renew_every`: a helper thread renews the claim while a step blocks; None leaves it to `progress` alone."""

    clock: Clock
    listener: Listener = silent
    retry: Retry = field(default_factory=Retry)
    renew_every: timedelta | None = timedelta(seconds=20)

    def run(
        self,
        hold: Hold,
        steps: Sequence[Step],
        *,
        prefix: str = "",
        first: int = 1,
        stop: Callable[[], bool] = never,
        before: Callable[[Step], None] | None = None,
    ) -> Mapping[str, Json]:
        """Outcomes by step name, of journalled steps as they were journalled. `first`: number of the first step in the
        journal; `before` may wait for other work.

        Raises the DrError of the step that failed, FENCED when the unit was lost, Parked when `stop` said so.
        """
        for index, step in enumerate(steps, start=first):
            if prefix + step.name in hold.outcomes:
                continue
            if stop() or hold.interrupted:
                raise Parked(f"stopped before {step.name}")
            if before is not None:
                before(step)
            self._journalled(hold, step, index, prefix)
        return {step.name: hold.outcomes[prefix + step.name].data for step in steps}

    def _journalled(self, hold: Hold, step: Step, index: int, prefix: str) -> None:
        began = self.clock.stamp()
        context = Context(hold, self.clock, self.listener, prefix, step.name, began)
        self._tell(context, "started")
        try:
            data = self._persist(step, context)
            ended = self.clock.stamp()
            hold.journal(StepOutcome(prefix + step.name, index, hold.claim.epoch, began, ended, data))
        except BaseException:
            self._tell(context, "failed")
            raise
        self._tell(context, "done")

    def _persist(self, step: Step, context: Context) -> Json:
        """Temporary errors are tried again; each step asks first whether its effect is there (I4)."""
        failures = 0
        while True:
            try:
                return step.run(context)
            except DrError as error:
                failures += 1
                if not error.temporary or failures >= self.retry.attempts:
                    raise
                self.clock.sleep(self.retry.pause(failures))
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
        thread = threading.Thread(target=_renew, args=(hold, done, every), name="renewer", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _renew(hold: Hold, done: threading.Event, every_s: float) -> None:
    while not done.wait(every_s):
        try:
            hold.renew_if_due()
        except DrError as error:
            # the hold remembers that it is fenced; anything else may pass, and the commit asks the journal again
            if error.kind is FENCED:
                return
