"""The cluster as a source: the Velero backup that the guide's command means, read back and copied to the vault."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from dr.components.cluster import copying, following
from dr.components.cluster.access import ClusterOptions, Velero
from dr.components.cluster.checking import check_all
from dr.components.cluster.layout import (
    BACKUPS,
    LABEL_PLAN,
    METADATA,
    METHOD,
    NOTE_ATTEMPT,
    NOTE_SLOT,
    REQUIRED,
    derived_name,
    file_of,
    role_of,
)
from dr.components.cluster.scoping import TENANT_LABEL, living_tenants
from dr.components.cluster.tarball import gunzip
from dr.components.cluster.volumes import Volume, read_volumes, uncaptured
from dr.errors import BACKUP_FAILED, CONFLICT, TIMED_OUT, DrError
from dr.model.ids import Slot
from dr.model.points import Artefact, Check
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant, parse_instant
from dr.ports import Clock, Draft, Json, ObjectStore, SourceFacts, Step, StepContext
from dr.vendors.kubernetes_objects import (
    DEPLOYMENTS,
    NAMESPACES,
    KubeObject,
    annotations_of,
    instant,
    labels_of,
    mapping,
    name_of,
    number,
    selects,
    sequence,
    text,
    uid_of,
)
from dr.vendors.retry import with_retry


@dataclass(frozen=True, slots=True)
class VeleroSource:
    """One cluster (`ports.Source`, kind `velero`)."""

    spec: SourceSpec
    velero: Velero
    clock: Clock

    @property
    def options(self) -> ClusterOptions:
        return ClusterOptions.read(self.spec)

    def observe(self) -> SourceFacts:
        """The namespaces that a backup taken now would mean."""
        chosen = self.namespaces()
        details: Json = {"namespaces": list(chosen), "kubernetes": self.velero.kube.version()}
        return SourceFacts(self.spec.id, self.clock.now(), details=details)

    def check(self) -> tuple[Check, ...]:
        return check_all(self.spec, self.velero, self.options, self.clock.now())

    def capture(self, slot: Slot, vault: ObjectStore, now: datetime) -> Sequence[Step]:
        return (
            Step("select", self._select),
            Step("request", partial(self._request, slot)),
            Step("follow", self._follow),
            Step("copy", partial(self._copy, slot, vault)),
        )

    # --- steps

    def _select(self, context: StepContext) -> Json:
        chosen = self.namespaces()
        tenants = living_tenants(self.velero.kube, text(self.spec.options, TENANT_LABEL), chosen)
        return {"namespaces": list(chosen), "tenants": tenants, "velero": self._velero()}

    def _velero(self) -> Json:
        """What a new cluster needs to get the same Velero, remembered by every point."""
        velero = self.velero
        location = mapping(velero.storage(), "spec")
        pod = mapping(velero.kube.get(DEPLOYMENTS, "velero", velero.namespace), "spec", "template", "spec")
        images = [text(one, "image") for one in sequence(pod, "containers")]
        return {
            "location": {key: location[key] for key in ("provider", "objectStorage", "config") if key in location},
            "image": images[0] if images else "",
            "plugins": [text(one, "image") for one in sequence(pod, "initContainers")],
        }

    def namespaces(self) -> tuple[str, ...]:
        """By name, and by label. Contained copies of a drill carry the labels of what they copy, but are not meant."""
        kube, options = self.velero.kube, self.options
        missing = [name for name in options.namespaces if kube.get(NAMESPACES, name) is None]
        if missing:
            raise DrError(BACKUP_FAILED, f"namespace {', '.join(missing)} of {self.spec.id} does not exist")
        if not options.selector:
            return tuple(sorted(options.namespaces))
        labelled = kube.list(NAMESPACES, labels=selects(options.selector), metadata_only=True).items
        chosen = {name_of(found) for found in labelled if LABEL_PLAN not in labels_of(found)}
        return tuple(sorted({*options.namespaces, *chosen}))

    def _request(self, slot: Slot, context: StepContext) -> Json:
        namespaces = [str(name) for name in sequence(context.outcome("select"), "namespaces")]
        body = self._backup(slot, context.attempt, namespaces)
        found = with_retry(lambda: self._ensure(body), what=f"create Velero backup {name_of(body)}")
        return {"backup": name_of(found), "uid": uid_of(found)}

    def _ensure(self, body: KubeObject) -> KubeObject:
        """Create it, or find that we did before a crash or a lost reply; never two for one attempt."""
        kube, namespace = self.velero.kube, self.velero.namespace
        try:
            return kube.create(BACKUPS, body, namespace)
        except DrError as error:
            if error.kind is not CONFLICT:
                raise
        found = kube.get(BACKUPS, name_of(body), namespace)
        if found is None or any(annotations_of(found).get(k) != v for k, v in annotations_of(body).items()):
            raise DrError(CONFLICT, f"Velero backup {name_of(body)} exists, and is not of this run")
        return found

    def _backup(self, slot: Slot, attempt: int, namespaces: Sequence[str]) -> KubeObject:
        options = self.options
        readable = f"{slot.source.name}-{slot.due:%Y%m%dt%H%M%S}-{attempt}"
        spec: dict[str, object] = {
            "includedNamespaces": list(namespaces),
            "includedClusterScopedResources": list(options.cluster_scoped),
            "excludedNamespaceScopedResources": list(options.exclude_resources),
            "storageLocation": self.velero.location,
            "snapshotVolumes": options.snapshot_volumes,
            "snapshotMoveData": options.move_data,
        }
        if options.keep:
            spec["ttl"] = options.keep
        return {
            "apiVersion": "velero.io/v1",
            "kind": "Backup",
            "metadata": {
                "name": derived_name(readable, slot.id, str(attempt)),
                "namespace": self.velero.namespace,
                "annotations": {NOTE_SLOT: slot.id, NOTE_ATTEMPT: str(attempt)},
            },
            "spec": spec,
        }

    def _follow(self, context: StepContext) -> Json:
        asked = context.outcome("request")
        name, velero = text(asked, "backup"), self.velero
        # while Velero works: what `copy` will need is reached now, so that its absence fails early and its connections
        # stand when the backup is done
        bucket, prefix = velero.bucket()
        bucket.stat(f"{prefix}backups/{name}/{METADATA}")
        watched = (velero.kube, BACKUPS, velero.namespace, name)
        try:
            ended = following.follow(*watched, text(asked, "uid"), self.options.deadline, context)
        except DrError as error:
            if error.kind is not TIMED_OUT:
                raise
            raise following.given_up(*watched, error) from error
        said = "" if following.phase_of(ended) == "Completed" else self._results(name)
        following.must_be_completed(ended, BACKUP_FAILED, "Velero backup", said)
        started = instant(ended, "status", "startTimestamp")
        if started is None:
            raise DrError(BACKUP_FAILED, f"Velero backup {name} is Completed without a start")
        ending = instant(ended, "status", "completionTimestamp") or started
        return {
            "started": format_instant(started),
            "completed": format_instant(ending),
            "errors": number(ended, "status", "errors"),
            "warnings": number(ended, "status", "warnings"),
        }

    def _results(self, name: str) -> str:
        bucket, prefix = self.velero.bucket()
        return following.summarised(bucket, f"{prefix}backups/{name}/{file_of('velero/results', name)}")

    def _copy(self, slot: Slot, vault: ObjectStore, context: StepContext) -> Json:
        name = text(context.outcome("request"), "backup")
        bucket, prefix = self.velero.bucket()
        folder = f"{prefix}backups/{name}/"
        wanted = [file_of(role, name) for role in REQUIRED]
        found = copying.settled(bucket, folder, wanted, lambda: _final(bucket, folder), self.clock)
        base = f"data/{slot.id}/{context.attempt}/backups/{name}/"
        copied = copying.copy_all(
            bucket, vault, [(info, base + info.name.removeprefix(folder)) for info in found], _Told(context, found).add
        )
        volumes = _volumes(vault, base, name, self.options.exclude_volumes)
        return {
            "artefacts": [_recorded(one, base, name) for one in copied],
            "base": base,
            "kinds": _listed(vault, base, name),
            "volumes": [volume.record() for volume in volumes],
        }

    # --- result

    def draft(self, outcomes: Mapping[str, Json]) -> Draft:
        """`as_of` is the backup's start: Velero reads object after object until its end, so only of what was written
        before the start is it known that every object of the backup has it."""
        copied, followed = outcomes["copy"], outcomes["follow"]
        return Draft(
            method=METHOD,
            as_of=parse_instant(text(followed, "started")),
            artefacts=tuple(_artefact(entry) for entry in sequence(copied, "artefacts")),
            counts={
                "items": sum(number(copied, "kinds", kind) for kind in mapping(copied, "kinds")),
                "errors": number(followed, "errors"),
                "warnings": number(followed, "warnings"),
            },
            details={
                "backup": text(outcomes["request"], "backup"),
                "uid": text(outcomes["request"], "uid"),
                "base": text(copied, "base"),
                "namespaces": list(sequence(outcomes["select"], "namespaces")),
                "tenants": dict(mapping(outcomes["select"], "tenants")),
                "kinds": dict(mapping(copied, "kinds")),
                "started": text(followed, "started"),
                "completed": text(followed, "completed"),
                "volumes": list(sequence(copied, "volumes")),
                "excluded_volumes": list(self.options.exclude_volumes),
                "velero": dict(mapping(outcomes["select"], "velero")),
            },
        )


class _Told:
    """Bytes copied so far, for the progress of a step."""

    def __init__(self, context: StepContext, found: Sequence[object]) -> None:
        self._context = context
        self._total = sum(getattr(info, "size", 0) for info in found)
        self._done = 0

    def add(self, size: int) -> None:
        self._done += size
        self._context.progress(self._done, self._total, "bytes")


def _final(bucket: ObjectStore, folder: str) -> bool:
    """The metadata in the bucket tells the end as well: Velero uploads it once more when it finalises."""
    try:
        return text(json.loads(bucket.get(folder + METADATA)), "status", "phase") == "Completed"
    except ValueError:
        return False


def _listed(vault: ObjectStore, base: str, backup: str) -> Mapping[str, int]:
    """How many items of each kind Velero itself says the backup has, from the copy in the vault."""
    listed = mapping(_decoded(vault, base, backup, "velero/resource-list"))
    return {kind: len(sequence(listed, kind)) for kind in sorted(listed)}


def _volumes(vault: ObjectStore, base: str, backup: str, excluded: Sequence[str]) -> tuple[Volume, ...]:
    """All volumes of the backup. Raises DrError BACKUP_FAILED naming those that nothing captured and nobody excluded."""
    info = _decoded(vault, base, backup, "velero/volumeinfo")
    volumes = read_volumes(info if isinstance(info, list) else [])
    fatal = ", ".join(f"{volume.name} ({volume.reason})" for volume in uncaptured(volumes, excluded))
    if fatal:
        hint = "let Velero snapshot or move them, or list them in excludeVolumes of the strategy"
        raise DrError(BACKUP_FAILED, f"Velero backup {backup} has no data of the volumes {fatal}", hint=hint)
    return volumes


def _decoded(vault: ObjectStore, base: str, backup: str, role: str) -> object:
    file = file_of(role, backup)
    try:
        decoded: object = json.loads(b"".join(gunzip([vault.get(base + file)])))
    except (DrError, ValueError) as error:
        raise DrError(BACKUP_FAILED, f"{file} of Velero backup {backup} cannot be decoded: {error}") from error
    return decoded


def _recorded(copied: copying.Copied, base: str, backup: str) -> Json:
    info = copied.stored.info
    return {
        "name": copied.name,
        "role": role_of(copied.name.removeprefix(base), backup),
        "size": info.size,
        "crc32c": info.crc32c,
        "sha256": copied.stored.sha256,
        "generation": info.generation,
    }


def _artefact(entry: object) -> Artefact:
    return Artefact(
        name=text(entry, "name"),
        role=text(entry, "role"),
        size=number(entry, "size"),
        crc32c=text(entry, "crc32c"),
        sha256=text(entry, "sha256"),
        generation=number(entry, "generation"),
    )
