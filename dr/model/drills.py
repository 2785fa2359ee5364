"""What a drill sets out to measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from dr.model.evidence import Drawn, People
from dr.model.plans import DeclaredStep
from dr.model.runs import Stamp
from dr.model.strategy import FailureDomain


@dataclass(frozen=True, slots=True, order=True)
class RowKey:
    """One component and failure domain."""

    component: str
    domain: FailureDomain


class Ask(StrEnum):
    """How a check of a user's own looks at the restored copy."""

    COMMAND = "command"
    HTTP = "http"
    FIRESTORE = "firestore"
    KUBERNETES = "kubernetes"


@dataclass(frozen=True, slots=True)
class UserCheck:
    """One look at the restored copy, and what must be seen. `asks` and `expects` as the scenario's schema has them."""

    name: str
    component: str
    kind: Ask
    asks: Mapping[str, object]
    expects: Mapping[str, object]
    domains: tuple[FailureDomain, ...] = ()
    """Empty: all of the component's rows."""
    timeout: timedelta = timedelta(minutes=1)

    def looks_at(self, key: RowKey) -> bool:
        return self.component == key.component and (not self.domains or key.domain in self.domains)


class Choice(StrEnum):
    """Which points a drill restores: those of the requested instant, of an instant by lot within the retention, or the newest
    ones whose copies pass the checks (what is newer is restored too, and shown to fail)."""

    REQUESTED = "requested"
    RANDOM = "random"
    CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class Scenario:
    """Which rows a drill covers, and why. What it covers and cannot be measured fails; other rows read `not drilled`."""

    name: str
    why: str
    rows: tuple[RowKey, ...]
    checks: tuple[UserCheck, ...] = ()
    choice: Choice = Choice.REQUESTED
    seed: str = ""
    """Of the lot; empty: the drill's id, which is recorded."""
    disaster: str = ""
    """What strikes in the lab: `python -m lab disaster NAME`."""
    every: str = ""
    """`quarter` or `night`: by whom it is run; empty: by people."""
    sha256: str = ""
    """Of the file's bytes."""


@dataclass(frozen=True, slots=True)
class DrillOrder:
    """One drill: committed to the control repository before anything is restored."""

    id: str
    scenario: Scenario
    scope: str
    requested: datetime
    """The instant to restore to."""
    disaster_at: datetime
    """Writes acknowledged up to here count."""
    declared: Stamp
    """When the recovery clock started."""
    witness: str
    """`file:<sha256>` of a writer's record, or `living source`."""
    steps: tuple[DeclaredStep, ...] = ()
    """What recovery from the loss of a cluster, region or project takes besides, as declared."""
    by: str = ""
    """Who ordered it."""
    people: People = field(default_factory=People)
    runbook: str = ""
    """The page that people worked by, and the SHA-256 of its bytes; empty: not said."""
    runbook_sha256: str = ""
    drawn: tuple[Drawn, ...] = field(default=())
    """Rows that are restored to an instant by lot: the disaster is reckoned to be at that instant."""

    def lot(self, source: str, domain: FailureDomain) -> Drawn | None:
        return next((one for one in self.drawn if (one.source, one.domain) == (source, domain)), None)

    def requested_of(self, source: str, domain: FailureDomain) -> datetime:
        drawn = self.lot(source, domain)
        return drawn.requested if drawn else self.requested

    def disaster_of(self, source: str, domain: FailureDomain) -> datetime:
        drawn = self.lot(source, domain)
        return drawn.requested if drawn else self.disaster_at


class DrillEnd(StrEnum):
    """How a drill ended that left no report."""

    SKIPPED = "skipped"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class DrillEnding:
    """A drill that was due and was not run, or was begun and not finished: with reason and by whom."""

    id: str
    scenario: str
    how: DrillEnd
    at: datetime
    by: str
    reason: str
