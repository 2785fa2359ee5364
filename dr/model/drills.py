"""What a drill sets out to measure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dr.model.plans import DeclaredStep
from dr.model.runs import Stamp
from dr.model.strategy import FailureDomain


@dataclass(frozen=True, slots=True, order=True)
class RowKey:
    """One component and failure domain."""

    component: str
    domain: FailureDomain


@dataclass(frozen=True, slots=True)
class Scenario:
    """Which rows a drill covers, and why. What it covers and cannot be measured fails; other rows read `not drilled`."""

    name: str
    why: str
    rows: tuple[RowKey, ...]


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
