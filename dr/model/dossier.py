"""What an auditor asks of a drill beside its figures. Gathered from what is stored, never from memory; what nobody knows is
listed as unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dr.model.evidence import People, Verdict
from dr.model.strategy import FailureDomain


@dataclass(frozen=True, slots=True)
class Identity:
    """What was run. Hashes are SHA-256 (hex) of the stored bytes; empty: unknown."""

    drill: str
    why: str
    tool_version: str
    plan_sha256: str
    scenario: str
    scenario_sha256: str
    runbook: str
    runbook_sha256: str
    strategy_sha256: str
    witness: str
    """Who knew which writes were acknowledged."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A create-only object that was stored before something else happened."""

    name: str
    sha256: str
    stored: datetime | None
    """By the store's own clock; None: unknown."""
    before: datetime | None
    """What it came before: of the order the claim on the restore (by the store's clock too), of the table the disaster."""
    locked_until: datetime | None = None

    @property
    def in_time(self) -> bool | None:
        return None if self.stored is None or self.before is None else self.stored <= self.before


@dataclass(frozen=True, slots=True)
class ObjectiveSet:
    """One row's targets as they were committed in the order."""

    component: str
    rto_s: float
    rpo_s: float
    retention_s: float | None
    approved_by: str
    """As the strategy says; empty: it does not say."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    component: str
    domain: FailureDomain
    reason: str


@dataclass(frozen=True, slots=True)
class SealedPoint:
    """A source point as it lay in the vault after the drill."""

    component: str
    domain: FailureDomain
    source: str
    vault: str
    name: str
    """Manifest, or the method of live coverage."""
    sha256: str
    """Of the manifest; empty for live coverage."""
    as_of: datetime
    artefacts: int | None
    size: int
    artefacts_sha256: str
    """Of the lines `<sha256>  <name>` of all artefacts in order of their names, as `sha256sum` writes them."""
    locked_until: datetime | None
    """Of the manifest's object, as the store says; None: not locked, or unknown (`note` says which)."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Segregation:
    """Where one source was restored to, beside where it lives."""

    component: str
    domain: FailureDomain
    source: str
    isolated: bool
    prefix: str
    names: Mapping[str, str]
    """Production's name -> the copy's."""
    source_place: str
    vault_place: str


@dataclass(frozen=True, slots=True)
class JournalledStep:
    """One object of the run journal. `exit`: `done`, or how an epoch of the work ended with its error's code."""

    step: str
    epoch: int
    started: datetime | None
    ended: datetime
    exit: str
    log: str
    """Name of the journal's object in the control repository."""
    log_sha256: str


@dataclass(frozen=True, slots=True)
class Intervention:
    """What people did or said by hand: `declared` time, or a `note`."""

    kind: str
    at: datetime | None
    by: str
    text: str
    seconds: float | None = None


class Severity(StrEnum):
    """Critical: not recovered, corrupt, or something left behind. Major: an objective missed. Minor: kept by luck."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"


@dataclass(frozen=True, slots=True)
class DrillFinding:
    """`owner`, `due` and `retest` are assigned after the drill, by signed records of their own."""

    id: str
    severity: Severity
    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Past:
    """One row of an earlier drill of the same scope, for the trend."""

    drill: str
    at: datetime
    component: str
    domain: FailureDomain
    source: str
    verdict: Verdict
    recovery_s: float | None
    oldest_lost_s: float | None
    size: int


@dataclass(frozen=True, slots=True)
class CriticalStep:
    """One link of the chain that decides when the whole drill is recovered."""

    component: str
    domain: FailureDomain
    step: str
    start_s: float
    end_s: float
    waited_s: float
    """Between the end of the link before (or the declaration) and its own start."""


@dataclass(frozen=True, slots=True)
class Previous:
    """The sealed drill before this one."""

    number: int
    drill: str
    sha256: str
    """Of its envelope."""


@dataclass(frozen=True, slots=True)
class Dossier:
    """Everything, as it is sealed."""

    number: int
    """In the chain of sealed drills, from 1."""
    previous: Previous | None
    """None: the first of the chain."""
    sealed_at: datetime
    signer: str
    """Name of the key; empty: unsigned."""
    keep_until: datetime
    locked: bool
    """The store holds the record against deletion until then."""
    identity: Identity
    people: People
    order: Committed
    table: Committed
    objectives: tuple[ObjectiveSet, ...]
    covered: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]
    points: tuple[SealedPoint, ...]
    targets: tuple[Segregation, ...]
    steps: tuple[JournalledStep, ...]
    interventions: tuple[Intervention, ...]
    findings: tuple[DrillFinding, ...]
    trend: tuple[Past, ...]
    critical: tuple[CriticalStep, ...]
    unknown: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """SHA-256 of each addendum's envelope that was there before the seal."""


class Said(StrEnum):
    """What an addendum says."""

    NOTE = "note"
    ASSIGNED = "assigned"
    SIGNED_OFF = "signed off"


@dataclass(frozen=True, slots=True)
class Addendum:
    """A record appended to a drill, never an edit: a note, who mends a finding until when, a sign-off."""

    drill: str
    number: int
    said: Said
    at: datetime
    by: str
    recorded_by: str
    """The account and identity that wrote it."""
    text: str = ""
    finding: str = ""
    owner: str = ""
    due: str = ""
    """A day, `2026-02-01`."""
    retest: str = ""
    """The drill that tested it again."""
    seal: str = ""
    """SHA-256 of the sealed drill's envelope; empty: it was not sealed yet."""
    follows: str = ""
    """SHA-256 of the envelope of the addendum before."""
