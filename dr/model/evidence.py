"""What a drill measured, and the verdicts on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from dr.model.points import Check
from dr.model.strategy import FailureDomain


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


@dataclass(frozen=True, slots=True)
class StepTiming:
    """One step of a drill or restore, seconds since the declaration."""

    step: str
    start_s: float
    end_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Recovery:
    """Recovery time: declaration to the last check passed. `detection_s` (disaster to declaration) stands beside it."""

    target_s: float
    measured_s: float | None
    detection_s: float | None
    steps: tuple[StepTiming, ...] = ()


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

    @property
    def passed(self) -> bool:
        """Something was drilled, all of it kept what was promised, and the teardown left nothing."""
        drilled = [row for row in self.rows if row.verdict not in (Verdict.NOT_CAPTURED, Verdict.NOT_DRILLED)]
        return bool(drilled) and all(row.kept for row in drilled) and all(check.passed for check in self.teardown)
