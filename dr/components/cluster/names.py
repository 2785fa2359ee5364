"""What one restore calls its things: derived from the work alone, so that a second run finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dr.components.cluster.layout import LABEL_EXPIRES, LABEL_PLAN, derived_name, label_value
from dr.errors import NOT_FOUND, DrError
from dr.model.plans import Target
from dr.model.reaping import SANDBOX_LIFE
from dr.ports import RestoreWork
from dr.vendors.kubernetes_objects import mapping, sequence, text


@dataclass(frozen=True, slots=True)
class Names:
    """Names of one piece of work and the two sides of its namespaces."""

    plan_id: str
    name: str
    """Of the storage location, the imported backup and the modifiers."""
    backup: str
    """The backup's own name, in the vault."""
    base: str
    namespaces: Mapping[str, str]
    """Source side -> target side, in order."""
    isolated: bool
    partial: bool = False
    """Whether the restore is of a part of the backup."""
    erased: frozenset[str] = frozenset()
    """Namespaces of the backup that stay out, because their tenant was erased."""

    @property
    def folder(self) -> str:
        """Of the copies in Velero's bucket: everything under it belongs to this restore."""
        return f"restores/{self.name}/"

    @property
    def labels(self) -> Mapping[str, str]:
        return {LABEL_PLAN: label_value(self.plan_id)}

    def expiring(self, now: datetime) -> Mapping[str, str]:
        return {**self.labels, LABEL_EXPIRES: str(int((now + SANDBOX_LIFE).timestamp()))}

    def marks(self, now: datetime) -> Mapping[str, str]:
        """Labels of whatever is made: of an isolated restore with its expiry, of a real one nothing expires."""
        return self.expiring(now) if self.isolated else self.labels

    def restore(self, attempt: int) -> str:
        """A failed Restore can't be run again: each attempt has its own."""
        return f"{self.name[:58]}-{attempt}"

    @property
    def targets(self) -> frozenset[str]:
        return frozenset(self.namespaces.values())


def names_of(work: RestoreWork) -> Names:
    """Raises DrError NOT_FOUND when the work has no manifest: a cluster is restored from points only."""
    if work.manifest is None:
        raise DrError(NOT_FOUND, f"{work.item.source} is restored from a recovery point, and none was given")
    details, target = work.manifest.details, work.item.target
    return Names(
        plan_id=work.plan_id,
        name=derived_name(work.item.source.name, work.plan_id, str(work.item.source))[:60].rstrip("-"),
        backup=text(details, "backup"),
        base=text(details, "base"),
        namespaces=mapped(target, _meant(work, [str(name) for name in sequence(details, "namespaces")])),
        isolated=target.isolated,
        partial=bool(target.scope),
        erased=erased_of(work),
    )


def _meant(work: RestoreWork, captured: Sequence[str]) -> Sequence[str]:
    """All of the backup, unless the plan is for a part."""
    planned, erased = mapping(work.item.details, "namespaces"), erased_of(work)
    if work.item.target.scope:
        return [name for name in captured if name in planned]
    return [name for name in captured if name not in erased]


def erased_of(work: RestoreWork) -> frozenset[str]:
    """As the plan has it."""
    return frozenset(str(name) for name in sequence(work.item.details, "erased"))


def mapped(target: Target, namespaces: Sequence[str]) -> Mapping[str, str]:
    """Target side of each namespace: as the plan names it, else with the target's prefix."""
    return {name: target.names.get(name) or _prefixed(target.prefix, name) for name in namespaces}


def _prefixed(prefix: str, name: str) -> str:
    whole = prefix + name
    return whole if len(whole) <= 63 else derived_name(whole, whole)
