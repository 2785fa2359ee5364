"""What a drill measured, and the verdicts on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from dr.model.forecast import Forecast
from dr.model.points import Check
from dr.model.strategy import FailureDomain

TRIPWIRE = "tripwire: "
"""What the names of its checks begin with."""


class Verdict(StrEnum):
    """Of one row and domain. Only MET is a pass; LUCKY means nothing was lost but the capture mode does not guarantee it."""

    MET = "met"
    LUCKY = "0 lost, not guaranteed"
    MISSED = "missed"
    FAILED = "failed"
    NOT_CAPTURED = "not captured yet"
    NOT_DRILLED = "not drilled"


@dataclass(frozen=True, slots=True, order=True)
class AcknowledgedWrite:
    """One line of a witness: a write that the store acknowledged. `sha256` is of the content in canonical form; empty: deleted."""

    acked_at: datetime
    source: str
    path: str
    """Document path (`tenants/t-001/jobs/42`) or `namespace/kind/name`."""
    seq: int
    sha256: str


@dataclass(frozen=True, slots=True)
class LostWrites:
    """Achieved RPO: of the writes acknowledged before the disaster, those absent from the restored copy."""

    acknowledged: int
    lost: int
    oldest_lost_s: float | None
    """Age at the disaster of the oldest lost write; None when none is lost."""
    wrong: tuple[str, ...] = ()
    """Paths whose restored content matches no acknowledged write: not loss but corruption; fails the drill."""
    unexpected: tuple[str, ...] = ()
    """Restored paths that no witness knows."""
    at_least: bool = False
    """True when the witness coalesces writes (a living source read at the instant): the count is a lower bound."""
    absent: tuple[str, ...] = ()
    """Paths of the lost writes."""
    holes: tuple[str, ...] = ()
    """Of these, such as the point claims to hold, being newer than they: not loss but corruption; fails the drill."""


@dataclass(frozen=True, slots=True)
class StepTiming:
    """One step of a drill or restore, seconds since the declaration."""

    step: str
    start_s: float
    end_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where the time of one recovery went, in seconds. The last three add up to the measured time."""

    detect_s: float
    """Disaster to declaration; of a drill without a disaster 0."""
    decide_s: float
    """Declaration to the first step of the restore that counts: choosing, planning, copies that turned out to be bad."""
    restore_s: float
    """With what was declared to take besides."""
    verify_s: float
    """Reading the point back, and checking the copy."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """Recovery time: declaration to the last check passed. `detection_s` (disaster to declaration) stands beside it."""

    target_s: float
    measured_s: float | None
    detection_s: float | None
    steps: tuple[StepTiming, ...] = ()
    clocks: Clocks | None = None
    """None when it was not measured, or by an older `dr`."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Recovery point objective against what was lost."""

    target_s: float
    writes_lost: int | None
    oldest_lost_s: float | None
    acknowledged: int | None
    at_least: bool = False
    guaranteed: bool = False
    """The capture mode guarantees the target (needed for an RPO of 0)."""
    witness: str = ""
    """Who knew which writes were acknowledged: `writer's record`, `living source`, `canaries`."""
    promise: str = ""
    """What the declared capture mode promises of an RPO of 0; empty: no mode was declared for it."""
    bound_s: float | None = None
    """Of an old point that no witness remembers: the restored instant is so much before the requested one, and what was
    written before it is there. None: writes were counted."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The instant that the lot fell on for one source and domain."""

    source: str
    domain: FailureDomain
    requested: datetime
    first: datetime
    last: datetime
    """It lay between these."""
    seed: str


@dataclass(frozen=True, slots=True)
class People:
    """By flags of `dr drill run`; empty: not given."""

    executor: str = ""
    witness: str = ""
    approver: str = ""
    """Who approved that the drill is held; never the executor."""
    ticket: str = ""


@dataclass(frozen=True, slots=True)
class WorstRpo:
    """Beside the one instant that a drill samples: the most that a loss at any instant between `since` and `until` would have
    cost, by what was committed when."""

    seconds: float
    points: int
    """Committed in between; of a change log its intervals."""
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Tried:
    """One copy of a search for the newest clean point."""

    instant: datetime
    point: str
    sha256: str
    clean: bool
    why: str
    """The checks that failed."""


@dataclass(frozen=True, slots=True)
class DrillRow:
    """One component and domain."""

    component: str
    domain: FailureDomain
    source: str
    verdict: Verdict
    rto: Recovery
    rpo: Loss
    instant: datetime | None
    """What was really restored to."""
    point: str
    """Manifest name, or the live coverage's method."""
    objects: int
    size: int
    checks: tuple[Check, ...]
    findings: tuple[str, ...] = ()
    """What failed or could not be measured, each naming its artefact, object or path."""
    point_sha256: str = ""
    """Of the manifest's bytes; empty for live coverage."""
    requested: datetime | None = None
    """What was asked for; None: as the whole drill."""
    worst: WorstRpo | None = None
    tried: tuple[Tried, ...] = ()
    """Copies of a search, in the order of trying."""

    @property
    def kept(self) -> bool:
        """Met, or nothing lost where the declared mode promises no more."""
        return self.verdict is Verdict.MET or (self.verdict is Verdict.LUCKY and bool(self.rpo.promise))

    @property
    def rate_bytes_s(self) -> float | None:
        return self.size / self.rto.measured_s if self.rto.measured_s else None


@dataclass(frozen=True, slots=True)
class DrillReport:
    """The record of one drill."""

    id: str
    scenario: str
    scope: str
    """Where it was measured: `lab`, `staging`, `production`."""
    requested: datetime
    disaster_at: datetime
    declared_at: datetime
    ended_at: datetime
    strategy_sha256: str
    tool_version: str
    rows: tuple[DrillRow, ...]
    teardown: tuple[Check, ...]
    environment: Mapping[str, object] = field(default_factory=dict)
    tripwire: tuple[Check, ...] = ()
    """That nothing of the drill reached production."""
    by: str = ""
    """Who ordered it."""
    drawn: tuple[Drawn, ...] = ()
    """Instants that were chosen by lot, with the seed."""
    forecasts: tuple[Forecast, ...] = ()
    """What recovery at production's size is expected to take, this drill counted."""

    @property
    def passed(self) -> bool:
        """Something was drilled, all of it kept what was promised, it reached nothing outside, and the teardown left nothing."""
        drilled = [row for row in self.rows if row.verdict not in (Verdict.NOT_CAPTURED, Verdict.NOT_DRILLED)]
        return bool(drilled) and all(row.kept for row in drilled) and all(check.passed for check in self.around)

    @property
    def around(self) -> tuple[Check, ...]:
        """What was checked beside the rows."""
        return (*self.tripwire, *self.teardown)
