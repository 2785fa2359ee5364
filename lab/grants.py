"""Who may do what in the lab, in three tables: Google Cloud, Kubernetes, and the buckets themselves.

The split is the product's safety rule: capture writes and never deletes, restore reads vaults and writes targets, prune
deletes and does nothing else, and the application can reach no backup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.iam import Iam
from lab.state import DATABASE, PROJECT, REGION, VAULT_REGION


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
CONTROL_BUCKET = "energent-dr-control"

BUCKETS = (
    BucketSpec(APPLICATION_BUCKET, REGION, False),
    BucketSpec(VELERO_BUCKET, REGION, False),  # Velero rewrites its metadata, so it can't be locked
    BucketSpec(CLUSTER_VAULT, VAULT_REGION, True),
    BucketSpec(APPDATA_VAULT, VAULT_REGION, True),
    BucketSpec(CONTROL_BUCKET, VAULT_REGION, True),
)

READ = ("storage.buckets.get", "storage.objects.get", "storage.objects.list")
WRITE = (*READ, "storage.objects.create")
LOCK = ("storage.objects.update", "storage.objects.setRetention")  # a lock can only be lengthened
PROJECT_RESOURCE = f"projects/{PROJECT}"
LIVE_DATABASE = f"{PROJECT_RESOURCE}/databases/{DATABASE}"
READ_DATABASE = (
    "datastore.databases.get",
    "datastore.databases.getMetadata",
    "datastore.databases.list",
    "datastore.operations.get",
    "datastore.operations.list",
    "datastore.entities.get",
    "datastore.entities.list",
)
WRITE_ENTITIES = (
    "datastore.entities.create",
    "datastore.entities.update",
    "datastore.entities.delete",
    "datastore.entities.allocateIds",
)
MAKE_DATABASES = (
    "datastore.databases.create",
    "datastore.databases.update",
    "datastore.databases.delete",
    "datastore.databases.import",
    "datastore.databases.clone",
    "datastore.operations.cancel",
    "datastore.backups.get",
    "datastore.backups.list",
    "datastore.backups.restoreDatabase",
)
PUBLISH = ("pubsub.topics.get", "pubsub.topics.publish")
CONSUME = ("pubsub.subscriptions.get", "pubsub.subscriptions.consume")


def _buckets(*names: str) -> tuple[str, ...]:
    return tuple(f"buckets/{name}" for name in names)


GOOGLE: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    # identity        permissions                    resources
    ("operator", ("*",), ("*",)),
    ("app", ("storage.*",), _buckets(APPLICATION_BUCKET)),
    ("app", (*READ_DATABASE, *WRITE_ENTITIES), (PROJECT_RESOURCE,)),  # a restored database has another name
    ("app", PUBLISH, (PROJECT_RESOURCE,)),
    ("capture", (*WRITE, *LOCK), _buckets(CLUSTER_VAULT, APPDATA_VAULT, CONTROL_BUCKET)),
    ("capture", READ, _buckets(VELERO_BUCKET)),
    ("capture", (*READ_DATABASE, "datastore.databases.export"), (PROJECT_RESOURCE,)),
    ("capture", CONSUME, (PROJECT_RESOURCE,)),
    ("restore", READ, _buckets(CLUSTER_VAULT, APPDATA_VAULT)),
    ("restore", (*WRITE, *LOCK), _buckets(CONTROL_BUCKET)),
    ("restore", (*WRITE, "storage.objects.delete"), _buckets(VELERO_BUCKET)),  # its own copies, torn down after a drill
    ("restore", (*READ_DATABASE, *MAKE_DATABASES), (PROJECT_RESOURCE,)),
    ("prune", (*READ, "storage.objects.delete"), _buckets(CLUSTER_VAULT, APPDATA_VAULT)),
    ("prune", WRITE, _buckets(CONTROL_BUCKET)),
    ("velero", ("storage.*",), _buckets(VELERO_BUCKET)),
    ("firestore-agent", WRITE, _buckets(APPDATA_VAULT)),
)

REFUSED: tuple[tuple[str, str, str], ...] = (
    # identity   permission                      resource: taken out of a wider grant above
    ("restore", "datastore.databases.delete", LIVE_DATABASE),
    ("restore", "datastore.databases.update", LIVE_DATABASE),
    ("restore", "datastore.databases.import", LIVE_DATABASE),
)


def apply_grants(iam: Iam) -> None:
    """Write both tables into the lab's policy."""
    for name, permissions, resources in GOOGLE:
        for resource in resources:
            iam.grant(name, permissions, resource)
    for name, permission, resource in REFUSED:
        iam.revoke(name, permission, resource)


@dataclass(frozen=True, slots=True)
class Rule:
    """One RBAC rule: API groups, resources, verbs, each separated by blanks; `-` is the core group."""

    groups: str
    resources: str
    verbs: str

    def manifest(self) -> Mapping[str, object]:
        groups = ["" if group == "-" else group for group in self.groups.split()]
        return {"apiGroups": groups, "resources": self.resources.split(), "verbs": self.verbs.split()}


SEE = "get list watch"
CHANGE = "get list watch create update patch delete deletecollection"
STORAGE_KINDS = "storageclasses csidrivers volumeattachments"

KUBERNETES: Mapping[str, tuple[Rule, ...]] = {
    "capture": (
        Rule("velero.io", "backups", f"{SEE} create"),
        Rule("velero.io", "backupstoragelocations podvolumebackups datauploads volumesnapshotlocations", SEE),
        Rule("-", "namespaces configmaps persistentvolumes persistentvolumeclaims", SEE),
        Rule("apps", "deployments", SEE),
        Rule("apiextensions.k8s.io", "customresourcedefinitions", SEE),
        Rule("storage.k8s.io", STORAGE_KINDS, SEE),
        Rule("rbac.authorization.k8s.io", "clusterroles clusterrolebindings", SEE),
        Rule("scheduling.k8s.io", "priorityclasses", SEE),
    ),
    "restore": (
        Rule("velero.io", "restores backups backupstoragelocations", CHANGE),
        Rule("velero.io", "podvolumerestores datadownloads deletebackuprequests downloadrequests", SEE),
        Rule("-", "namespaces configmaps secrets services serviceaccounts resourcequotas limitranges", CHANGE),
        Rule("-", "persistentvolumeclaims pods events endpoints", f"{SEE} patch delete"),
        Rule("-", "persistentvolumes nodes pods/log", SEE),
        Rule("apps", "deployments statefulsets replicasets daemonsets", f"{SEE} update patch"),
        Rule("apps", "deployments/scale statefulsets/scale replicasets/scale", "get update patch"),
        Rule("batch", "jobs cronjobs", f"{SEE} update patch delete"),
        Rule("autoscaling", "horizontalpodautoscalers", CHANGE),
        Rule("networking.k8s.io", "networkpolicies ingresses", CHANGE),
        Rule("policy", "poddisruptionbudgets", SEE),
        Rule("rbac.authorization.k8s.io", "roles rolebindings clusterroles clusterrolebindings", SEE),
        Rule("apiextensions.k8s.io", "customresourcedefinitions", SEE),
        Rule("storage.k8s.io", STORAGE_KINDS, SEE),
        Rule("scheduling.k8s.io", "priorityclasses", SEE),
        Rule("discovery.k8s.io", "endpointslices", SEE),
        Rule("*", "*", "get list"),  # the checks compare what came back with the backup, custom resources included
    ),
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
