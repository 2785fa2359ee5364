"""Changes to the platform's configuration, and what the witness says of them.

The manifests say everything that the server would fill in, so that what was sent is what is kept.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Mapping

from lab.energent import manifests
from lab.energent.manifests import DEPLOYMENT, NAMESPACE, path_of, tenant_namespace
from lab.energent.values import config_fingerprint, configmap_fingerprint
from lab.energent.witness import CLUSTER_SOURCE, CONFIG_SOURCE, Acknowledged
from lab.node.api import Manifest

RECORDED = frozenset(
    {"ClusterRole", "ClusterRoleBinding", "ConfigMap", "GitRepository", "HorizontalPodAutoscaler", "Kustomization",
     "Role", "RoleBinding", "Secret"}
)  # fmt: skip
"""Kinds whose content the server keeps as it was sent."""
NAMES = 4
"""Objects of one kind that one writer keeps in a namespace."""


def config_path(manifest: Manifest) -> str:
    """`namespace/plural.group/name`."""
    group = manifest["apiVersion"].rpartition("/")[0]
    plural, meta = manifests.PLURALS[manifest["kind"]], manifest["metadata"]
    kind = f"{plural}.{group}" if group else plural
    return f"{meta.get('namespace', '-')}/{kind}/{meta['name']}"


def acknowledged(manifest: Manifest, *, deleted: bool = False) -> list[Acknowledged]:
    """What the witness says of an object that was written like this: a ConfigMap belongs to two rows."""
    if manifest["kind"] not in RECORDED:
        return []
    meta, whole = manifest["metadata"], "" if deleted else config_fingerprint(manifest)
    found = [Acknowledged(CONFIG_SOURCE, config_path(manifest), whole)]
    if manifest["kind"] == "ConfigMap":
        content = "" if deleted else configmap_fingerprint(manifest)
        found.append(Acknowledged(CLUSTER_SOURCE, f"{meta['namespace']}/ConfigMap/{meta['name']}", content))
    return found


def _object(version: str, kind: str, namespace: str, name: str, **content: object) -> Manifest:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **content}


def _config_map(namespace: str, name: str, number: int) -> Manifest:
    data = {"release": f"2025.5.{number}", "note": f"версия {number}", "features.json": '{"beta": ["агенты"]}'}
    return _object("v1", "ConfigMap", namespace, name, data=data)


def _secret(namespace: str, name: str, number: int) -> Manifest:
    value = base64.b64encode(f"{SECRET_MARK}-{number}-{name}".encode()).decode()
    return _object("v1", "Secret", namespace, name, type="Opaque", data={"token": value})


SECRET_MARK = "lab-secret-value"
"""Part of every Secret that is written here: it must be found nowhere in a vault."""


def _role(namespace: str, name: str, number: int) -> Manifest:
    verbs = ["get", "list", "watch", "update"][: number % 4 + 1]
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]
    return _object("rbac.authorization.k8s.io/v1", "Role", namespace, name, rules=rules)


def _autoscaler(namespace: str, name: str, number: int) -> Manifest:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{DEPLOYMENT}-batch-{name}"}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60 + number % 30}}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2 + number % 48}
    return _object(
        "autoscaling/v2", "HorizontalPodAutoscaler", namespace, name,
        spec={**spec, "metrics": [{"type": "Resource", "resource": cpu}]},
    )  # fmt: skip


def _kustomization(namespace: str, name: str, number: int) -> Manifest:
    spec = {"interval": "10m0s", "prune": True, "path": f"./apps/{number}", "suspend": True}
    source = {"kind": "GitRepository", "name": "energent-k8s"}
    return _object(
        "kustomize.toolkit.fluxcd.io/v1", "Kustomization", namespace, name, spec={**spec, "sourceRef": source}
    )


MAKERS: Mapping[str, Callable[[str, str, int], Manifest]] = {
    "ConfigMap": _config_map,
    "Secret": _secret,
    "Role": _role,
    "HorizontalPodAutoscaler": _autoscaler,
    "Kustomization": _kustomization,
}
_WEIGHTS = (40, 25, 10, 15, 10)


class Configurations:
    """What comes next: some names of each kind in every namespace, created, changed, now and then deleted."""

    def __init__(self, tenants: int, tag: str) -> None:
        self._spaces = [NAMESPACE, *(tenant_namespace(number) for number in range(1, tenants + 1))]
        self._tag, self._rng, self._made = tag, random.Random(tag), 0

    def next(self) -> tuple[Manifest, bool]:
        """(object, whether it is deleted)."""
        self._made += 1
        (kind,) = self._rng.choices(list(MAKERS), _WEIGHTS)
        name = f"cfg-{self._tag}-{self._rng.randrange(NAMES)}"
        return MAKERS[kind](self._rng.choice(self._spaces), name, self._made), self._rng.random() < 0.1


def broken(tenants: list[str]) -> list[tuple[str, str, Manifest | None]]:
    """A wrong release of the configuration: (method, path, merge patch or nothing), in order."""
    wrong = base64.b64encode(b"rotated-by-mistake").decode()
    patches: list[tuple[Manifest, Manifest | None]] = [
        (_config_map(NAMESPACE, "energent-features", 0), {"data": {"features.json": "{broken", "banner.txt": None}}),
        (_secret(NAMESPACE, "energent-api-keys", 0), {"data": {"gateway": wrong}}),
        (_role(NAMESPACE, DEPLOYMENT, 0), {"rules": []}),
        (_object("rbac.authorization.k8s.io/v1", "RoleBinding", NAMESPACE, DEPLOYMENT), None),
        (_autoscaler(NAMESPACE, DEPLOYMENT, 0), {"spec": {"minReplicas": 1, "maxReplicas": 1}}),
        (_kustomization(NAMESPACE, "energent-apps", 0), {"spec": {"path": "./apps/nowhere", "prune": False}}),
    ]
    patches += [(_config_map(space, "tenant-settings", 0), {"data": {"tier": "none"}}) for space in tenants]
    return [("PATCH" if patch else "DELETE", path_of(manifest), patch) for manifest, patch in patches]
