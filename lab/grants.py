"""Who may do what in the lab, in three tables: Google Cloud, Kubernetes, and the buckets themselves.

The split is the product's safety rule: capture writes and never deletes, restore reads vaults and writes targets, prune
deletes and does nothing else, and the application can reach no backup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dr.model.ids import SourceId
from dr.model.strategy import Place, SourceSpec
from dr.plan.permissions import (
    CHANGE,
    GRANTS,
    READ_DATABASE,
    SEE,
    SPARED,
    WRITE,
    Rule,
    Where,
    kubernetes_rules,
)
from dr.strategy.schema import CONFIG_KINDS, KIND_COMPONENT
from lab.iam import Iam
from lab.kms.names import CONFIG_KEYS, EVIDENCE_KEY
from lab.state import AUDIT_SINK, DATABASE, PROJECT, REGION, VAULT_REGION


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """A bucket of the lab's world. `object_retention`: single objects can be locked (vaults, evidence)."""

    name: str
    location: str
    object_retention: bool


APPLICATION_BUCKET = "energent-production-storage-lab"
VELERO_BUCKET = "energent-velero"
CLUSTER_VAULT = "energent-vault-cluster"
APPDATA_VAULT = "energent-vault-appdata"
CONFIG_VAULT = "energent-vault-config"
AUDIT_VAULT = "energent-vault-audit"
CONTROL_BUCKET = "energent-dr-control"
SCRATCH_BUCKET = "energent-dr-scratch"
"""Copies of exports that a mutation campaign imports."""

BUCKETS = (
    BucketSpec(APPLICATION_BUCKET, REGION, False),
    BucketSpec(VELERO_BUCKET, REGION, False),  # Velero rewrites its metadata, so it can't be locked
    BucketSpec(CLUSTER_VAULT, VAULT_REGION, True),
    BucketSpec(APPDATA_VAULT, VAULT_REGION, True),
    BucketSpec(CONFIG_VAULT, VAULT_REGION, True),
    BucketSpec(AUDIT_VAULT, VAULT_REGION, True),
    BucketSpec(CONTROL_BUCKET, VAULT_REGION, True),
    BucketSpec(SCRATCH_BUCKET, VAULT_REGION, False),
)

PROJECT_RESOURCE = f"projects/{PROJECT}"
LIVE_DATABASE = f"{PROJECT_RESOURCE}/databases/{DATABASE}"
WRITE_ENTITIES = (
    "datastore.entities.create",
    "datastore.entities.update",
    "datastore.entities.delete",
    "datastore.entities.allocateIds",
)
SCRATCH_READ = ("storage.buckets.get", "storage.objects.get", "storage.objects.list")
PUBLISH = ("pubsub.topics.get", "pubsub.topics.publish")


def _buckets(*names: str) -> tuple[str, ...]:
    return tuple(f"buckets/{name}" for name in names)


PLACES: Mapping[Where, tuple[str, ...]] = {
    Where.VAULT: _buckets(CLUSTER_VAULT, APPDATA_VAULT, CONFIG_VAULT, AUDIT_VAULT),
    Where.CONTROL: _buckets(CONTROL_BUCKET),
    Where.VELERO: _buckets(VELERO_BUCKET),
    Where.DATABASE: (PROJECT_RESOURCE,),
    Where.SUBSCRIPTION: (PROJECT_RESOURCE,),
    Where.SINK: (PROJECT_RESOURCE,),
    Where.KEY: CONFIG_KEYS,
    Where.EVIDENCE: (EVIDENCE_KEY,),
}
"""Where the product's own table (`dr.plan.permissions`) holds in the lab."""

GOOGLE: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    # identity        permissions                    resources
    ("operator", ("*",), ("*",)),
    ("app", ("storage.*",), _buckets(APPLICATION_BUCKET)),
    ("app", (*READ_DATABASE, *WRITE_ENTITIES), (PROJECT_RESOURCE,)),  # a restored database has another name
    ("app", PUBLISH, (PROJECT_RESOURCE,)),
    # capture, restore, prune: what is shipped, nothing beside it
    *((grant.identity, grant.permissions, PLACES[grant.where]) for grant in GRANTS),
    ("velero", ("storage.*",), _buckets(VELERO_BUCKET)),
    ("logging-agent", ("pubsub.topics.publish",), (f"{PROJECT_RESOURCE}/topics/{AUDIT_SINK}",)),
    ("firestore-agent", WRITE, _buckets(APPDATA_VAULT)),
    ("firestore-agent", SCRATCH_READ, _buckets(SCRATCH_BUCKET)),
    ("restore", (*SCRATCH_READ, "storage.objects.create", "storage.objects.delete"), _buckets(SCRATCH_BUCKET)),
)

REFUSED: tuple[tuple[str, str, str], ...] = (
    # identity   permission  resource: taken out of a wider grant above, as the shipped IAM condition does
    *(("restore", permission, LIVE_DATABASE) for permission in SPARED),
)


def apply_grants(iam: Iam) -> None:
    """Write both tables into the lab's policy."""
    for name, permissions, resources in GOOGLE:
        for resource in resources:
            iam.grant(name, permissions, resource)
    for name, permission, resource in REFUSED:
        iam.revoke(name, permission, resource)


def _captured() -> tuple[SourceSpec, ...]:
    """The sources of the lab's world, as far as permissions ask."""
    options = {"velero": {}, "kubernetes": {"kinds": CONFIG_KINDS}}
    return tuple(
        SourceSpec(SourceId(KIND_COMPONENT[kind], kind, "lab"), Place(), more) for kind, more in options.items()
    )


KUBERNETES: Mapping[str, tuple[Rule, ...]] = {
    # what is shipped, nothing beside it
    "capture": kubernetes_rules("capture", _captured()),
    "restore": kubernetes_rules("restore", _captured()),
    "app": (Rule("-", "configmaps", CHANGE), Rule("-", "namespaces secrets services", SEE)),
    "velero": (Rule("*", "*", "*"),),  # as `velero install` grants
    "operator": (Rule("*", "*", "*"),),
}

KUBERNETES_IDENTITIES = ("admin", *KUBERNETES)


def rbac_manifests() -> list[Mapping[str, object]]:
    """A ClusterRole and its binding for each identity; `admin` needs none (group system:masters)."""
    return [manifest for name, rules in KUBERNETES.items() for manifest in _role(f"dr-lab-{name}", name, rules)]


def _role(role: str, user: str, rules: tuple[Rule, ...]) -> tuple[Mapping[str, object], Mapping[str, object]]:
    api = "rbac.authorization.k8s.io/v1"
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    described = [rule.manifest() for rule in rules]
    if user in ("velero", "operator"):
        described.append({"nonResourceURLs": ["*"], "verbs": ["*"]})
    return (
        {"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": role}, "rules": described},
        {
            "apiVersion": api,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": role},
            "roleRef": reference,
            "subjects": [subject],
        },
    )
