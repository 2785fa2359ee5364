"""A hand-made cluster and a hand-made Velero: enough of both to drive captures and restores without a process.

The archives are written with the standard library's tarfile and gzip, so that the reader under test is not its own oracle.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dr.components.cluster.access import Velero
from dr.errors import CONFLICT, DrError
from dr.model.ids import Slot, SourceId
from dr.model.runs import Stamp
from dr.model.strategy import Place, SourceSpec
from dr.model.timeline import format_instant
from dr.ports import Clock, Json
from dr.stores.memory import MemoryStore
from dr.vendors.kubernetes import Event, Listing
from dr.vendors.kubernetes_objects import KubeObject, Resource, labels_of, mapping, name_of, uid_of

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BACKUPS = "velero.io/v1/backups"
SOURCE = SourceId("cluster", "velero", "test")


def spec(**options: object) -> SourceSpec:
    return SourceSpec(SOURCE, Place(), {"namespaces": ["app"], **options})


def slot(tag: str = "") -> Slot:
    return Slot(SOURCE, START, tag)


class TickingClock:
    """Time passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed)

    def stamp(self) -> Stamp:
        return Stamp(self.now(), self.passed, "boot")

    def sleep(self, seconds: float) -> None:
        self.passed += seconds


@dataclass
class Context:
    """A run's view for its steps; keeps what they return, as JSON, as a journal would."""

    clock: Clock = field(default_factory=TickingClock)
    attempt: int = 1
    outcomes: dict[str, Json] = field(default_factory=dict)

    def outcome(self, step: str) -> Json:
        return self.outcomes[step]

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """Nobody watches."""

    def journal(self, step: str, outcome: Json) -> None:
        self.outcomes[step] = json.loads(json.dumps(outcome))


class FakeKube:
    """Objects in a dictionary, with uids, conflicts and label selectors. `on_create` lets a Velero react."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, object]] = {}
        self.on_create: Callable[[Resource, dict[str, object]], None] = lambda resource, body: None
        self.on_idle: Callable[[], None] = lambda: None
        self.kept: set[str] = set()
        """Names whose deletion is asked for and never happens (a finalizer that nobody serves)."""
        self.withheld: set[str] = set()
        """What the caller may not do: `create backups.velero.io`."""

    def _key(self, resource: Resource, name: str, namespace: str) -> tuple[str, str, str]:
        return f"{resource.group_version}/{resource.plural}", namespace if resource.namespaced else "", name

    def get(self, resource: Resource, name: str, namespace: str = "") -> KubeObject | None:
        return self.objects.get(self._key(resource, name, namespace))

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> Listing:
        wanted = dict(pair.split("=", 1) for pair in labels.split(",") if "=" in pair)
        there = {name for name in labels.split(",") if name and "=" not in name}
        kind = self._key(resource, "", "")[0]
        found = [
            body
            for (of, space, _), body in sorted(self.objects.items())
            if of == kind
            and namespace in ("", space)
            and wanted.items() <= labels_of(body).items()
            and there <= labels_of(body).keys()
        ]
        return Listing(found, "1")

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        deadline_s: float,
        idle_s: float = 10.0,
    ) -> Iterator[Event | None]:
        """Looks again after each quiet spell, which takes no time here."""
        name = fields.removeprefix("metadata.name=")
        for _ in range(int(deadline_s / idle_s)):
            found = self.get(resource, name, namespace)
            if found is not None:
                yield Event("ADDED", found)
            yield None
            self.on_idle()

    def create(self, resource: Resource, body: KubeObject, namespace: str = "") -> KubeObject:
        key = self._key(resource, name_of(body), namespace)
        if key in self.objects:
            raise DrError(CONFLICT, f"{name_of(body)} already exists")
        metadata = {**mapping(body, "metadata"), "uid": str(uuid.uuid4()), "generation": 1}
        if resource.namespaced:
            metadata["namespace"] = namespace
        made: dict[str, object] = {**json.loads(json.dumps(body)), "metadata": metadata}
        self.objects[key] = made
        self.on_create(resource, made)
        return made

    def patch(self, resource: Resource, name: str, body: KubeObject, namespace: str = "") -> KubeObject:
        found = self.objects[self._key(resource, name, namespace)]
        found.update(merged(found, body))
        return found

    def delete(self, resource: Resource, name: str, namespace: str = "", *, uid: str = "") -> bool:
        key = self._key(resource, name, namespace)
        found = self.objects.get(key)
        if found is None:
            return False
        if uid and uid_of(found) != uid:
            raise DrError(CONFLICT, f"{name} has another uid")
        if name not in self.kept:
            del self.objects[key]
        return True

    def allowed(self, verb: str, resource: Resource, namespace: str = "") -> bool:
        return f"{verb} {resource}" not in self.withheld

    def version(self) -> str:
        return "v1.35.0"

    def put(self, path: str, namespace: str, body: dict[str, object]) -> None:
        """Set up the world: `put("v1/namespaces", "", {...})`."""
        metadata = {"uid": str(uuid.uuid4()), "namespace": namespace, **mapping(body, "metadata")}
        self.objects[(path, namespace, name_of(body))] = {**body, "metadata": metadata}


def merged(found: Mapping[str, object], patch: Mapping[str, object]) -> dict[str, object]:
    """A JSON merge patch."""
    kept = {key: value for key, value in found.items() if not (key in patch and patch[key] is None)}
    changed = {
        key: merged(mapping(found, key), value) if isinstance(value, Mapping) else value
        for key, value in patch.items()
        if value is not None
    }
    return {**kept, **changed}


def item(kind: str, plural: str, namespace: str, name: str, **more: object) -> tuple[str, dict[str, object]]:
    """(path in the archive, object); `kind` as `apps/v1/Deployment`."""
    version, _, bare = kind.rpartition("/")
    group = version.rpartition("/")[0]
    resource = f"{plural}.{group}" if group else plural
    metadata: dict[str, object] = {"name": name, **({"namespace": namespace} if namespace else {})}
    metadata.update(mapping(more.pop("metadata", {})))
    scope = f"namespaces/{namespace}" if namespace else "cluster"
    return f"resources/{resource}/{scope}/{name}.json", {
        "apiVersion": version,
        "kind": bare,
        "metadata": metadata,
        **more,
    }


WORLD = (
    item("v1/Namespace", "namespaces", "", "app"),
    item("v1/ConfigMap", "configmaps", "app", "config", data={"DATABASE": "live"}),
    item("v1/Secret", "secrets", "app", "secret", type="Opaque", data={}),
    item("apps/v1/Deployment", "deployments", "app", "web", spec={"replicas": 3}, status={"readyReplicas": 3}),
    item("v1/Pod", "pods", "app", "web-1", metadata={"ownerReferences": [{"controller": True, "kind": "ReplicaSet"}]}),
)


@dataclass
class Made:
    """A backup as Velero leaves it in its bucket; every field may be bent before `files()`."""

    name: str
    uid: str = "uid-1"
    world: Sequence[tuple[str, dict[str, object]]] = WORLD
    started: datetime = START
    phase: str = "Completed"
    volumes: Sequence[Mapping[str, object]] = ()
    unlisted: Sequence[str] = ()
    """Names of items left out of the resource list."""

    def tarball(self) -> bytes:
        out = io.BytesIO()
        with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
            self._add(tar, "metadata/version", b"1.1.0\n")
            for path, body in self.world:
                data = json.dumps(body).encode()
                resource, _, rest = path.removeprefix("resources/").partition("/")
                self._add(tar, path, data)
                self._add(tar, f"resources/{resource}/v1-preferredversion/{rest}", data)
        return out.getvalue()

    def _add(self, tar: tarfile.TarFile, path: str, data: bytes) -> None:
        info = tarfile.TarInfo(path)
        info.size, info.mtime = len(data), int(self.started.timestamp())
        tar.addfile(info, io.BytesIO(data))

    def listed(self) -> dict[str, list[str]]:
        listed: dict[str, list[str]] = {}
        for _, body in self.world:
            namespace = mapping(body, "metadata").get("namespace")
            entry = f"{namespace}/{name_of(body)}" if namespace else name_of(body)
            if name_of(body) not in self.unlisted:
                listed.setdefault(f"{body['apiVersion']}/{body['kind']}", []).append(entry)
        return listed

    def metadata(self) -> dict[str, object]:
        times = {"startTimestamp": format_instant(self.started), "completionTimestamp": format_instant(self.started)}
        head = {"name": self.name, "namespace": "velero", "uid": self.uid, "labels": {}, "annotations": {}}
        status = {"phase": self.phase, **times, "expiration": format_instant(self.started)}
        return {"apiVersion": "velero.io/v1", "kind": "Backup", "metadata": head, "spec": {}, "status": status}

    def files(self) -> dict[str, bytes]:
        def zipped(value: object) -> bytes:
            return gzip.compress(json.dumps(value).encode(), mtime=0)

        return {
            "velero-backup.json": json.dumps(self.metadata()).encode(),
            f"{self.name}.tar.gz": self.tarball(),
            f"{self.name}-resource-list.json.gz": zipped(self.listed()),
            f"{self.name}-volumeinfo.json.gz": zipped(list(self.volumes)),
            f"{self.name}-itemoperations.json.gz": zipped([]),
            f"{self.name}-results.gz": zipped({"errors": {}, "warnings": {}}),
            f"{self.name}-logs.gz": gzip.compress(
                f'level=info msg="start" backup=velero/{self.name} x\n'.encode(), mtime=0
            ),
            f"{self.name}-podvolumebackups.json.gz": zipped(None),
        }


class FakeVelero:
    """Reacts to Backup and Restore objects as Velero does; what it leaves out or bends is up to the test."""

    def __init__(self, kube: FakeKube, bucket: MemoryStore) -> None:
        self.kube, self.bucket = kube, bucket
        self.phase = "Completed"
        self.bend: Callable[[Made], None] = lambda made: None
        self.drop: Callable[[dict[str, bytes]], None] = lambda files: None
        self.requested: list[str] = []
        kube.on_create = self.created

    def created(self, resource: Resource, body: dict[str, object]) -> None:
        if str(resource) == "backups.velero.io" and "status" not in body:
            self._back_up(body)
        if str(resource) == "backupstoragelocations.velero.io":
            body["status"] = {"phase": "Available"}
        if str(resource) == "restores.velero.io":
            body["status"] = {"phase": self.phase, "progress": {"itemsRestored": 4, "totalItems": 4}}

    def _back_up(self, body: dict[str, object]) -> None:
        self.requested.append(name_of(body))
        made = Made(name_of(body), uid_of(body))
        self.bend(made)
        files = made.files()
        self.drop(files)
        for file, data in files.items():
            self.bucket.put(f"backups/{made.name}/{file}", data)
        body["status"] = {**mapping(made.metadata(), "status"), "phase": self.phase}


@dataclass
class World:
    """Cluster, Velero and its bucket."""

    kube: FakeKube
    bucket: MemoryStore
    fake: FakeVelero
    velero: Velero


def world() -> World:
    """A cluster with the namespaces `app`, `tenant-1` (labelled) and Velero's location `gcp`."""
    kube, bucket = FakeKube(), MemoryStore("velero", now=lambda: datetime.now(UTC))
    kube.put("v1/namespaces", "", {"metadata": {"name": "app"}})
    kube.put("v1/namespaces", "", {"metadata": {"name": "tenant-1", "labels": {"tenant": "true"}}})
    location = {"provider": "velero.io/gcp", "objectStorage": {"bucket": "velero"}}
    kube.put(
        "velero.io/v1/backupstoragelocations",
        "velero",
        {"metadata": {"name": "gcp"}, "spec": location, "status": {"phase": "Available"}},
    )
    return World(kube, bucket, FakeVelero(kube, bucket), Velero(kube, lambda name: bucket, "velero", "gcp"))


def elapsed(since: float) -> float:
    return time.monotonic() - since
