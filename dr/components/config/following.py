"""The follower of one cluster's configuration (`ports.Follower`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.changelog import LogReader, catch_up_by_other
from dr.changelog.seal import Sealer
from dr.components.config.access import ConfigApi, ConfigOptions
from dr.components.config.session import Parts, Session
from dr.errors import FENCED, UNREACHABLE, DrError
from dr.model.strategy import SourceSpec
from dr.ports import Clock, Notice, ObjectStore

_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _TICK_S = 0.5, 30.0, 0.2
_SKEW = timedelta(minutes=1)
_CALM_S = 60.0
"""A session that lived so long begins with a short pause again."""


def silent(_notice: Notice) -> None:
    """A listener for those who want none."""


@dataclass(frozen=True, slots=True)
class ConfigFollower:
    """`sealer` None: no key is declared."""

    api: ConfigApi
    spec: SourceSpec
    clock: Clock
    sealer: Sealer | None

    def follow(self, vault: ObjectStore, stop: Callable[[], bool], notice: Callable[[Notice], None]) -> None:
        pause = _FIRST_PAUSE_S
        while not stop():
            began = time.monotonic()
            try:
                with Session(self._parts(vault, notice)) as session:
                    session.run(stop)
            except DrError as error:
                if not error.temporary:
                    raise
                notice(Notice(self.spec.id, "reconnected", detail=error.message))
                pause = _FIRST_PAUSE_S if time.monotonic() - began > _CALM_S else pause
                _wait(pause, stop)
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    def catch_up(self, vault: ObjectStore, stop: Callable[[], bool]) -> datetime:
        since = self.clock.now()
        while True:
            if (reached := self._by_other(vault, since, stop)) is not None:
                return reached
            if stop():
                raise DrError(UNREACHABLE, f"stopped before the log of {self.spec.id} was caught up")
            try:
                with Session(self._parts(vault, silent)) as session:
                    pass
            except DrError as error:
                if error.kind is not FENCED:
                    raise
                continue  # somebody lives after all: wait for them
            assert session.head.watermark is not None
            return session.head.watermark

    def _by_other(self, vault: ObjectStore, since: datetime, stop: Callable[[], bool]) -> datetime | None:
        """What a living follower reached; None at once when the log's newest object is older than three heartbeats, or when
        its watermark lies in our future: then some clock went back, and says nothing of what was captured."""
        reader, beat = LogReader(vault, self.spec.id), ConfigOptions.read(self.spec).heartbeat
        last = reader.last()
        ahead = last is not None and last.watermark is not None and last.watermark > since + _SKEW
        if last is None or ahead or since - last.stored.created > 3 * beat:
            return None
        return catch_up_by_other(reader, since, self.clock, heartbeat=beat, stop=stop)

    def _parts(self, vault: ObjectStore, notice: Callable[[Notice], None]) -> Parts:
        options = ConfigOptions.read(self.spec)
        return Parts(self.api, self.spec.id, options, vault, self.clock, self.sealer, notice)


def _wait(seconds: float, stop: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not stop() and time.monotonic() < end:
        time.sleep(_TICK_S)
