"""What `dr check` found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dr.model.points import Check


class Level(StrEnum):
    """How a finding counts. Only FAIL fails the check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `topic` names what to do about it, and the section of `runbooks/check.md`."""

    group: str
    name: str
    level: Level
    detail: str
    topic: str

    @property
    def passed(self) -> bool:
        return self.level is not Level.FAIL


def finding(group: str, check: Check, topic: str) -> Finding:
    """A component's own check, as a finding."""
    return Finding(group, check.name, Level.OK if check.passed else Level.FAIL, check.detail, topic)


def good(group: str, name: str, passed: bool, detail: str, topic: str) -> Finding:
    """Passed, or failed."""
    return Finding(group, name, Level.OK if passed else Level.FAIL, detail, topic)


def warned(group: str, name: str, fine: bool, detail: str, topic: str) -> Finding:
    """Fine, or a warning."""
    return Finding(group, name, Level.OK if fine else Level.WARN, detail, topic)
