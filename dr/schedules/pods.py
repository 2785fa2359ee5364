"""How `dr` runs in a Pod: the same for the service and for every CronJob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Manifest = dict[str, object]

CONFIG, CACHE = "dr-config", "/var/cache/dr"
PORT = 8080
USER = 65532
"""Of the image (Dockerfile)."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Names that the manifests share."""

    namespace: str = "dr-system"
    velero: str = "velero"
    project: str = "energent-backup"
    """Where the Google service accounts live that the Pods act as."""
    image: str = "dr"
    """Replaced by a kustomization's `images`."""


def account(identity: str) -> str:
    """Of Kubernetes, and the local part of the Google service account's address."""
    return f"dr-{identity}"


def labels(component: str) -> dict[str, str]:
    """As Kubernetes recommends; `component`: service, capture, prune, verify, drill."""
    return {"app.kubernetes.io/name": "dr", "app.kubernetes.io/component": component}


def pod_spec(
    cluster: Cluster,
    identity: str,
    args: tuple[str, ...],
    memory: str,
    env: Sequence[Manifest] = (),
    **more: object,
) -> Manifest:
    """A Pod that the `restricted` standard admits. `more`: fields of the container."""
    return {
        "serviceAccountName": account(identity),
        # prune never talks to the cluster
        "automountServiceAccountToken": identity != "prune",
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(cluster, args, memory, env, more)],
        "volumes": [
            {"name": "config", "configMap": {"name": CONFIG}},
            {"name": "cache", "emptyDir": {"sizeLimit": "2Gi"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "2Gi"}},
        ],
    }


def _container(
    cluster: Cluster, args: tuple[str, ...], memory: str, env: Sequence[Manifest], more: Mapping[str, object]
) -> Manifest:
    return {
        "name": "dr",
        "image": cluster.image,
        "args": list(args),
        "env": [
            {"name": "DR_CONFIG", "value": "/etc/dr/dr.yaml"},
            {"name": "DR_CACHE_DIR", "value": CACHE},
            *env,
        ],
        # addresses that are secrets: DR_NOTIFICATIONS_SLACK, DR_DEADMAN_URL...
        "envFrom": [{"secretRef": {"name": "dr-notifications", "optional": True}}],
        **more,
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": memory}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/dr", "readOnly": True},
            {"name": "cache", "mountPath": CACHE},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
