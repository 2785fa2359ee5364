"""What a restore holds back or changes on the way in, and why: the rules given to Velero, and their reasons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dr.components.cluster.contents import Item
from dr.components.cluster.inert import WORKLOAD_IDENTITY
from dr.vendors.kubernetes_objects import annotations_of, mapping, sequence, text

_DERIVED = "made anew by its controller"
_ALWAYS = {
    "pods": _DERIVED,
    "replicasets.apps": _DERIVED,
    "leases.coordination.k8s.io": "held by processes that are gone",
}
_ISOLATED = {
    "controllerrevisions.apps": _DERIVED,
    "endpoints": "holds addresses of the source",
    "endpointslices.discovery.k8s.io": "holds addresses of the source",
    "daemonsets.apps": "would run at once on every node",
    "ingresses.networking.k8s.io": "would take traffic",
    "horizontalpodautoscalers.autoscaling": "would scale past the one replica of a drill",
    "networkpolicies.networking.k8s.io": "policies add up, so any of the source's would open the containment",
    "clusterroles.rbac.authorization.k8s.io": "cluster-wide rights are not for a copy",
    "clusterrolebindings.rbac.authorization.k8s.io": "cluster-wide rights are not for a copy",
    "gateways.gateway.networking.k8s.io": "would take traffic",
    "httproutes.gateway.networking.k8s.io": "would take traffic",
    "dnsendpoints.externaldns.k8s.io": "would change production's names",
    "certificates.cert-manager.io": "would order real certificates",
    "externalsecrets.external-secrets.io": "would fetch the real credentials into the copy",
    "pushsecrets.external-secrets.io": "would write the copy's credentials over the real ones",
    "sealedsecrets.bitnami.com": "would put the real credentials into the copy",
    "applications.argoproj.io": "its controller would act on production",
    "rollouts.argoproj.io": "would run before it is released",
    "cronworkflows.argoproj.io": "would run before it is released",
    "scaledobjects.keda.sh": "would scale past the one replica of a drill",
    "scaledjobs.keda.sh": "would run before it is released",
}
_SUSPENDED = (
    "gitrepositories.source.toolkit.fluxcd.io",
    "helmrepositories.source.toolkit.fluxcd.io",
    "ocirepositories.source.toolkit.fluxcd.io",
    "buckets.source.toolkit.fluxcd.io",
    "kustomizations.kustomize.toolkit.fluxcd.io",
    "helmreleases.helm.toolkit.fluxcd.io",
    "imageupdateautomations.image.toolkit.fluxcd.io",
)
"""Flux's controllers act for the whole cluster, wherever their order stands: a copy of one would apply it to production."""
_VOLUMES = {"persistentvolumes": "would attach the source's own disk"}
_NEVER = {
    "nodes": "never restored by Velero",
    "events": "never restored by Velero",
    "events.events.k8s.io": "never restored by Velero",
    "backups.velero.io": "never restored by Velero",
    "restores.velero.io": "never restored by Velero",
    "backuprepositories.velero.io": "never restored by Velero",
    "csinodes.storage.k8s.io": "never restored by Velero",
    "volumeattachments.storage.k8s.io": "never restored by Velero",
}
_TOKEN = "kubernetes.io/service-account-token"


def excluded_kinds(isolated: bool, native_snapshots: bool) -> Mapping[str, str]:
    """Resource -> why it stays out, as Velero's `excludedResources`.

    Native snapshots come back as new disks under their PersistentVolume, so only then these are restored in isolation.
    """
    if not isolated:
        return _ALWAYS
    return {**_ALWAYS, **_ISOLATED, **({} if native_snapshots else _VOLUMES)}


def not_restored(item: Item, excluded: Mapping[str, str], dynamic: frozenset[str]) -> str:
    """Why an item of a backup will not be looked for in the target; empty when it must be there.

    `dynamic`: volumes whose data comes back under a new PersistentVolume.
    """
    never = excluded.get(item.resource) or _NEVER.get(item.resource) or ""
    if item.resource in ("pods", "replicasets.apps") and not _controlled(item):
        return ""  # nothing makes it anew: it would be missing without a word
    if item.resource in ("endpoints", "endpointslices.discovery.k8s.io"):
        return never or _DERIVED
    if item.resource == "jobs.batch" and (text(item.body, "status", "completionTime") or _controlled(item)):
        return "completed, or made anew by its CronJob"
    if item.resource == "secrets" and text(item.body, "type") == _TOKEN:
        return "a token of a service account: made anew"
    if item.resource == "persistentvolumes" and item.name in dynamic:
        return never or "its data comes back under a new volume"
    return never


def _controlled(item: Item) -> bool:
    """Owned by a controller, or run by the kubelet itself, or over."""
    if item.resource == "pods":
        over = text(item.body, "status", "phase") in ("Succeeded", "Failed")
        if over or "kubernetes.io/config.mirror" in annotations_of(item.body):
            return True
    owners = sequence(item.body, "metadata", "ownerReferences")
    return any(mapping(owner).get("controller") is True for owner in owners)


def modifiers(isolated: bool, native_snapshots: bool, more: Sequence[Mapping[str, object]] = ()) -> str:
    """Velero's resource modifiers: nothing runs until it is released, nothing contained can be reached. `more`: other rules."""
    asleep = {"spec": {"replicas": 0}}
    rules = [_rule(kind, asleep) for kind in ("deployments.apps", "statefulsets.apps", "replicationcontrollers")]
    rules += [_rule(kind, {"spec": {"suspend": True}}) for kind in ("cronjobs.batch", "jobs.batch")]
    if isolated:
        rules += [_rule("services", _INSIDE, ("/spec/type", kind)) for kind in ("LoadBalancer", "NodePort")]
        rules += [_rule("services", {"spec": {"externalIPs": None}})]
        rules += [_rule(kind, {"spec": {"suspend": True}}) for kind in _SUSPENDED]
        rules += [_rule("serviceaccounts", {"metadata": {"annotations": {WORKLOAD_IDENTITY: None}}})]
    if isolated and not native_snapshots:
        rules += [_rule("persistentvolumeclaims", {"spec": {"volumeName": None}})]
    return json.dumps({"version": "v1", "resourceModifierRules": [*rules, *more]}, indent=1)


_INSIDE: Mapping[str, object] = {
    "spec": {
        "type": "ClusterIP",
        "loadBalancerIP": None,
        "loadBalancerClass": None,
        "loadBalancerSourceRanges": None,
        "allocateLoadBalancerNodePorts": None,
        "externalTrafficPolicy": None,
        "healthCheckNodePort": None,
    }
}


def _rule(kind: str, patch: Mapping[str, object], match: tuple[str, str] | None = None) -> Mapping[str, object]:
    conditions: dict[str, object] = {"groupResource": kind}
    if match:
        conditions["matches"] = [{"path": match[0], "value": match[1]}]
    return {"conditions": conditions, "mergePatches": [{"patchData": json.dumps(patch)}]}
