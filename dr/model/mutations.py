"""Faults planted in copies of recovery points, and what a drill said of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dr.model.evidence import Verdict


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One way to spoil what a component is restored from."""

    component: str
    name: str
    """`flip-first.output`, `value-changed`."""
    what: str
    """One sentence: what was done."""
    forged: bool = False
    """Sums, counts, chain and manifest were made to fit: only the content itself can tell."""

    @property
    def id(self) -> str:
        """`appdata.value-changed`: also the name of its record."""
        return f"{self.component}.{self.name}"


@dataclass(frozen=True, slots=True)
class Edit:
    """What planting comes to: a copy of the vault in which some objects are others. The vault itself is not touched."""

    files: Mapping[str, bytes | None]
    """By name in the vault; None: it is gone."""
    hit: tuple[str, ...]
    """Names of what was hit: a finding that names none of them is no catch."""
    metadata: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Where an object's own metadata change too."""
    emptied: bool = False
    """Nothing at all is listed."""
    details: Mapping[str, object] = field(default_factory=dict)
    """Of the forged manifest, besides those that stand there."""
    as_of: datetime | None = None
    """Of the forged manifest."""
    expected: tuple[Verdict, ...] = (Verdict.FAILED,)
    """What the row must read."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One drill over one copy. `fault` of a clean one: `clean-<n>`; it is good when nothing speaks against the row."""

    fault: str
    component: str
    what: str
    forged: bool
    point: str
    """Manifest, or the method of the log."""
    hit: tuple[str, ...]
    good: bool
    """The fault was caught, or the clean drill gave no alarm."""
    verdict: str
    said: tuple[str, ...]
    """What the drill found."""
    drill: str
    seconds: float
    planted: bool = True
    """False: this point has nothing in it to which that could be done; `said` tells why."""

    @property
    def clean(self) -> bool:
        return self.fault.startswith("clean-")


@dataclass(frozen=True, slots=True)
class Campaign:
    """What is going to be tried: committed before the first drill, so that a resumed campaign is the same one."""

    id: str
    seed: int
    begun: datetime
    components: tuple[str, ...]
    faults: tuple[str, ...]
    """Ids, in the order of the trials."""
    clean: int
    """Clean drills of each component."""
    tool_version: str


@dataclass(frozen=True, slots=True)
class MutationReport:
    """A campaign and what came of it so far."""

    campaign: Campaign
    trials: tuple[Trial, ...]

    @property
    def planted(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.planted and not trial.clean)

    @property
    def missed(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.planted if not trial.good)

    @property
    def false_alarms(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.clean and not trial.good)

    @property
    def complete(self) -> bool:
        """Every trial of the campaign was made."""
        return len(self.trials) == len(self.campaign.faults) + self.campaign.clean * len(self.campaign.components)

    @property
    def passed(self) -> bool:
        """All was caught, something was, and nothing sound was called broken."""
        return bool(self.planted or self.trials) and not self.missed and not self.false_alarms
