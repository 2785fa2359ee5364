"""The steps of a restore plan, as they are planned: what each is, what it moves, and how long it should take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class StepKind(StrEnum):
    """What a step does, which says what could make it quicker."""

    VERIFY = "verify"
    """Reads the recovery point back."""
    PREPARE = "prepare"
    """Makes room in the target; no data moves."""
    COPY = "copy"
    """Moves bytes between stores."""
    WRITE = "write"
    """Writes into the target, or asks for it."""
    WAIT = "wait"
    """Another system works, and is followed."""
    SERVE = "serve"
    """The restored thing is switched over and must say that it works."""
    CHECK = "check"
    """Reads the copy back and compares."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """From `samples` measured runs of the same step, scaled to the size that is planned."""

    median: timedelta
    quickest: timedelta
    slowest: timedelta
    samples: int


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of one item. It comes after the step before it; `beside`: it may run beside that one, and needs only what
    that one needs. `after`: components whose whole restore comes first."""

    name: str
    kind: StepKind
    beside: bool = False
    after: tuple[str, ...] = ()
    size: int = 0
    """Bytes that its duration grows with; 0: it does not."""
    estimate: Estimate | None = None
    """None: never measured."""
