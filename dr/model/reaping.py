"""What dead drills left behind, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

SANDBOX_LIFE = timedelta(hours=24)
"""Whatever a drill makes carries this expiry: after it a reaper may remove what is left."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One plan that restored into isolated targets, as the journal has it."""

    unit: str
    begun: datetime
    torn_down: bool
    """Its teardown is on record as clean, or it was reaped."""
    alive_until: datetime | None = None
    """Until when whoever works on it is taken to live; None: nobody does."""


@dataclass(frozen=True, slots=True)
class Reaped:
    """On record: everything that the plan had made is gone."""

    unit: str
    at: datetime
    by: str
    deleted: tuple[str, ...]
