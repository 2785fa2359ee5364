"""Runs: attempts at units of work, and the steps they record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Stamp:
    """An instant by three clocks, so that a duration across a resume says which clock it is from."""

    wall: datetime
    monotonic: float
    """Seconds; comparable only within one `boot_id`."""
    boot_id: str

    def seconds_since(self, earlier: Stamp) -> float:
        """Elapsed seconds: monotonic within one boot, else by wall clock."""
        if self.boot_id == earlier.boot_id:
            return self.monotonic - earlier.monotonic
        return (self.wall - earlier.wall).total_seconds()


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a unit. Taking over is creating the next epoch; the epoch fences the older owner at commit."""

    unit: str
    epoch: int
    owner: str
    """host/pid/boot id of the process."""
    taken: Stamp
    expires: datetime
    """After this instant, if nothing was journalled since, another may take over."""


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """One finished step of a run: what it produced, which later steps (also after a takeover) build on."""

    step: str
    index: int
    epoch: int
    started: Stamp
    ended: Stamp
    data: Mapping[str, object] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.ended.seconds_since(self.started)


class RunState(StrEnum):
    """States only move forward (I6)."""

    CLAIMED = "claimed"
    COMMITTED = "committed"
    FAILED = "failed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How one epoch of a unit ended. COMMITTED only if the manifest was read back."""

    unit: str
    epoch: int
    state: RunState
    at: Stamp
    message: str
    error_code: str = ""
    point: str = ""
    """Name of the manifest, when committed."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """All that the journal knows of one unit."""

    unit: str
    claims: tuple[Claim, ...]
    outcomes: tuple[StepOutcome, ...]
    ends: tuple[RunEnd, ...]

    @property
    def state(self) -> RunState:
        """Of the newest epoch; COMMITTED by any epoch wins."""
        if any(end.state is RunState.COMMITTED for end in self.ends):
            return RunState.COMMITTED
        newest = max((claim.epoch for claim in self.claims), default=0)
        return next((end.state for end in self.ends if end.epoch == newest), RunState.CLAIMED)
