"""The living cluster as a witness: its ConfigMaps as they are now (`ports.LivingWitness`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.components.cluster.access import Velero
from dr.components.cluster.comparing import MADE_BY_CLUSTER, fingerprint
from dr.components.cluster.source import VeleroSource
from dr.errors import REJECTED, DrError
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant
from dr.ports import Clock, RestoredItem
from dr.vendors.kubernetes_objects import CONFIG_MAPS, KubeObject, instant, name_of, sequence

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
            text = (
                f"{spec.id} cannot be read as it was at {format_instant(at)}: a living cluster shows the present only"
            )
            raise DrError(REJECTED, text, hint="give a writer's record: --witness FILE")
        for namespace in VeleroSource(spec, self.velero, self.clock).namespaces():
            for found in self.velero.kube.list(CONFIG_MAPS, namespace).items:
                if name_of(found) != MADE_BY_CLUSTER:
                    path = f"{namespace}/ConfigMap/{name_of(found)}"
                    yield RestoredItem(path, fingerprint(found), last_change(found))


def last_change(found: KubeObject) -> datetime | None:
    """The newest time that any manager of its fields wrote; whole seconds, as Kubernetes keeps it."""
    times = [instant(entry, "time") for entry in sequence(found, "metadata", "managedFields")]
    return max((time for time in times if time), default=instant(found, "metadata", "creationTimestamp"))
