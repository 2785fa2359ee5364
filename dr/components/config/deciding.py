"""What a restore over living objects writes, and what it leaves alone. Pure; every leaving has its reason."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from dr.components.config.comparing import differences
from dr.components.config.state import ObjectKey
from dr.model.plans import Target
from dr.vendors.kubernetes_objects import KubeObject

NEWER = "newer"
SECRET = "secret:"


class Act(StrEnum):
    """What is done with one object."""

    SAME = "same"
    CREATE = "create"
    CHANGE = "change"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Decision:
    """`why` names what speaks against writing."""

    key: ObjectKey
    act: Act
    why: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a person allowed. `over`: the cluster was named. `lost`: namespaces that were gone when the restore was planned:
    nothing in them can have been rotated or made since."""

    over: bool
    named: frozenset[str]
    lost: frozenset[str]
    isolated: bool

    @classmethod
    def of(cls, target: Target, source: str, lost: Collection[str]) -> Rules:
        return cls(target.protected == source, frozenset(target.named), frozenset(lost), target.isolated)

    @property
    def deletes_newer(self) -> bool:
        return not self.isolated and self.over and NEWER in self.named

    def decide(self, key: ObjectKey, wanted: KubeObject, found: KubeObject | None) -> Decision:
        """`wanted` and `found` normalised, Secrets opened."""
        if found is None:
            return Decision(key, Act.CREATE)
        if not differences(wanted, found):
            return Decision(key, Act.SAME)
        if self.isolated or key.space in self.lost:
            return Decision(key, Act.CHANGE)
        if not self.over:
            return Decision(key, Act.LEAVE, "it lives, and nobody named the cluster to be written over")
        if key.kind == "secrets" and not self._named_secret(key):
            place = f"{key.namespace}/{key.name}"
            return Decision(key, Act.LEAVE, f"a Secret that changed since goes back only when named: --secret {place}")
        return Decision(key, Act.CHANGE)

    def _named_secret(self, key: ObjectKey) -> bool:
        return bool(self.named & {f"{SECRET}{key.namespace}/{key.name}", f"{SECRET}*"})


def newer(wanted: Collection[ObjectKey], living: Mapping[ObjectKey, KubeObject]) -> tuple[ObjectKey, ...]:
    """Living objects that the log does not know at the instant."""
    return tuple(sorted(key for key in living if key not in wanted))


def unknown_names(named: Collection[str], wanted: Collection[ObjectKey]) -> Iterator[str]:
    """Named Secrets that were not there at the instant: a slip of the pen must not pass in silence."""
    there = {f"{SECRET}{key.namespace}/{key.name}" for key in wanted if key.kind == "secrets"}
    yield from sorted(name for name in named if name.startswith(SECRET) and name != f"{SECRET}*" and name not in there)
