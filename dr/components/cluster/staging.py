"""From the vault back to Velero: unlocked copies under a prefix of their own, and a Backup object that points at them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from dr.components.cluster import copying, inert
from dr.components.cluster.access import Velero
from dr.components.cluster.containing import ensure
from dr.components.cluster.contents import Item, read_items
from dr.components.cluster.fencing import ready_of, replicas_of, suspended_of
from dr.components.cluster.layout import BACKUPS, LOCATIONS, METADATA, renamed
from dr.components.cluster.names import Names
from dr.errors import DAMAGED, RESTORE_FAILED, TIMED_OUT, DrError
from dr.model.points import Artefact, PointManifest
from dr.ports import Json, ObjectInfo, ObjectStore, StepContext
from dr.vendors.kubernetes_objects import KubeObject, labels_of, mapping, text, uid_of

_AVAILABLE_S = 90.0
_SYNC_S = 180.0
"""Velero looks for backups in its locations once a minute."""
_EMPTY = 64
"""Bytes below which a gzipped list holds `null` or `[]`."""


@dataclass(frozen=True, slots=True)
class Staging:
    """The copies of one restore."""

    velero: Velero
    names: Names
    vault: ObjectStore
    manifest: PointManifest
    external: tuple[str, ...] = ()
    """Patterns of Secrets that a contained copy gets without their values."""

    def stage(self, context: StepContext) -> Json:
        """Copy every artefact under `restores/<id>/backups/<name>/`; what was copied is held against the manifest."""
        bucket, _ = self.velero.bucket()
        name = self._name()
        pairs = [(self._info(one), self._place(one, name)) for one in self.manifest.artefacts if not _is_metadata(one)]
        copied = copying.copy_all(self.vault, bucket, pairs, lambda size: context.progress(size, None, "bytes"))
        stated = {self._place(one, name): one for one in self.manifest.artefacts}
        for one in copied:
            if one.stored.sha256 != stated[one.name].sha256:
                raise DrError(DAMAGED, f"{one.origin.name} is not what was committed: its sha256 differs")
        bucket.put(self._folder(name) + METADATA, self._metadata(name))
        items, kinds = self._items()
        workloads = [_workload(item) for item in items if item.resource in _WORKLOADS]
        secrets = [item.body for item in items if item.resource == "secrets" and self.names.isolated]
        return {
            "backup": name,
            "location": self.names.name,
            "objects": len(copied) + 1,
            "workloads": workloads,
            "replaced": inert.chosen(secrets, self.external),
            "kinds": kinds,
        }

    def _name(self) -> str:
        """Under a name of its own, because the living Backup object may hold the old one; but what file-system backups
        and snapshots of volumes carry the old name inside, so with those it stays, and Velero must import it itself."""
        return self.names.backup if self.carries_volumes() else self.names.name

    def carries_volumes(self) -> bool:
        return any(
            one.size > _EMPTY and one.name.endswith(("-podvolumebackups.json.gz", "-csi-volumesnapshots.json.gz"))
            for one in self.manifest.artefacts
        )

    def _folder(self, name: str) -> str:
        return f"{self.names.folder}backups/{name}/"

    def _place(self, artefact: Artefact, name: str) -> str:
        file = artefact.name.removeprefix(self.names.base)
        return self._folder(name) + renamed(file, self.names.backup, name)

    def _info(self, artefact: Artefact) -> ObjectInfo:
        return ObjectInfo(
            artefact.name, artefact.size, artefact.crc32c, artefact.generation, created=self.manifest.committed
        )

    def _metadata(self, name: str) -> bytes:
        """The backup's own record, under the new name and location, and without an expiry: Velero deletes what expired,
        the snapshots of its volumes too."""
        artefact = next(one for one in self.manifest.artefacts if _is_metadata(one))
        backup = json.loads(self.vault.get(artefact.name, generation=artefact.generation or None))
        kept = {key: backup["metadata"].get(key) or {} for key in ("labels", "annotations")}
        location = self.names.name
        kept["labels"] = {
            **kept["labels"],
            **self.names.labels,
            "velero.io/storage-location": location,
        }
        status = {key: value for key, value in backup["status"].items() if key != "expiration"}
        metadata = {"name": name, "namespace": self.velero.namespace, **kept}
        spec = {**backup["spec"], "storageLocation": location, "hooks": {}}
        whole = {**backup, "metadata": metadata, "spec": spec, "status": status}
        return json.dumps(whole, sort_keys=True, indent=1).encode()

    def _items(self) -> tuple[list[Item], list[Json]]:
        """Workloads and Secrets only, so that an archive of any size stays cheap; and which kinds there are."""
        found = next(one for one in self.manifest.artefacts if one.role == "velero/contents")
        kept, kinds, spaces = [], set(), self.names.namespaces
        for item in read_items(self.vault.stream(found.name, generation=found.generation or None)):
            kinds.add((item.api.group, item.api.version, item.api.plural))
            here = item.namespace in spaces or not spaces
            if here and item.resource in (*_WORKLOADS, "secrets"):
                kept.append(item)
        return kept, [
            {"group": group, "version": version, "plural": plural} for group, version, plural in sorted(kinds)
        ]

    # --- import

    def import_backup(self, context: StepContext) -> Json:
        """A storage location over the copies, and the Backup object in it.

        Velero's sync controller would make that object within a minute; we make it as it does, at once.
        """
        kube, namespace, names = self.velero.kube, self.velero.namespace, self.names
        location = ensure(kube, LOCATIONS, self._location(context), names.labels, namespace)
        self._available(context)
        name = text(context.outcome("stage"), "backup")
        if not self.carries_volumes():
            bucket, _ = self.velero.bucket()
            body: dict[str, dict[str, object]] = json.loads(bucket.get(self._folder(name) + METADATA))
            body["metadata"]["labels"] = {**labels_of(body), **names.marks(context.clock.now())}
            ensure(kube, BACKUPS, body, names.labels, namespace)
        backup = self._imported(name, context)
        return {"backup": name, "backup_uid": uid_of(backup), "location_uid": uid_of(location)}

    def _location(self, context: StepContext) -> KubeObject:
        """As the location that backups go to, except the prefix. Read-only: Velero collects no garbage in it."""
        spec = dict(mapping(self.velero.storage(), "spec"))
        storage = {**mapping(spec, "objectStorage"), "prefix": self.names.folder.rstrip("/")}
        spec.update(objectStorage=storage, accessMode="ReadOnly", default=False)
        metadata = {
            "name": self.names.name,
            "namespace": self.velero.namespace,
            "labels": dict(self.names.marks(context.clock.now())),
        }
        return {"metadata": metadata, "spec": spec}

    def _available(self, context: StepContext) -> None:
        name = self.names.name
        seen: KubeObject = {}
        watched = self.velero.kube.watch(
            LOCATIONS, self.velero.namespace, fields=f"metadata.name={name}", deadline_s=_AVAILABLE_S, idle_s=5
        )
        for event in watched:
            context.progress(0, None, "objects")
            seen = event.object if event else seen
            if text(seen, "status", "phase") == "Available":
                return
        said = text(seen, "status", "message") or "Velero did not validate it"
        raise DrError(TIMED_OUT, f"storage location {name} is not available after {_AVAILABLE_S:.0f} s: {said}")

    def _imported(self, name: str, context: StepContext) -> KubeObject:
        watched = self.velero.kube.watch(
            BACKUPS, self.velero.namespace, fields=f"metadata.name={name}", deadline_s=_SYNC_S, idle_s=5
        )
        for event in watched:
            context.progress(0, None, "objects")
            if event and event.type != "DELETED":
                return self._ours(event.object, name)
        raise DrError(TIMED_OUT, f"Velero did not import backup {name} within {_SYNC_S:.0f} s")

    def _ours(self, backup: KubeObject, name: str) -> KubeObject:
        location = text(backup, "spec", "storageLocation")
        if location != self.names.name:
            raise DrError(
                RESTORE_FAILED,
                f"backup {name} is in Velero's location {location}; its volumes can be restored from there only",
            )
        return backup


_WORKLOADS: Mapping[str, str] = {
    "deployments.apps": "Deployment",
    "statefulsets.apps": "StatefulSet",
    "cronjobs.batch": "CronJob",
}


def _workload(item: Item) -> Json:
    """What release must know: how many replicas it had, whether it ran, whether it was suspended."""
    replicas = replicas_of(item.body)
    return {
        "resource": item.resource,
        "namespace": item.namespace,
        "name": item.name,
        "replicas": replicas,
        "ran": ready_of(item.body) >= replicas,
        "suspended": suspended_of(item.body),
    }


def _is_metadata(artefact: Artefact) -> bool:
    return artefact.role == "velero/backup"
