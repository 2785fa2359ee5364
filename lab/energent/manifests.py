"""The platform's Kubernetes objects, rendered from the templates beside this file. Pure but for reading them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

import yaml

from lab.energent.documents import tier
from lab.node.api import Manifest

NAMESPACE = "energent-ai"
TENANT_LABEL = "energent.io/tenant"
CONFIG_MAP = "energent-platform-config"
DEPLOYMENT = "energent-platform"
TEMPLATES = Path(__file__).with_name("manifests")

PLURALS: Mapping[str, str] = {
    "AIModel": "aimodels",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "ConfigMap": "configmaps",
    "CronJob": "cronjobs",
    "CustomResourceDefinition": "customresourcedefinitions",
    "Deployment": "deployments",
    "GitRepository": "gitrepositories",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "Ingress": "ingresses",
    "Kustomization": "kustomizations",
    "Namespace": "namespaces",
    "PersistentVolume": "persistentvolumes",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "PriorityClass": "priorityclasses",
    "ResourceQuota": "resourcequotas",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "StorageClass": "storageclasses",
}


@dataclass(frozen=True, slots=True)
class Platform:
    """What the platform's configuration says."""

    project: str
    region: str
    database: str
    endpoint: str
    key: bytes
    ca: str
    min_replicas: int = 1


def path_of(manifest: Manifest) -> str:
    """Where the API serves the object."""
    version, meta = manifest["apiVersion"], manifest["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    scope = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    return f"{root}{scope}/{PLURALS[manifest['kind']]}/{meta['name']}"


def cluster_objects() -> list[Manifest]:
    """What has no namespace, and the platform's namespace."""
    return [*_render("cluster", {}), *_render("flux", {})]


def platform_objects(platform: Platform) -> list[Manifest]:
    """The namespace energent-ai."""
    words = {
        "project": platform.project,
        "region": platform.region,
        "database": platform.database,
        "endpoint": platform.endpoint,
        "key_b64": base64.b64encode(platform.key).decode(),
        "min_replicas": str(platform.min_replicas),
    }
    found = list(_render("platform", words))
    next(entry for entry in found if entry["metadata"]["name"] == "energent-trust")["data"]["ca.pem"] = platform.ca
    return found


def tenant_objects(number: int) -> list[Manifest]:
    """A tenant's namespace and what is in it, the namespace first."""
    name, storage = tier(number)
    words = {"number": f"{number:03d}", "tier": name.lower(), "storage": str(storage)}
    return list(_render("tenant", words | {"tenant_key": base64.b64encode(f"key of {number}".encode()).decode()}))


def tenant_namespace(number: int) -> str:
    return f"tenant-{number:03d}"


def _render(name: str, words: Mapping[str, str]) -> Iterator[Manifest]:
    text = Template((TEMPLATES / f"{name}.yaml").read_text()).substitute(words)
    yield from filter(None, yaml.safe_load_all(text))
