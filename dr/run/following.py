"""Followers of continuous sources, each in a thread of its own, begun again after a failure for as long as this replica leads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dr.errors import DrError
from dr.model.ids import SourceId
from dr.ports import Notice
from dr.run.clock import boottime
from dr.run.engine import Retry

Stop = Callable[[], bool]
Follow = Callable[[Stop, Callable[[Notice], None]], None]
"""Follows one source until told to stop (`ports.Follower.follow` over its vault)."""
LOOK_S = 0.1
HEALTHY_S = 60.0
"""Who followed for so long starts anew with the shortest pause."""
PAUSES = Retry(attempts=1, first_s=1.0, longest_s=60.0)


@dataclass(frozen=True, slots=True)
class FollowReports:
    """Where followers tell what they do, from their threads."""

    notice: Callable[[Notice], None]
    failed: Callable[[SourceId, BaseException, float], None]
    """(source, why, seconds until it begins again). Anything but a DrError is a bug: it is told, and the other rows go on."""


@dataclass(slots=True)
class Followers:
    """One term of leadership. `start` returns at once; `join` when all have ended, after `stop` became true."""

    follow: Mapping[SourceId, Follow]
    reports: FollowReports
    stop: Stop
    pauses: Retry = PAUSES
    elapsed: Callable[[], float] = boottime
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for source, follow in self.follow.items():
            thread = threading.Thread(
                target=self._keep, args=(source, follow), name=f"follow {source.slug}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def join(self) -> None:
        """What each had taken is durable then (`ports.Follower`)."""
        for thread in self._threads:
            thread.join()

    def _keep(self, source: SourceId, follow: Follow) -> None:
        failures = 0
        while not self.stop():
            began = self.elapsed()
            error = self._once(follow)
            if self.stop():
                if error is not None:
                    self.reports.failed(source, error, 0.0)
                return
            failures = 1 if self.elapsed() - began > HEALTHY_S else failures + 1
            pause = self.pauses.pause(failures)
            if error is not None:
                self.reports.failed(source, error, pause)
            self._wait(pause)

    def _once(self, follow: Follow) -> BaseException | None:
        """FENCED too: whoever still leads opens the log anew, behind what the other wrote."""
        try:
            follow(self.stop, self.reports.notice)
        except DrError as error:
            return error
        except Exception as bug:  # noqa: BLE001 a bug in one row must not end the capture of the others
            return bug
        return None

    def _wait(self, seconds: float) -> None:
        until = self.elapsed() + seconds
        while self.elapsed() < until and not self.stop():
            time.sleep(min(LOOK_S, seconds))
