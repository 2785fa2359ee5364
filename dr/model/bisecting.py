"""The search for the last clean recovery point: what was asked, each guess, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dr.model.points import Check
from dr.model.strategy import FailureDomain


class Answer(StrEnum):
    """What the check said of one restored copy."""

    CLEAN = "clean"
    BAD = "bad"
    UNKNOWN = "cannot tell"
    """It said so (exit 125), it did not end in time, or the point cannot be restored."""
    BROKEN = "check failed"
    """The check itself did not work, and the search stops; or the copy was gone before it was checked. Nothing is concluded:
    the candidate is asked again."""


class Finding(StrEnum):
    """How the search ended."""

    FOUND = "found"
    NOTHING_BAD = "the newest is clean"
    NOTHING_CLEAN = "the oldest is bad"
    UNDECIDED = "cannot be decided"


@dataclass(frozen=True, slots=True)
class BisectOrder:
    """One search, fixed before anything is restored. `candidates`: instants, oldest first."""

    id: str
    command: str
    components: tuple[str, ...]
    domain: FailureDomain
    candidates: tuple[datetime, ...]
    begun: datetime
    by: str
    strategy_sha256: str
    timeout: timedelta
    """Of one run of the check."""
    max_cost_usd: float | None = None
    confirm: int = 0
    """Guesses more, outside of what the search needs, to see whether it is all clean before and all bad after."""


@dataclass(frozen=True, slots=True)
class Guess:
    """One restored copy and what the check said of it. `sha256` is of the check's output, `tail` its end."""

    number: int
    candidate: datetime
    restored: tuple[datetime, ...]
    """What each source was really restored to."""
    points: tuple[str, ...]
    """Manifests, or the method of what has none."""
    answer: Answer
    exit_code: int | None
    """None: the check was not run, or did not end."""
    sha256: str
    tail: str
    restore_s: float
    check_s: float
    cost_usd: float
    why: str = ""
    """Of what could not be told."""


@dataclass(frozen=True, slots=True)
class Bisection:
    """The result. `first_bad` and `last_clean` are candidates; between them no candidate is left that could be told."""

    order: BisectOrder
    finding: Finding
    last_clean: datetime | None
    first_bad: datetime | None
    guesses: tuple[Guess, ...]
    contradictions: tuple[str, ...]
    """Clean copies newer than bad ones: what is bad did not stay bad."""
    untold: int
    """Candidates between the two that could not be told."""
    teardown: tuple[Check, ...]
    ended: datetime

    @property
    def good(self) -> bool:
        """Found, monotone as far as was looked, and nothing left behind."""
        clean = all(check.passed for check in self.teardown)
        return self.finding is Finding.FOUND and not self.contradictions and clean
