"""Recovery points, live coverage and gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dr.model.ids import Slot, SourceId
from dr.model.strategy import FailureDomain


@dataclass(frozen=True, slots=True, order=True)
class Artefact:
    """One stored object of a point. Hashes are of the stored bytes; `name` is relative to the vault."""

    name: str
    role: str
    """What it is to its component: `velero/contents`, `firestore/output`..."""
    size: int
    crc32c: str
    """Base64 of the big-endian checksum, as Cloud Storage writes it."""
    sha256: str
    generation: int
    records: int | None = None
    """Items or documents inside, where it holds any."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check that was made, with what it saw."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class PointManifest:
    """What a source can be restored from, and to which instant. Create-only; references only durable objects (I2)."""

    slot: Slot
    epoch: int
    method: str
    """How it was made, which also says how to restore it: `velero`, `firestore-export`."""
    as_of: datetime
    """The time of the data: a write acknowledged later is not in it."""
    started: datetime
    committed: datetime
    artefacts: tuple[Artefact, ...]
    counts: Mapping[str, int]
    checks: tuple[Check, ...]
    survives: tuple[FailureDomain, ...]
    retain_until: datetime
    tool_version: str
    parents: tuple[str, ...] = ()
    """Names of the manifests that this one needs."""
    details: Mapping[str, object] = field(default_factory=dict)
    """JSON-like particulars of the method (excluded volumes, namespaces, database uid...)."""

    @property
    def source(self) -> SourceId:
        return self.slot.source

    @property
    def name(self) -> str:
        """`points/2025/05/28/<slot>.json` in the component's vault."""
        return f"points/{self.slot.due:%Y/%m/%d}/{self.slot.id}.json"

    @property
    def size(self) -> int:
        """Stored bytes."""
        return sum(artefact.size for artefact in self.artefacts)


@dataclass(frozen=True, slots=True)
class PointSummary:
    """One row of the catalogue: what a listing tells without reading the manifest. A hint until the manifest is read."""

    slot: Slot
    method: str
    as_of: datetime
    started: datetime
    committed: datetime
    size: int
    survives: tuple[FailureDomain, ...]
    retain_until: datetime
    name: str
    generation: int
    crc32c: str
    parents: tuple[str, ...] | None = field(default=None, compare=False)
    """Manifests that it needs; None: not known here (the local cache does not keep them), only the manifest tells."""
    sha256: str = field(default="", compare=False)
    """Of the manifest's bytes, as they were committed; empty: not told."""

    @property
    def source(self) -> SourceId:
        return self.slot.source


@dataclass(frozen=True, slots=True)
class Coverage:
    """An interval whose every instant is a recovery point: kept by the living source itself (Firestore PITR, which dies with
    what it covers), or by a change log in the vault."""

    source: SourceId
    method: str
    """`firestore-pitr`, `config-log`, `audit-log`."""
    start: datetime
    end: datetime
    granularity: timedelta
    survives: tuple[FailureDomain, ...]
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Nearest:
    """What could be restored instead, if only `domain` were lost; None: nothing on that side."""

    domain: FailureDomain
    before: datetime | None
    after: datetime | None


@dataclass(frozen=True, slots=True)
class Gap:
    """The typed answer "this instant cannot be restored"; the nearest that can are offered."""

    source: SourceId
    domain: FailureDomain
    requested: datetime
    reason: str
    before: datetime | None
    after: datetime | None
    domains: tuple[Nearest, ...] = ()
    """For every failure domain: what is lost decides what is left."""
