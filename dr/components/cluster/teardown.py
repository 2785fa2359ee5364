"""Taking away what one restore made: by its labels and, where journalled, the very uid; nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dr.components.cluster.access import Velero
from dr.components.cluster.layout import BACKUPS, LOCATIONS, RESTORES
from dr.components.cluster.names import Names
from dr.components.cluster.restoring import resource_of
from dr.errors import NOT_FOUND, DrError
from dr.model.points import Check
from dr.ports import Clock, Json
from dr.vendors.kubernetes_objects import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    STATEFUL_SETS,
    KubeObject,
    Resource,
    labels_of,
    name_of,
    number,
    selects,
    sequence,
    text,
    uid_of,
)
from dr.vendors.retry import with_retry

T = TypeVar("T")
GONE_S = 180.0
"""A namespace with its content takes 5 to 10 s; a finalizer that nobody serves takes for ever."""


_PATIENCE_S = 300.0
"""How long a teardown waits for an API server that is away. What it leaves then, a reaper removes."""
_QUIET_S = 60.0


def patient(call: Callable[[], T], what: str, clock: Clock) -> T:
    """Again and again while the API server is away; the last error after five minutes."""
    return with_retry(call, what=what, attempts=60, deadline_s=_PATIENCE_S, sleep=clock.sleep)


@dataclass(frozen=True, slots=True)
class Teardown:
    """Of one restore, finished or not. A real restore keeps its namespaces: only the machinery goes."""

    velero: Velero
    names: Names
    clock: Clock

    def run(self, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        """One check for each thing made; failed when it is left, or is not what was made.

        Restores go before the Backup and its location, because Velero removes their results through both; the copies in
        the bucket go last.
        """
        velero, uids = self.velero, _uids(outcomes)
        ours, others = self._namespaces(outcomes) if self.names.isolated else ([], [])
        self._quieten(ours)
        spaces = self._ask(NAMESPACES, "", ours, {})
        checks: list[Check] = []
        for resource in (RESTORES, LOCATIONS, BACKUPS, CONFIG_MAPS):
            found = self._ours(resource, velero.namespace)
            checks += self._settle(resource, velero.namespace, self._ask(resource, velero.namespace, found, uids))
        checks += self._outside(outcomes.get("follow", {}))
        checks += self._settle(NAMESPACES, "", spaces)
        return (*checks, *others, self._copies())

    def _ours(self, resource: Resource, namespace: str) -> Sequence[KubeObject]:
        labels, kube = selects(self.names.labels), self.velero.kube
        return patient(
            lambda: kube.list(resource, namespace, labels=labels, metadata_only=True), f"list {resource}", self.clock
        ).items

    def _namespaces(self, outcomes: Mapping[str, Json]) -> tuple[list[KubeObject], list[Check]]:
        """Those with our label and a name of the plan. A journalled uid that differs is another namespace: kept, and named."""
        journalled = {
            text(one, "name"): text(one, "uid") for one in sequence(outcomes.get("contain", {}), "namespaces")
        }
        labelled = [one for one in self._ours(NAMESPACES, "") if name_of(one) in self.names.targets]
        ours = [one for one in labelled if journalled.get(name_of(one), uid_of(one)) == uid_of(one)]
        others = [name_of(one) for one in labelled if one not in ours]
        return ours, [
            Check(f"{NAMESPACES} {name}", False, "left alone: its uid is not what was made") for name in others
        ]

    def _quieten(self, namespaces: Iterable[KubeObject]) -> None:
        """Nothing runs any more when the policies go: before 1.34 a namespace's content is deleted in any order."""
        kube = self.velero.kube
        for space in map(name_of, namespaces):
            for resource in (DEPLOYMENTS, STATEFUL_SETS):
                for one in patient(lambda: kube.list(resource, space), f"list {resource}", self.clock).items:  # noqa: B023
                    if number(one, "spec", "replicas"):
                        self._asleep(resource, name_of(one), space)
            self._until(lambda: bool(kube.list(PODS, space, metadata_only=True).items), _QUIET_S)  # noqa: B023

    def _asleep(self, resource: Resource, name: str, namespace: str) -> None:
        kube, body = self.velero.kube, {"spec": {"replicas": 0}}
        try:
            patient(lambda: kube.patch(resource, name, body, namespace), f"patch {resource}", self.clock)
        except DrError as error:
            if error.kind is not NOT_FOUND:
                raise

    def _ask(
        self, resource: Resource, namespace: str, found: Iterable[KubeObject], uids: Mapping[str, str]
    ) -> list[tuple[KubeObject, str]]:
        """Ask for the deletion of each; with it why it can't be, or an empty text."""
        asked: list[tuple[KubeObject, str]] = []
        for one in found:
            ours = uids.get(f"{resource}/{name_of(one)}", uid_of(one)) == uid_of(one)
            labelled = self.names.labels.items() <= labels_of(one).items()
            why = (
                self._refused(resource, namespace, one)
                if ours and labelled
                else "not what this restore made: left alone"
            )
            asked.append((one, why))
        return asked

    def _settle(self, resource: Resource, namespace: str, asked: Iterable[tuple[KubeObject, str]]) -> list[Check]:
        """Wait until each is gone."""
        return [
            Check(f"{resource} {name_of(one)}", False, why) if why else self._gone(resource, namespace, one)
            for one, why in asked
        ]

    def _refused(self, resource: Resource, namespace: str, one: KubeObject) -> str:
        try:
            kube = self.velero.kube
            patient(
                lambda: kube.delete(resource, name_of(one), namespace, uid=uid_of(one)),
                f"delete {resource}",
                self.clock,
            )
        except DrError as error:
            return error.message
        return ""

    def _gone(self, resource: Resource, namespace: str, one: KubeObject) -> Check:
        name = name_of(one)
        left = self._until(lambda: self._left(resource, namespace, name, uid_of(one)), GONE_S)
        return Check(f"{resource} {name}", not left, f"left after {GONE_S:.0f} s" if left else "deleted")

    def _left(self, resource: Resource, namespace: str, name: str, uid: str) -> bool:
        kube = self.velero.kube
        found = patient(lambda: kube.get(resource, name, namespace), f"get {resource}", self.clock)
        return found is not None and uid_of(found) == uid

    def _until(self, left: Callable[[], bool], seconds: float) -> bool:
        """Whether it is still there when the time is over."""
        end = self.clock.stamp().monotonic + seconds
        while left():
            if self.clock.stamp().monotonic >= end:
                return True
            self.clock.sleep(0.2)
        return False

    def _outside(self, followed: Json) -> Iterator[Check]:
        """Cluster-scoped objects that the Restore created in a cluster that lacked them."""
        for entry in sequence(followed, "cluster"):
            made = {
                "metadata": {"name": text(entry, "name"), "uid": text(entry, "uid"), "labels": dict(self.names.labels)}
            }
            yield from self._settle(resource_of(entry), "", self._ask(resource_of(entry), "", [made], {}))

    def _copies(self) -> Check:
        """Everything under `restores/<id>/` of Velero's bucket, and nothing beside it."""
        bucket, _ = self.velero.bucket()
        try:
            found = list(bucket.list(self.names.folder))
            for info in found:
                bucket.delete(info.name, generation=info.generation)
            left = [info.name for info in bucket.list(self.names.folder)]
        except DrError as error:
            return Check(f"{bucket.url}/{self.names.folder}", False, error.message)
        detail = f"left: {', '.join(left[:5])}" if left else f"{len(found)} objects deleted"
        return Check(f"{bucket.url}/{self.names.folder}", not left, detail)


def _uids(outcomes: Mapping[str, Json]) -> Mapping[str, str]:
    """`resource/name` -> uid, of all that the journal knows."""
    imported, restored = outcomes.get("import-backup", {}), outcomes.get("restore", {})
    location = text(outcomes.get("stage", {}), "location")
    known = {
        f"{BACKUPS}/{text(imported, 'backup')}": text(imported, "backup_uid"),
        f"{LOCATIONS}/{location}": text(imported, "location_uid"),
        f"{RESTORES}/{text(restored, 'restore')}": text(restored, "uid"),
    }
    return {key: uid for key, uid in known.items() if uid}
