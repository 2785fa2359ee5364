"""Follows the subscription for as long as it is asked to, session after session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dr.changelog import LogReader, catch_up_by_other
from dr.components.audit.access import PubsubApi, PubsubOptions
from dr.components.audit.intake import Intake
from dr.errors import FENCED, TIMED_OUT, DrError
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant
from dr.ports import Clock, Notice, ObjectStore

PAUSES_S = (0.5, 2.0, 5.0, 15.0)
"""Before a session after a temporary failure; the last one again and again."""
PATIENCE = timedelta(seconds=60)
"""So long a one-shot run waits for a Pub/Sub that does not answer."""


def _unheard(_notice: Notice) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class AuditFollower:
    """`ports.Follower` of kind `pubsub`."""

    spec: SourceSpec
    api: PubsubApi
    clock: Clock
    pauses_s: tuple[float, ...] = field(default=PAUSES_S)

    def follow(self, vault: ObjectStore, stop: Callable[[], bool], notice: Callable[[Notice], None]) -> None:
        failures = 0
        while not stop():
            try:
                with self._intake(vault, notice) as intake:
                    while not stop():
                        intake.step()
                        failures = 0
            except DrError as error:
                if not error.temporary:
                    raise
                notice(Notice(self.spec.id, "reconnected", detail=error.message))
                self._pause(self.pauses_s[min(failures, len(self.pauses_s) - 1)], stop)
                failures += 1

    def _pause(self, seconds: float, stop: Callable[[], bool]) -> None:
        until = self.clock.now() + timedelta(seconds=seconds)
        while not stop() and self.clock.now() < until:
            self.clock.sleep(min(0.2, seconds))

    def catch_up(self, vault: ObjectStore, stop: Callable[[], bool]) -> datetime:
        """Raises DrError TIMED_OUT when it was stopped before it was done."""
        began = self.clock.now()
        heartbeat = PubsubOptions.of(self.spec).heartbeat
        while not stop():
            reader = LogReader(vault, self.spec.id)
            watermark = catch_up_by_other(reader, began, self.clock, heartbeat=heartbeat, stop=stop)
            if watermark is None and not stop():
                watermark = self._drain_unless_overtaken(vault, began, stop)
            if watermark is not None:
                return watermark
        raise DrError(TIMED_OUT, f"{self.spec.id} was not caught up with {format_instant(began)}: it was stopped")

    def _drain_unless_overtaken(self, vault: ObjectStore, began: datetime, stop: Callable[[], bool]) -> datetime | None:
        """None when a follower began to write in the meantime (a service that starts, say): what was taken and is not
        durable was not acknowledged, so that follower gets it."""
        try:
            return self._drain(vault, began, stop)
        except DrError as error:
            if error.kind is not FENCED:
                raise
            return None

    def _drain(self, vault: ObjectStore, began: datetime, stop: Callable[[], bool]) -> datetime | None:
        """Take what is there. Its end is a quiet while, and an answer of Pub/Sub after it."""
        with self._intake(vault, _unheard) as intake:
            while not stop():
                intake.step()
                if intake.failing and self.clock.now() - intake.failing[0] > PATIENCE:
                    raise intake.failing[1]
                if intake.caught_up and (intake.watermark is None or intake.watermark < began):
                    intake.probe()
                elif intake.caught_up:
                    return intake.watermark
        return None

    def _intake(self, vault: ObjectStore, notice: Callable[[Notice], None]) -> Intake:
        return Intake(self.api, PubsubOptions.of(self.spec), self.spec.id, self.clock, vault, notice)
