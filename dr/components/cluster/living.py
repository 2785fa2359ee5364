"""The living cluster as a witness: its ConfigMaps as they are now (`ports.LivingWitness`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dr.components.cluster.access import ClusterOptions, Velero
from dr.components.cluster.comparing import MADE_BY_CLUSTER, fingerprint
from dr.components.cluster.source import VeleroSource
from dr.components.cluster.witnessed import ESSENCES, listed_of, passed_over, told
from dr.errors import REJECTED, DrError
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant
from dr.ports import Clock, RestoredItem
from dr.vendors.kubernetes_objects import (
    CONFIG_MAPS,
    KubeObject,
    Resource,
    instant,
    name_of,
    namespace_of,
    sequence,
    text,
)

_SECOND = timedelta(seconds=1)
NOW = timedelta(minutes=1)
"""An API server shows the present only: an instant further back cannot be read."""


@dataclass(frozen=True, slots=True)
class LivingCluster:
    """Reads what a backup taken now would mean."""

    velero: Velero
    clock: Clock

    def read(self, spec: SourceSpec, at: datetime) -> Iterator[RestoredItem]:
        """Raises DrError REJECTED for an instant in the past. What changed after `at` says so by its time."""
        if self.clock.now() - at > NOW:
            words = (
                f"{spec.id} cannot be read as it was at {format_instant(at)}: a living cluster shows the present only"
            )
            raise DrError(REJECTED, words, hint="give a writer's record: --witness FILE")
        namespaces = VeleroSource(spec, self.velero, self.clock).namespaces()
        yield from self._others(namespaces, ClusterOptions.read(spec).exclude_resources)
        for namespace in namespaces:
            for found in self.velero.kube.list(CONFIG_MAPS, namespace).items:
                if name_of(found) != MADE_BY_CLUSTER:
                    path = f"{namespace}/ConfigMap/{name_of(found)}"
                    yield RestoredItem(path, fingerprint(found), changed_by(found))

    def _others(self, namespaces: Sequence[str], excluded: Sequence[str]) -> Iterator[RestoredItem]:
        """Everything but ConfigMaps; each kind is listed once, however many namespaces there are."""
        for resource in ESSENCES:
            for found in listed_of(self.velero.kube, resource) if not _excluded(resource, excluded) else ():
                if namespace_of(found) in namespaces and not passed_over(found):
                    yield replace(told(resource, namespace_of(found), found), updated=changed_by(found))


def _excluded(resource: Resource, excluded: Sequence[str]) -> bool:
    """As Velero takes names: with the group or without."""
    return str(resource) in excluded or resource.plural in excluded


def changed_by(found: KubeObject) -> datetime | None:
    """The end of the second in which it last changed: a change must not look older than it is."""
    changed = last_change(found)
    return changed + _SECOND if changed else None


def last_change(found: KubeObject) -> datetime | None:
    """The newest time that any manager of its fields wrote, its status aside; whole seconds, as Kubernetes keeps it."""
    managed = sequence(found, "metadata", "managedFields")
    times = [instant(entry, "time") for entry in managed if text(entry, "subresource") != "status"]
    return max((time for time in times if time), default=instant(found, "metadata", "creationTimestamp"))
