"""What keeps a recovery point, and what was condemned: holds, freezes, tombstones, records of prunes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class FreezeRecord:
    """One turn of the switch; the newest number counts."""

    number: int
    on: bool
    at: datetime
    by: str
    reason: str


class HoldKind(StrEnum):
    """A HOLD lasts until a person releases it, an EXTENSION until its instant, a LEASE as long as a restore works."""

    HOLD = "hold"
    EXTENSION = "extension"
    LEASE = "lease"


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """Somebody wants a point kept, whatever its retention says."""

    id: str
    mode: HoldKind
    point: str
    """The manifest's name in the vault."""
    at: datetime
    by: str
    reason: str
    until: datetime | None = None
    """None: until it is released."""


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """The end of one hold."""

    hold: str
    point: str
    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a vault, pinned."""

    name: str
    generation: int
    size: int


class Remains(StrEnum):
    """What a prune may remove."""

    POINT = "point"
    ATTEMPT = "attempt"
    """Data of a run that died before it committed."""
    SEGMENTS = "segments"
    """Of a change log, contained in packs."""
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Condemned:
    """One thing that is to go, with all its objects; of a point the manifest comes first."""

    what: Remains
    name: str
    """Of a point its manifest, else the prefix or object."""
    objects: tuple[StoredObject, ...]
    reason: str

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(entry.size for entry in self.objects)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What one prune condemned in one vault; nothing of it is deleted before `due`."""

    id: str
    component: str
    vault: str
    decided: datetime
    due: datetime
    by: str
    share: float
    """Part of the points (0..1) that one run was allowed to remove when this was decided."""
    targets: tuple[Condemned, ...]


@dataclass(frozen=True, slots=True)
class PruneBegun:
    """From here on objects of the tombstone may be gone."""

    tombstone: str
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class PruneEnded:
    """All of a tombstone is settled. `spared`: name -> why."""

    tombstone: str
    at: datetime
    by: str
    deleted: tuple[str, ...]
    spared: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PruneRecord:
    """What a prune left behind: the next one refuses when it finds less."""

    component: str
    at: datetime
    by: str
    points: Mapping[str, Mapping[str, int]]
    """Source -> month of the due instant (`2025-05`) -> manifests listed."""
    condemned: int
    deleted: int
    spared: int
