"""The backup strategy table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from dr.model.ids import SourceId


class FailureDomain(StrEnum):
    """What is lost together, from small to large. A point counts for a domain only if it survives that loss."""

    LOGICAL = "logical"
    SOURCE = "source"
    CLUSTER = "cluster"
    REGION = "region"
    PROJECT = "project"


class Frequency(StrEnum):
    """The table's own word; the cadence is derived from the RPO, never from this word."""

    DAILY = "daily"
    REAL_TIME = "real-time"
    ON_CHANGE = "on-change"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something lives: decides which failure domains a copy survives. Empty string: not declared."""

    project: str = ""
    location: str = ""
    """A region (`us-central1`), a dual region or a multi-region (`us`), lower case."""


@dataclass(frozen=True, slots=True)
class DeclaredSize:
    """How large a recovery point of production is. 0: not said."""

    bytes: int = 0
    objects: int = 0


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One source as declared. `options` is what its kind needs (namespaces, database...), already validated."""

    id: SourceId
    place: Place
    options: Mapping[str, object] = field(default_factory=dict)
    size: DeclaredSize | None = None
    """What recovery times are projected to."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Grandfather, father, son: of so many last days, weeks, months and years (UTC, Monday first) that have a point the newest
    one is kept, beyond the row's retention. Only ever longer than the table says."""

    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0


@dataclass(frozen=True, slots=True)
class Objective:
    """One row of the table. Every bound is strict: an RTO equal to the target is a miss."""

    component: str
    frequency: Frequency
    retention: timedelta
    rto: timedelta
    rpo: timedelta
    domains: tuple[FailureDomain, ...]
    """The domains that the row is judged for."""
    sources: tuple[SourceSpec, ...] = ()
    keep: Keep = Keep()
    approved_by: str = ""
    """Who approved the targets, and when, in words; empty: not said."""


@dataclass(frozen=True, slots=True)
class Credit:
    """What an agreement gives back to customers when a recovery takes so long or longer."""

    rto_at_least: timedelta
    percent: float
    """Of the month's fee."""


CREDITS = (Credit(timedelta(hours=4), 25.0),)


@dataclass(frozen=True, slots=True)
class Strategy:
    """The whole table. `margin` (0..1) is the share of the RPO kept free when a cadence is derived."""

    name: str
    objectives: tuple[Objective, ...]
    margin: float = 0.2
    sha256: str = ""
    """Of the file's bytes: which table a run or a drill was judged by."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """US dollars that replace list prices, by name (`dr.plan.prices`)."""
    credits: tuple[Credit, ...] = CREDITS
    """Empty: no agreement."""

    def objective(self, component: str) -> Objective | None:
        """The row of `component`, or None."""
        return next((row for row in self.objectives if row.component == component), None)

    def sources(self) -> tuple[SourceSpec, ...]:
        """Every declared source, in table order."""
        return tuple(spec for row in self.objectives for spec in row.sources)
