"""How long restores and drills really took, step by step, and under which conditions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dr.model.ids import SourceId
from dr.model.strategy import FailureDomain


class RunKind(StrEnum):
    """What was timed. A drill has the checks at its end that a restore has not."""

    DRILL = "drill"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class StepTime:
    """One step. `ended` False: it took at least so long (it timed out, failed, was stopped, or went on where another process
    had left it)."""

    step: str
    seconds: float
    ended: bool = True


@dataclass(frozen=True, slots=True)
class ItemTimes:
    """One source that was restored, or of which it was tried."""

    source: SourceId
    domain: FailureDomain
    method: str
    region: str
    """Where the vault and the source stand, as declared: `us from us-central1`."""
    size: int
    """Bytes of the recovery point."""
    objects: int
    """Documents or objects in it; 0: not known."""
    steps: tuple[StepTime, ...]
    whole_s: float
    """Declaration to the end of the last step, or to the failure."""
    ended: bool
    """It came to its end in one go. Otherwise `whole_s` is what it took at least."""


@dataclass(frozen=True, slots=True)
class Timings:
    """What one run of a restore or drill took. Appended, never changed."""

    run: str
    what: RunKind
    at: datetime
    tool_version: str
    scope: str
    items: tuple[ItemTimes, ...]
