"""Velero in a cluster that has none: what `velero install` would apply, made from what the points remember of the lost one.

`assets/velero.yaml` is the output of the real `velero install --dry-run` of the release below; a test holds it to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Protocol

from dr.components.cluster.access import KubeApi
from dr.components.cluster.layout import LOCATIONS
from dr.errors import TARGET_EXISTS, TIMED_OUT, DrError
from dr.ports import Clock
from dr.vendors.kubernetes_objects import (
    CUSTOM_RESOURCES,
    DEPLOYMENTS,
    NAMESPACES,
    KubeObject,
    Resource,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    sequence,
    text,
)

RELEASE, PLUGIN = "v1.18.3", "v1.14.2"
IMAGE, PLUGIN_IMAGE = f"velero/velero:{RELEASE}", f"velero/velero-plugin-for-gcp:{PLUGIN}"
MADE_BY = {"app.kubernetes.io/managed-by": "dr"}
WORKLOAD_IDENTITY = "iam.gke.io/gcp-service-account"
_ESTABLISHED_S, _AVAILABLE_S, _PAUSE_S = 60.0, 300.0, 0.2
"""The server's image must be pulled before it can look at its location."""
_PLACES: Mapping[str, Resource] = {
    "CustomResourceDefinition": CUSTOM_RESOURCES,
    "Namespace": NAMESPACES,
    "ServiceAccount": Resource("", "v1", "serviceaccounts"),
    "ClusterRoleBinding": Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", namespaced=False),
    "BackupStorageLocation": LOCATIONS,
    "VolumeSnapshotLocation": Resource("velero.io", "v1", "volumesnapshotlocations"),
    "Deployment": DEPLOYMENTS,
    "DaemonSet": Resource("apps", "v1", "daemonsets"),
}
"""Kind -> where it goes; applied in this order."""


class ApplyApi(KubeApi, Protocol):
    """What applying needs of `dr.vendors.kubernetes.Kubernetes`."""

    def apply(self, resource: Resource, body: KubeObject, namespace: str = "", manager: str = "dr") -> KubeObject: ...


@dataclass(frozen=True, slots=True)
class Install:
    """One Velero: its names, its bucket, its images."""

    namespace: str
    location: str
    storage: KubeObject
    """The spec of its BackupStorageLocation: provider, objectStorage, config."""
    image: str = IMAGE
    plugins: tuple[str, ...] = (PLUGIN_IMAGE,)
    account: str = ""
    """The Google service account that Velero's own stands for; empty: the nodes' or a secret's."""
    node_agent: bool = False
    """Volumes whose data was moved come back through it."""

    @property
    def bucket(self) -> str:
        return text(self.storage, "objectStorage", "bucket")


def remembered(details: Mapping[str, object], namespace: str, location: str, bucket: str, account: str) -> Install:
    """From the details of the newest cluster point. `bucket` and `account` replace what was; without a point or a bucket in
    it, `bucket` must be given. Raises ValueError when no bucket is known."""
    velero = mapping(details, "velero")
    storage = _storage(mapping(velero, "location"), bucket, account)
    if not text(storage, "objectStorage", "bucket"):
        raise ValueError("no point says which bucket Velero used")
    moved = {"CSISnapshot", "PodVolumeBackup"} & {text(one, "method") for one in sequence(details, "volumes")}
    image = text(velero, "image")
    plugins = tuple(str(one) for one in sequence(velero, "plugins") if _pinned(str(one)))
    return Install(
        namespace,
        location,
        storage,
        image if _pinned(image) else IMAGE,
        plugins or (PLUGIN_IMAGE,),
        account or text(storage, "config", "serviceAccount"),
        bool(moved),
    )


def _pinned(image: str) -> bool:
    """Says which version it is."""
    return ":" in image.rpartition("/")[2]


def _storage(found: KubeObject, bucket: str, account: str) -> KubeObject:
    objects = {**mapping(found, "objectStorage"), **({"bucket": bucket} if bucket else {})}
    config = {**mapping(found, "config"), **({"serviceAccount": account} if account else {})}
    whole: dict[str, object] = {"provider": text(found, "provider") or "velero.io/gcp", "objectStorage": objects}
    return {**whole, **({"config": config} if config else {}), "default": True}


# --- what is applied -------------------------------------------------------------------------------------------------


def shipped() -> list[dict[str, Any]]:
    """The objects of `velero install`, as shipped."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = resources.files(__package__).joinpath("assets/velero.yaml").read_text(encoding="utf-8")
    return list(yaml.load_all(content, Loader=loader))


def manifests(install: Install) -> list[KubeObject]:
    """Everything to apply, in order."""
    kinds = list(_PLACES)
    wanted = [one for one in shipped() if install.node_agent or one["kind"] != "DaemonSet"]
    return [_fitted(one, install) for one in sorted(wanted, key=lambda one: kinds.index(one["kind"]))]


def _fitted(body: dict[str, Any], install: Install) -> KubeObject:
    metadata = body["metadata"]
    metadata["labels"] = {**metadata.get("labels", {}), **MADE_BY}
    if "namespace" in metadata:
        metadata["namespace"] = install.namespace
    _FITTED.get(body["kind"], _as_it_is)(body, install)
    return body


def _as_it_is(_body: dict[str, Any], _install: Install) -> None:
    """Definitions are the same everywhere."""


def _namespace(body: dict[str, Any], install: Install) -> None:
    body["metadata"]["name"] = install.namespace


def _account(body: dict[str, Any], install: Install) -> None:
    body["metadata"]["annotations"] = {WORKLOAD_IDENTITY: install.account} if install.account else {}


def _binding(body: dict[str, Any], install: Install) -> None:
    body["subjects"][0]["namespace"] = install.namespace


def _location(body: dict[str, Any], install: Install) -> None:
    body["metadata"]["name"] = install.location
    body["spec"] = dict(install.storage)


def _snapshots(body: dict[str, Any], install: Install) -> None:
    body["spec"] = {"provider": text(install.storage, "provider")}


def _workload(body: dict[str, Any], install: Install) -> None:
    pod = body["spec"]["template"]["spec"]
    pod["containers"][0]["image"] = install.image
    if body["kind"] == "Deployment":
        pod["containers"][0]["args"].append(f"--default-backup-storage-location={install.location}")
        pod["initContainers"] = [_plugin(pod["initContainers"][0], image) for image in install.plugins]


def _plugin(like: Mapping[str, Any], image: str) -> dict[str, Any]:
    name = image.partition("@")[0].partition(":")[0].replace("/", "-").replace(".", "-")
    return {**like, "image": image, "name": name[-63:].strip("-")}


_FITTED: Mapping[str, Callable[[dict[str, Any], Install], None]] = {
    "Namespace": _namespace,
    "ServiceAccount": _account,
    "ClusterRoleBinding": _binding,
    "BackupStorageLocation": _location,
    "VolumeSnapshotLocation": _snapshots,
    "Deployment": _workload,
    "DaemonSet": _workload,
}


# --- applying --------------------------------------------------------------------------------------------------------


def refuse_living(kube: KubeApi, namespace: str) -> None:
    """Raises DrError TARGET_EXISTS when a Velero that somebody else set up is there."""
    found = kube.get(DEPLOYMENTS, "velero", namespace)
    if found is not None and not MADE_BY.items() <= labels_of(found).items():
        hint = "if it is the right one, go on with the restore: `dr check --pre`"
        raise DrError(TARGET_EXISTS, f"this cluster has a Velero in namespace {namespace} already", hint=hint)


def install(kube: ApplyApi, wanted: Install, clock: Clock) -> Iterator[str]:
    """Apply everything and wait until Velero has validated its location; yields what was done. Repeatable.

    Raises DrError TARGET_EXISTS, TIMED_OUT, NOT_AUTHORISED.
    """
    refuse_living(kube, wanted.namespace)
    objects = manifests(wanted)
    definitions = [one for one in objects if one["kind"] == "CustomResourceDefinition"]
    for one in definitions:
        kube.apply(CUSTOM_RESOURCES, one)
    _until(clock, _ESTABLISHED_S, lambda: _established(kube, definitions), "Velero's definitions are not served")
    yield f"{len(definitions)} custom resource definitions of Velero {RELEASE}"
    for one in objects[len(definitions) :]:
        kube.apply(_PLACES[str(one["kind"])], one, namespace_of(one))
        yield f"{one['kind']} {name_of(one)}"
    seen: dict[str, KubeObject] = {}
    _until(
        clock, _AVAILABLE_S, lambda: _available(kube, wanted, seen), f"storage location {wanted.location} is not Available",
        lambda: text(seen.get("found", {}), "status", "message"),
    )  # fmt: skip
    yield f"storage location {wanted.location} is Available: gs://{wanted.bucket}"


def _established(kube: KubeApi, definitions: Sequence[KubeObject]) -> bool:
    living = {name_of(one): one for one in kube.list(CUSTOM_RESOURCES).items}
    return all(_condition(living.get(name_of(one), {}), "Established") for one in definitions)


def _condition(body: KubeObject, wanted: str) -> bool:
    found = {text(one, "type"): text(one, "status") for one in sequence(body, "status", "conditions")}
    return found.get(wanted) == "True"


def _available(kube: KubeApi, wanted: Install, seen: dict[str, KubeObject]) -> bool:
    seen["found"] = kube.get(LOCATIONS, wanted.location, wanted.namespace) or {}
    return text(seen["found"], "status", "phase") == "Available"


def _until(
    clock: Clock, seconds: float, done: Callable[[], bool], fault: str, why: Callable[[], str] = lambda: ""
) -> None:
    """Raises DrError TIMED_OUT saying `fault`."""
    end = clock.stamp().monotonic + seconds
    while not done():
        if clock.stamp().monotonic >= end:
            said = why()
            raise DrError(TIMED_OUT, f"{fault} after {seconds:.0f} s" + (f": {said}" if said else ""))
        clock.sleep(_PAUSE_S)
