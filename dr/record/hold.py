"""A claim that is held: what its owner may write into the journal, and how it learns that it lost the unit."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta

from dr.errors import CONFLICT, FENCED, DrError
from dr.model.runs import Claim, RunEnd, RunState, Stamp, StepOutcome
from dr.ports import Clock, ObjectStore
from dr.record.codec import dump, encode
from dr.record.layout import UnitLayout


class Hold:
    """The right to work on one unit. Thread-safe: steps of a restore run in parallel under one hold."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        clock: Clock,
        layout: UnitLayout,
        claim: Claim,
        attempt: int,
        begun: datetime,
        lease: timedelta,
        past: Mapping[str, StepOutcome],
    ) -> None:
        self.claim = claim
        self.attempt = attempt
        self.begun = begun
        """When the attempt began, maybe in an earlier epoch."""
        self.outcomes: dict[str, StepOutcome] = dict(past)
        self.interrupted = False
        """Set when a person interrupts: steps park at their next sign of progress, for they can be run again."""
        self.advanced: Stamp = clock.stamp()
        """When the work last moved: a step began, ended, or told other figures than before."""
        self._store = store
        self._clock = clock
        self._layout = layout
        self._lease = lease
        self._expires = claim.expires
        self._fenced = False
        self._figures: dict[str, object] = {}
        self._lock = threading.Lock()
        self._renewing = threading.Lock()

    @property
    def unit(self) -> str:
        return self.claim.unit

    @property
    def lease(self) -> timedelta:
        return self._lease

    def moved(self, step: str, figures: object) -> None:
        """What a step tells of itself: other figures than before are movement."""
        with self._lock:
            if self._figures.get(step) != figures:
                self._figures[step] = figures
                self.advanced = self._clock.stamp()

    def idle_s(self) -> float:
        """Seconds since the work last moved."""
        return self._clock.stamp().seconds_since(self.advanced)

    def journal(self, outcome: StepOutcome) -> None:
        """A step is done, durably. Raises DrError FENCED when the unit was lost."""
        self.require_unfenced()
        name = self._layout.step(self.claim.epoch, outcome.index, outcome.step)
        self._store.put(name, encode(outcome))
        with self._lock:
            self.outcomes[outcome.step] = outcome
            self._expires = max(self._expires, outcome.ended.wall + self._lease)

    def end(self, state: RunState, message: str, *, error_code: str = "", point: str = "") -> None:
        """How this epoch ended. Somebody who took over may have written ABANDONED first: then that stands."""
        end = RunEnd(self.unit, self.claim.epoch, state, self._clock.stamp(), message, error_code, point)
        try:
            self._store.put(self._layout.end(self.claim.epoch), encode(end))
        except DrError as error:
            if error.kind is not CONFLICT:
                raise

    def renew_if_due(self) -> None:
        """Cheap to call often: writes a sign of life once a third of the lease is used up."""
        now = self._clock.now()
        if not self._renewing.acquire(blocking=False):
            return
        try:
            if self._fenced or self._expires - now > self._lease * 2 / 3:
                return
            self.require_fence_open()
            expires = now + self._lease
            body = {"format": 1, "kind": "alive", "owner": self.claim.owner}
            self._store.put(self._layout.alive(self.claim.epoch, expires), dump(body))
            self._expires = expires
        finally:
            self._renewing.release()

    @property
    def fenced(self) -> bool:
        """A look at the journal already showed that another owner took over."""
        return self._fenced

    def require_unfenced(self) -> None:
        """Raises DrError FENCED when a look at the journal already showed that another owner took over."""
        if self._fenced:
            raise DrError(FENCED, f"{self.unit} was taken over by another run; this one stops")

    def require_fence_open(self) -> None:
        """Ask the journal whether a later epoch exists. Raises DrError FENCED."""
        own = self._layout.claim(self.claim.epoch)
        prefix = f"{self._layout.root}claim-"
        if any(self._layout.claimed_epoch(info.name) for info in self._store.list(prefix, start_after=own)):
            self._fenced = True
        self.require_unfenced()
