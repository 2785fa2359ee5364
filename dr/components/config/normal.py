"""What of an object is its configuration: everything else is taken off before it is kept or compared. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping

from dr.components.cluster.comparing import MADE_BY_CLUSTER
from dr.components.cluster.layout import LABEL_PLAN
from dr.vendors.kubernetes_objects import (
    KubeObject,
    annotations_of,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    sequence,
    text,
)

Plain = dict[str, object]

_ENVELOPE = ("apiVersion", "kind", "metadata")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_KEPT_BY_CONTROLLERS = frozenset(
    {
        "deployment.kubernetes.io/revision",
        "deprecated.daemonset.template.generation",
        "autoscaling.alpha.kubernetes.io/conditions",
        "autoscaling.alpha.kubernetes.io/current-metrics",
    }
)
_MADE_BY_SERVER = frozenset({"kubernetes.io/metadata.name"})
_REGENERATORS = frozenset({"ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Node"})
_TOKENS = frozenset({"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"})
_BOOTSTRAP = "kubernetes.io/bootstrapping"


def skipped(kind: str, body: KubeObject) -> str:
    """Why an object is not captured; empty when it is."""
    if kind != "namespaces" and LABEL_PLAN in labels_of(body):
        return "made by a restore"
    if _LEADER in annotations_of(body):
        return "a leader election"
    if any(_regenerates(owner) for owner in sequence(body, "metadata", "ownerReferences")):
        return "made anew by its controller"
    if kind == "configmaps" and name_of(body) == MADE_BY_CLUSTER:
        return "every namespace gets it from its own cluster"
    if kind == "secrets" and text(body, "type") in _TOKENS:
        return "a token of its own cluster"
    if kind.endswith("rbac.authorization.k8s.io") and _BOOTSTRAP in labels_of(body):
        return "made anew by the API server"
    if kind == "serviceaccounts" and name_of(body) == "default" and not _touched(body):
        return "every namespace gets it from its own cluster"
    return ""


def _regenerates(owner: object) -> bool:
    return mapping(owner).get("controller") is True and text(owner, "kind") in _REGENERATORS


def _touched(account: KubeObject) -> bool:
    """Whether somebody gave the default account anything."""
    plain = normalised("serviceaccounts", account)
    return bool(plain.keys() - set(_ENVELOPE) or mapping(plain, "metadata").keys() - {"name", "namespace"})


def normalised(kind: str, body: KubeObject) -> Plain:
    """Without type, status, identity, history and what the server or a controller fills in; docs/config.md lists it."""
    kept = {key: _without_nulls(value) for key, value in body.items() if key not in (*_ENVELOPE, "status")}
    plain: Plain = {**kept, "metadata": _metadata(kind, body)}
    return _BY_KIND.get(kind, _same)(plain)


def _metadata(kind: str, body: KubeObject) -> Plain:
    dropped = _KEPT_BY_CONTROLLERS | ({_LAST_APPLIED} if kind == "secrets" else frozenset())
    annotations = {key: value for key, value in annotations_of(body).items() if key not in dropped}
    labels = {key: value for key, value in labels_of(body).items() if key not in _MADE_BY_SERVER}
    found: Plain = {
        "name": name_of(body),
        "namespace": namespace_of(body),
        "labels": labels,
        "annotations": annotations,
    }
    return {key: value for key, value in found.items() if value}


def _without_nulls(value: object) -> object:
    """Kubernetes writes `creationTimestamp: null` into templates; a null never means anything."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _same(plain: Plain) -> Plain:
    return plain


def _service(plain: Plain) -> Plain:
    """The address that the cluster gave is not the user's; that there shall be none is."""
    spec = dict(mapping(plain, "spec"))
    spec.pop("healthCheckNodePort", None)
    if spec.get("clusterIP") != "None":
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)
    if spec.get("ipFamilyPolicy") == "SingleStack":
        spec.pop("ipFamilyPolicy", None)
        spec.pop("ipFamilies", None)
    return {**plain, "spec": spec}


def _account(plain: Plain) -> Plain:
    """References to tokens of its own cluster."""
    return {key: value for key, value in plain.items() if key != "secrets"}


def _cluster_role(plain: Plain) -> Plain:
    """The rules of an aggregated role are computed by a controller."""
    return {key: value for key, value in plain.items() if key != "rules"} if "aggregationRule" in plain else plain


def _namespace(plain: Plain) -> Plain:
    return {key: value for key, value in plain.items() if key != "spec"}


_BY_KIND: Mapping[str, Callable[[Plain], Plain]] = {
    "services": _service,
    "serviceaccounts": _account,
    "clusterroles.rbac.authorization.k8s.io": _cluster_role,
    "namespaces": _namespace,
}


def content_of(plain: KubeObject) -> Plain:
    """A normalised object without what names it."""
    return {key: value for key, value in plain.items() if key not in _ENVELOPE}


def digest(value: KubeObject) -> str:
    """SHA-256 (hex) of canonical JSON."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
