"""Kubernetes objects as plain JSON, and where each kind lives in the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dr.model.timeline import parse_instant

KubeObject = Mapping[str, object]
"""One decoded object, as the API server sent it."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of the API: `Resource("apps", "v1", "deployments")`; the core group is empty."""

    group: str
    version: str
    plural: str
    namespaced: bool = True
    kind: str = field(default="", compare=False)
    """`Deployment`, where discovery told it: the items of a list do not say."""

    @property
    def group_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        """`deployments.apps`, as Velero and RBAC messages write it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "") -> str:
        """URL path of the collection or of one object."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")


NAMESPACES = Resource("", "v1", "namespaces", namespaced=False)
CONFIG_MAPS = Resource("", "v1", "configmaps")
SECRETS = Resource("", "v1", "secrets")
PODS = Resource("", "v1", "pods")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets")
CRON_JOBS = Resource("batch", "v1", "cronjobs")
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies")
CUSTOM_RESOURCES = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", namespaced=False)
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", namespaced=False)
INGRESS_CLASSES = Resource("networking.k8s.io", "v1", "ingressclasses", namespaced=False)
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", namespaced=False)


def mapping(obj: object, *path: str) -> KubeObject:
    """The mapping at `path`, or an empty one."""
    for key in path:
        obj = obj.get(key) if isinstance(obj, Mapping) else None
    return obj if isinstance(obj, Mapping) else {}


def text(obj: object, *path: str) -> str:
    """The string at `path`, or an empty one."""
    found = mapping(obj, *path[:-1]).get(path[-1])
    return found if isinstance(found, str) else ""


def number(obj: object, *path: str) -> int:
    """The integer at `path`, or 0: Kubernetes omits zeros."""
    found = mapping(obj, *path[:-1]).get(path[-1])
    return found if isinstance(found, int) else 0


def sequence(obj: object, *path: str) -> Sequence[object]:
    """The list at `path`, or an empty one."""
    found = mapping(obj, *path[:-1]).get(path[-1])
    return found if isinstance(found, list) else []


def instant(obj: object, *path: str) -> datetime | None:
    """The RFC 3339 instant at `path`, or None. Raises ValueError on another text."""
    found = text(obj, *path)
    return parse_instant(found) if found else None


def name_of(obj: object) -> str:
    return text(obj, "metadata", "name")


def namespace_of(obj: object) -> str:
    return text(obj, "metadata", "namespace")


def uid_of(obj: object) -> str:
    return text(obj, "metadata", "uid")


def labels_of(obj: object) -> Mapping[str, str]:
    return {key: str(value) for key, value in mapping(obj, "metadata", "labels").items()}


def annotations_of(obj: object) -> Mapping[str, str]:
    return {key: str(value) for key, value in mapping(obj, "metadata", "annotations").items()}


def selects(selector: Mapping[str, str]) -> str:
    """A label selector as the API's query takes it."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
