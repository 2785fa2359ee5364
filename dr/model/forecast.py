"""What recovery at production's size is expected to take, from the drills and restores so far."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dr.model.strategy import FailureDomain


class Outlook(StrEnum):
    """The bound against the row's RTO."""

    WITHIN = "within"
    BEYOND = "beyond"
    INSUFFICIENT = "insufficient evidence"


@dataclass(frozen=True, slots=True)
class StepForecast:
    """One step at the projected size; `low_s` and `high_s` are one-sided 95 % prediction bounds, None with too few samples."""

    step: str
    median_s: float
    low_s: float | None
    high_s: float | None
    samples: int
    """That came to their end."""
    censored: int
    """That were cut off: they count as at least so long."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """One source and failure domain of a row."""

    component: str
    domain: FailureDomain
    source: str
    method: str
    outlook: Outlook
    reasons: tuple[str, ...]
    """Why so; of insufficient evidence what is missing."""
    target_s: float
    size: int
    """Bytes that were projected to; 0: not said."""
    objects: int
    declared: bool
    """By the strategy; otherwise it is the size of the newest drill."""
    drills: int
    """That came to their end under the present conditions."""
    censored: int
    set_aside: tuple[str, ...]
    """Samples of another version, method or region, counted."""
    median_s: float | None
    low_s: float | None
    bound_s: float | None
    basis: str
    """What the bound comes from: `whole drills`, `sum of steps`; empty without one."""
    steps: tuple[StepForecast, ...] = ()
