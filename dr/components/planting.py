"""What faults are planted in, and what a component offers to be planted: `dr/components/<component>/mutating.py`.

Each offers `forgeries(subject) -> Sequence[Forgery]` and `parts(subject) -> Mapping[role, object]`. Nothing is written: an
`Edit` tells which objects of a copy are others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from dr.model.mutations import Edit
from dr.model.points import Artefact, PointManifest
from dr.model.strategy import SourceSpec
from dr.ports import KeyWrapper, ObjectStore

CLAIM = ("content that nobody wrote", "older than the restored instant, and not there")
"""What a drill must say of a copy that claims to be newer than it is: each change in between is then wrong content, by name."""
LARGEST = 256 << 20
"""Bytes of an object that faults are planted in: a copy of it is held in memory."""


class Unsuitable(Exception):
    """This point has nothing in it to which that could be done; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a drill of one source would restore."""

    spec: SourceSpec
    vault: ObjectStore
    manifest: PointManifest | None
    """None: it is restored from its change log."""
    older: PointManifest | None
    """The point before it, for artefacts that are swapped."""
    now: datetime
    keys: Callable[[], tuple[KeyWrapper, ...]] = tuple
    unchanged: Callable[[str], bool] = lambda _path: True
    """Whether a path did not change since the point, as the living source tells: of others it cannot say what they were."""
    recall: Callable[[str, datetime], bool] = lambda _path, _at: False
    """Whether the living source still tells what stood at a path at an instant (`ports.Remembering`)."""

    @property
    def point(self) -> PointManifest:
        """Raises Unsuitable for a log."""
        if self.manifest is None:
            raise Unsuitable("it is restored from its change log")
        return self.manifest

    @property
    def before(self) -> PointManifest:
        """Raises Unsuitable when there is none."""
        if self.older is None:
            raise Unsuitable("there is no older point of this source")
        return self.older

    def artefact(self, role: str) -> Artefact:
        """The first of that role. Raises Unsuitable."""
        found = next((one for one in self.point.artefacts if one.role == role), None)
        if found is None:
            raise Unsuitable(f"the point has no artefact {role}")
        return found

    def read(self, name: str) -> bytes:
        """Raises Unsuitable for what is too large for a copy in memory, DrError."""
        stored = self.vault.stat(name)
        if stored is not None and stored.size > LARGEST:
            raise Unsuitable(f"{name} has {stored.size} bytes, more than {LARGEST} that a copy may have in memory")
        return self.vault.get(name)


@dataclass(frozen=True, slots=True)
class Forgery:
    """One fault that everything but the content itself was made to fit. `plant` raises Unsuitable, DrError."""

    name: str
    what: str
    plant: Callable[[Subject, Random], Edit]
    forged: bool = True
    follows: bool = True
    """The manifest is made to fit what the copy holds."""


def by_role(point: PointManifest) -> dict[str, Artefact]:
    """The first artefact of each role."""
    found: dict[str, Artefact] = {}
    for artefact in point.artefacts:
        found.setdefault(artefact.role, artefact)
    return found


def swapped(subject: Subject, roles: Sequence[str] = ()) -> dict[str, bytes | None]:
    """The artefacts of the older point under the names of the newer one's. Raises Unsuitable when both hold the same."""
    mine, theirs = by_role(subject.point), by_role(subject.before)
    pairs = [(mine[role], theirs[role]) for role in mine if role in theirs and (not roles or role in roles)]
    if all(one.sha256 == other.sha256 for one, other in pairs):
        raise Unsuitable("both points hold the same bytes")
    return {one.name: subject.read(other.name) for one, other in pairs}
