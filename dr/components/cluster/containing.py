"""Namespaces that nothing can get out of, made before anything is restored into them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dr.components.cluster.access import KubeApi
from dr.components.cluster.names import Names
from dr.errors import CONFLICT, TARGET_EXISTS, DrError
from dr.ports import Json, StepContext
from dr.vendors.kubernetes_objects import (
    NAMESPACES,
    NETWORK_POLICIES,
    KubeObject,
    Resource,
    labels_of,
    name_of,
    text,
    uid_of,
)
from dr.vendors.retry import with_retry

POLICY = "dr-contain"


def contain(kube: KubeApi, names: Names, allow_egress: Sequence[str], context: StepContext) -> Json:
    """Each target namespace with its default-deny policy; the policy first, so to say: nothing is restored until all
    are there. Journals name and uid of each namespace, which is what teardown may delete."""
    labels = names.expiring(context.clock.now())
    made: list[Json] = []
    since: list[str] = []
    for target in names.namespaces.values():
        namespace = ensure(kube, NAMESPACES, {"metadata": {"name": target, "labels": dict(labels)}}, names.labels)
        ensure(kube, NETWORK_POLICIES, _policy(labels, allow_egress), names.labels, target)
        made.append({"name": target, "uid": uid_of(namespace)})
        since.append(text(namespace, "metadata", "creationTimestamp"))
        context.progress(len(made), len(names.namespaces), "namespaces")
    # by the API server's own clock
    return {"namespaces": made, "since": min(since, default="")}


def ensure(
    kube: KubeApi, resource: Resource, body: KubeObject, labels: Mapping[str, str], namespace: str = ""
) -> KubeObject:
    """Create it, or find it with our labels. Raises DrError TARGET_EXISTS when it is somebody else's."""
    whole = {"apiVersion": resource.group_version, "kind": _KINDS[resource.plural], **body}
    return with_retry(lambda: _ensured(kube, resource, whole, labels, namespace), what=f"create {resource}")


def _ensured(
    kube: KubeApi, resource: Resource, body: KubeObject, labels: Mapping[str, str], namespace: str
) -> KubeObject:
    try:
        return kube.create(resource, body, namespace)
    except DrError as error:
        if error.kind is not CONFLICT:
            raise
    found = kube.get(resource, name_of(body), namespace)
    if found is None or not labels.items() <= labels_of(found).items():
        raise DrError(TARGET_EXISTS, f"{resource} {name_of(body)} exists already, and is not of this restore")
    return found


def _policy(labels: Mapping[str, str], allow_egress: Sequence[str]) -> KubeObject:
    return {"metadata": {"name": POLICY, "labels": dict(labels)}, "spec": policy_spec(allow_egress)}


def policy_spec(allow_egress: Sequence[str]) -> KubeObject:
    """Nothing in; out only to networks that the strategy allows: `10.0.0.0/8`, or with a TCP port `10.1.2.3/32:443`."""
    egress = [_allowed(place) for place in allow_egress]
    return {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": egress}


def _allowed(place: str) -> KubeObject:
    with_port = re.fullmatch(r"(.+/\d+):(\d+)", place)
    if with_port is None:
        return {"to": [{"ipBlock": {"cidr": place}}]}
    ports = [{"protocol": "TCP", "port": int(with_port[2])}]
    return {"to": [{"ipBlock": {"cidr": with_port[1]}}], "ports": ports}


_KINDS = {
    "namespaces": "Namespace",
    "networkpolicies": "NetworkPolicy",
    "pods": "Pod",
    "configmaps": "ConfigMap",
    "backupstoragelocations": "BackupStorageLocation",
    "backups": "Backup",
    "restores": "Restore",
}
