"""Service accounts and the rights that each has in the cluster, from the one table of permissions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dr.model.strategy import SourceSpec
from dr.plan.permissions import IDENTITIES, Rule, Scope, kubernetes_rules
from dr.schedules.pods import Cluster, Manifest, account

_GROUP = "rbac.authorization.k8s.io"


def service_accounts(cluster: Cluster) -> tuple[Manifest, ...]:
    """One for each identity, bound to a Google service account by Workload Identity."""
    return tuple(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {
                "name": account(identity),
                "namespace": cluster.namespace,
                "labels": {"app.kubernetes.io/name": "dr"},
                "annotations": {
                    "iam.gke.io/gcp-service-account": f"{account(identity)}@{cluster.project}.iam.gserviceaccount.com"
                },
            },
            "automountServiceAccountToken": False,
        }
        for identity in IDENTITIES
    )


def rights(cluster: Cluster, sources: Sequence[SourceSpec]) -> tuple[Manifest, ...]:
    """A role for each identity and scope, and its binding."""
    found: list[Manifest] = []
    for identity in IDENTITIES:
        rules = kubernetes_rules(identity, sources)
        for scope in Scope:
            mine = [rule for rule in rules if rule.scope is scope]
            if mine:
                found += _role(cluster, identity, scope, mine)
    return tuple(found)


def _role(cluster: Cluster, identity: str, scope: Scope, rules: Iterable[Rule]) -> tuple[Manifest, Manifest]:
    prefix = "Cluster" if scope is Scope.CLUSTER else ""
    home = {Scope.CLUSTER: {}, Scope.VELERO: {"namespace": cluster.velero}, Scope.OWN: {"namespace": cluster.namespace}}
    meta: Manifest = {"name": account(identity), **home[scope], "labels": {"app.kubernetes.io/name": "dr"}}
    role: Manifest = {
        "apiVersion": f"{_GROUP}/v1",
        "kind": f"{prefix}Role",
        "metadata": meta,
        "rules": [rule.manifest() for rule in rules],
    }
    binding: Manifest = {
        "apiVersion": f"{_GROUP}/v1",
        "kind": f"{prefix}RoleBinding",
        "metadata": meta,
        "roleRef": {"apiGroup": _GROUP, "kind": f"{prefix}Role", "name": account(identity)},
        "subjects": [{"kind": "ServiceAccount", "name": account(identity), "namespace": cluster.namespace}],
    }
    return role, binding
