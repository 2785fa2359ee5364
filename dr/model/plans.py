"""Restore plans: reviewed, saved, applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dr.model.graph import PlannedStep
from dr.model.ids import SourceId
from dr.model.points import Gap
from dr.model.review import Review
from dr.model.strategy import FailureDomain


@dataclass(frozen=True, slots=True)
class Target:
    """Where a restore goes. Isolated: nothing that exists is written. Otherwise a person named `protected`."""

    isolated: bool
    prefix: str = ""
    """Of everything the restore creates when isolated: `drill-3f2a-`."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Source-side name -> target-side name: namespaces (`energent-ai` -> `drill-3f2a-energent-ai`), `database` -> id."""
    protected: str = ""
    """What a person typed to allow a write over it."""
    named: tuple[str, ...] = ()
    """What goes over it only because a person named it too: `secret:namespace/name`, `secret:*`, and `newer`, for deleting what
    was made after the instant."""
    scope: tuple[str, ...] = ()
    """A part of each source only: `tenant:t-001`, `namespace:tenant-001`. Empty: all of it."""


@dataclass(frozen=True, slots=True)
class PointRef:
    """A manifest, pinned: a plan applies exactly what was reviewed."""

    name: str
    generation: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PlannedRestore:
    """One source of a restore plan, from one point or from live coverage (`point` is None then)."""

    source: SourceId
    domain: FailureDomain
    method: str
    """`velero`, `firestore-export` or `firestore-pitr`."""
    point: PointRef | None
    instant: datetime
    """What the source will really be restored to; never after the requested instant."""
    target: Target
    size: int
    predicted: timedelta | None
    """None: nothing measured yet to predict from."""
    cost_usd: float
    creates: tuple[str, ...]
    reasons: tuple[str, ...]
    details: Mapping[str, object] = field(default_factory=dict)
    steps: tuple[PlannedStep, ...] = ()
    """Its recipe, in order; empty in plans of versions that did not tell it."""
    review: Review | None = None
    """None: the world was not looked at, as for isolated targets."""

    @property
    def key(self) -> str:
        """`appdata.firestore.db.logical`: the item's name in the plan's graph and in the journal."""
        return f"{self.source.slug}.{self.domain}"


@dataclass(frozen=True, slots=True)
class DeclaredStep:
    """A part of recovery that is outside of `dr`'s reach and is counted as a person says: a new cluster's creation."""

    name: str
    took: timedelta


@dataclass(frozen=True, slots=True)
class Offer:
    """An instant at which the sources of a plan would be nearer to each other, and how near."""

    instant: datetime
    skew: timedelta


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What `dr restore plan` shows and `dr restore apply` does, no more and no less."""

    id: str
    requested: datetime
    created: datetime
    strategy_sha256: str
    items: tuple[PlannedRestore, ...]
    gaps: tuple[Gap, ...] = ()
    max_cost_usd: float | None = None
    declared: tuple[DeclaredStep, ...] = ()
    """What recovery takes besides."""
    max_skew: timedelta | None = None
    """How far apart the restored instants may be."""
    offer: Offer | None = None
    """None: no instant brings the sources nearer to each other."""

    @property
    def cost_usd(self) -> float:
        return sum(item.cost_usd for item in self.items)
