"""Runbooks: pages that people follow, and the record of one that was stepped through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Doing(StrEnum):
    """Who does a step, and what became of it."""

    RUN = "run"
    MANUAL = "manual"
    """Outside of `dr`'s reach: a person does it and says so."""
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class RunbookStep:
    """One block of commands. `code` None: it was not run by us."""

    index: int
    title: str
    doing: Doing
    command: str
    expected: tuple[int, ...]
    code: int | None
    asked: bool
    """A person was asked before it."""
    started: datetime
    ended: datetime

    @property
    def as_expected(self) -> bool:
        return self.code is None or self.code in self.expected


@dataclass(frozen=True, slots=True)
class RunbookRun:
    """What was done of one runbook, in order. `sha256` is of the page's bytes."""

    id: str
    runbook: str
    sha256: str
    tool_version: str
    by: str
    started: datetime
    ended: datetime
    variables: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[RunbookStep, ...] = ()

    @property
    def interventions(self) -> int:
        """Times that a person was needed: asked, or to act."""
        return sum(step.asked or step.doing is not Doing.RUN for step in self.steps)

    @property
    def failed(self) -> tuple[RunbookStep, ...]:
        return tuple(step for step in self.steps if not step.as_expected)
