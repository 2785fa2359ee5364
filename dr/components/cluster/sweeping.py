"""What carries the labels of a drill that expired: removed by name and uid, when no journal says otherwise. The last resort of
the reaper, for drills whose journal or point is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dr.components.cluster.access import Velero
from dr.components.cluster.layout import BACKUPS, LABEL_EXPIRES, LABEL_PLAN, LOCATIONS, RESTORES
from dr.components.cluster.teardown import GONE_S, patient
from dr.errors import DrError
from dr.model.points import Check
from dr.ports import Clock
from dr.vendors.kubernetes_objects import (
    CONFIG_MAPS,
    NAMESPACES,
    KubeObject,
    Resource,
    labels_of,
    name_of,
    text,
    uid_of,
)

Journalled = Callable[[str], Mapping[str, str] | None]
_COPIES = "restores/"


@dataclass(frozen=True, slots=True)
class Sweeping:
    """Of one cluster and its Velero."""

    velero: Velero
    clock: Clock

    def sweep(self, now: datetime, journalled: Journalled) -> Iterator[Check]:
        """Velero's objects first: it removes their results through each other."""
        for resource in (RESTORES, LOCATIONS, BACKUPS, CONFIG_MAPS):
            for one in self._labelled(resource, self.velero.namespace):
                if _expired(one, now):  # those of a real restore have no expiry, and stay
                    yield self._removed(resource, self.velero.namespace, one)
        for one in self._labelled(NAMESPACES, ""):
            if (doubt := _doubt(one, now, journalled)) is None:
                continue
            title = f"{NAMESPACES} {name_of(one)}"
            yield Check(title, False, f"left alone: {doubt}") if doubt else self._removed(NAMESPACES, "", one)

    def _labelled(self, resource: Resource, namespace: str) -> Sequence[KubeObject]:
        listed = patient(
            lambda: self.velero.kube.list(resource, namespace, labels=LABEL_PLAN), f"list {resource}", self.clock
        )
        return [one for one in listed.items if LABEL_PLAN in labels_of(one)]

    def _removed(self, resource: Resource, namespace: str, one: KubeObject) -> Check:
        title, kube = f"{resource} {name_of(one)}", self.velero.kube
        try:
            patient(
                lambda: kube.delete(resource, name_of(one), namespace, uid=uid_of(one)), f"delete {title}", self.clock
            )
            self._copies(resource, one)
            gone = self._gone(resource, namespace, one)
        except DrError as error:
            return Check(title, False, error.message)
        return Check(title, gone, "deleted" if gone else f"left after {GONE_S:.0f} s")

    def _copies(self, resource: Resource, one: KubeObject) -> None:
        """What a restore's own location points at lies under a folder of its own."""
        prefix = text(one, "spec", "objectStorage", "prefix")
        if resource != LOCATIONS or not prefix.startswith(_COPIES):
            return
        bucket = self.velero.open_bucket(text(one, "spec", "objectStorage", "bucket"))
        for info in list(bucket.list(f"{prefix}/")):
            bucket.delete(info.name, generation=info.generation)

    def _gone(self, resource: Resource, namespace: str, one: KubeObject) -> bool:
        end = self.clock.stamp().monotonic + GONE_S
        while (found := self.velero.kube.get(resource, name_of(one), namespace)) and uid_of(found) == uid_of(one):
            if self.clock.stamp().monotonic >= end:
                return False
            self.clock.sleep(0.2)
        return True


def _doubt(one: KubeObject, now: datetime, journalled: Journalled) -> str | None:
    """Why a labelled namespace stays; empty: it goes; None: it is of no concern (its drill has not expired)."""
    labels = labels_of(one)
    if LABEL_EXPIRES not in labels:
        return f"it carries {LABEL_PLAN} and no {LABEL_EXPIRES}"
    if not _expired(one, now):
        return None if labels[LABEL_EXPIRES].isdigit() else f"its {LABEL_EXPIRES} is no instant"
    made = journalled(labels[LABEL_PLAN])
    if made is not None and made.get(name_of(one), uid_of(one)) != uid_of(one):
        return f"its uid is not the one that {labels[LABEL_PLAN]} made"
    return ""


def _expired(one: KubeObject, now: datetime) -> bool:
    label = labels_of(one).get(LABEL_EXPIRES, "")
    return label.isdigit() and datetime.fromtimestamp(int(label), UTC) <= now
