"""What the cluster component works with, and what a strategy may say about one cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from dr.components.cluster.layout import LOCATIONS
from dr.errors import CONFIGURATION, NOT_FOUND, DrError
from dr.model.strategy import SourceSpec
from dr.model.timeline import parse_duration
from dr.ports import ObjectStore
from dr.vendors.kubernetes import Event, Listing
from dr.vendors.kubernetes_objects import KubeObject, Resource, mapping, text

_CLUSTER_SCOPED = (
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "ingressclasses.networking.k8s.io",
    "priorityclasses.scheduling.k8s.io",
    "storageclasses.storage.k8s.io",
)
"""What namespaced content needs without pointing at it in a way that Velero follows; docs/velero.md says why these."""
_EVENTS = ("events", "events.events.k8s.io")


class KubeApi(Protocol):
    """What is needed of `dr.vendors.kubernetes.Kubernetes`."""

    def get(self, resource: Resource, name: str, namespace: str = "") -> KubeObject | None: ...

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> Listing: ...

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        deadline_s: float,
        idle_s: float = 10.0,
    ) -> Iterator[Event | None]: ...

    def create(self, resource: Resource, body: KubeObject, namespace: str = "") -> KubeObject: ...

    def patch(self, resource: Resource, name: str, body: KubeObject, namespace: str = "") -> KubeObject: ...

    def delete(self, resource: Resource, name: str, namespace: str = "", *, uid: str = "") -> bool: ...

    def allowed(self, verb: str, resource: Resource, namespace: str = "") -> bool: ...

    def version(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Velero:
    """One cluster's API and its Velero. `open_bucket(name)` opens `gs://name` as whoever runs this."""

    kube: KubeApi
    open_bucket: Callable[[str], ObjectStore]
    namespace: str = "velero"
    location: str = "default"
    """The BackupStorageLocation that backups go to."""

    def storage(self) -> KubeObject:
        """The location object. Raises DrError NOT_FOUND."""
        found = self.kube.get(LOCATIONS, self.location, self.namespace)
        if found is None:
            raise DrError(NOT_FOUND, f"Velero has no storage location {self.location} in namespace {self.namespace}")
        return found

    def bucket(self) -> tuple[ObjectStore, str]:
        """The location's bucket, and the prefix inside it under which Velero writes (empty or with a final slash)."""
        spec = mapping(self.storage(), "spec", "objectStorage")
        prefix = text(spec, "prefix").strip("/")
        return self.open_bucket(text(spec, "bucket")), f"{prefix}/" if prefix else ""


@dataclass(frozen=True, slots=True)
class Cutover:
    """How the application learns of its restored database, and which workload says that it works."""

    namespace: str
    config_map: str
    key: str
    workload: str

    @classmethod
    def read(cls, options: Mapping[str, object]) -> Cutover | None:
        """None when the strategy declares none."""
        found = mapping(options, "cutover")
        if not found:
            return None
        return cls(*(text(found, key) for key in ("namespace", "configMap", "key", "workload")))


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """The `options` of a source of kind `velero`."""

    namespaces: tuple[str, ...]
    selector: Mapping[str, str]
    exclude_volumes: tuple[str, ...]
    """Patterns of `namespace/pvc` whose data the strategy does without."""
    snapshot_volumes: bool
    move_data: bool
    cluster_scoped: tuple[str, ...]
    exclude_resources: tuple[str, ...]
    deadline: timedelta
    """After this a backup or restore that has no final phase is stuck."""
    keep: str
    """Velero's own time to live, as Velero writes it; empty: Velero's default."""
    allow_egress: tuple[str, ...]
    """Networks that a contained copy may reach, `10.0.0.0/8` or `10.1.2.3/32:443` (its restored database, name resolution)."""
    replace_secrets: tuple[str, ...]
    """Patterns of `namespace/name`: external credentials, which a contained copy does not get."""
    cutover: Cutover | None

    @classmethod
    def read(cls, spec: SourceSpec) -> ClusterOptions:
        """Raises DrError CONFIGURATION."""
        options = spec.options
        read = cls(
            namespaces=_names(options, "namespaces"),
            selector={key: str(value) for key, value in mapping(options, "namespaceSelector").items()},
            exclude_volumes=_names(options, "excludeVolumes"),
            snapshot_volumes=options.get("snapshotVolumes", True) is not False,
            move_data=options.get("snapshotMoveData", False) is True,
            cluster_scoped=_names(options, "clusterScopedResources") or _CLUSTER_SCOPED,
            exclude_resources=(*_EVENTS, *_names(options, "excludeResources")),
            deadline=_duration(options.get("deadline", "2h")),
            keep=text(options, "veleroTtl"),
            allow_egress=_names(options, "allowEgress"),
            replace_secrets=_names(options, "replaceSecrets"),
            cutover=Cutover.read(options),
        )
        if not read.namespaces and not read.selector:
            raise DrError(CONFIGURATION, f"{spec.id} names no namespace and no namespaceSelector to back up")
        return read


def _names(options: Mapping[str, object], key: str) -> tuple[str, ...]:
    found = options.get(key) or ()
    if isinstance(found, list | tuple):
        return tuple(str(name) for name in found)
    raise DrError(CONFIGURATION, f"{key} must be a list of names")


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    try:
        return parse_duration(str(value))
    except ValueError as error:
        raise DrError(CONFIGURATION, f"deadline: {error}") from None
