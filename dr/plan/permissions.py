"""What each identity may do, and nothing more: the one truth behind the shipped RBAC and Terraform, the lab's grants, and
`dr check`. Capture writes and never deletes, restore reads vaults and writes targets, prune deletes what the retention has
let go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dr.model.strategy import SourceSpec

CAPTURE, RESTORE, PRUNE = "capture", "restore", "prune"
IDENTITIES = (CAPTURE, RESTORE, PRUNE)

# --- Kubernetes ------------------------------------------------------------------------------------------------------


class Scope(StrEnum):
    """Where a rule holds."""

    CLUSTER = "cluster"
    VELERO = "velero"
    """In Velero's namespace."""
    OWN = "own"
    """In the namespace that `dr` runs in."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One RBAC rule: API groups, resources, verbs, each separated by blanks; `-` is the core group."""

    groups: str
    resources: str
    verbs: str
    scope: Scope = Scope.CLUSTER

    def manifest(self) -> dict[str, object]:
        """As Kubernetes writes it."""
        groups = ["" if group == "-" else group for group in self.groups.split()]
        return {"apiGroups": groups, "resources": self.resources.split(), "verbs": self.verbs.split()}


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource: what can be asked of the API server."""

    verb: str
    group: str
    plural: str
    scope: Scope = Scope.CLUSTER

    @property
    def resource(self) -> str:
        """`backups.velero.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def __str__(self) -> str:
        """`create backups.velero.io`."""
        return f"{self.verb} {self.resource}"


def rights_of(rules: Iterable[Rule]) -> tuple[Right, ...]:
    """Every right that the rules give, each once."""
    found = [
        Right(verb, "" if group == "-" else group, plural, rule.scope)
        for rule in rules
        for group in rule.groups.split()
        for plural in rule.resources.split()
        for verb in rule.verbs.split()
    ]
    return tuple(dict.fromkeys(found))


SEE = "get list watch"
CHANGE = "get list watch create update patch delete deletecollection"
APPLY = "get list create patch delete"
_ROLES = Rule("rbac.authorization.k8s.io", "roles clusterroles", "escalate bind")
LEASE = Rule("coordination.k8s.io", "leases", "get create update patch", Scope.OWN)
"""For the election of `dr run`."""

_CAPTURE: Mapping[str, tuple[Rule, ...]] = {
    "velero": (
        Rule("velero.io", "backups", f"{SEE} create", Scope.VELERO),
        Rule("velero.io", "backupstoragelocations", "get", Scope.VELERO),
        Rule("apps", "deployments", "get", Scope.VELERO),
        Rule("-", "namespaces", "get list"),
    ),
    "kubernetes": (Rule("-", "namespaces", SEE),),
}
"""By kind of source; what a kind of configuration needs is made from the strategy."""

_RESTORE = (
    Rule("velero.io", "restores backups backupstoragelocations", CHANGE),
    Rule("velero.io", "podvolumerestores datadownloads deletebackuprequests downloadrequests", SEE),
    Rule("-", "namespaces configmaps secrets services serviceaccounts resourcequotas limitranges", CHANGE),
    Rule("-", "persistentvolumeclaims pods events endpoints", f"{SEE} patch delete"),
    Rule("-", "pods", "create"),  # the probe that tries to get out of a contained copy
    Rule("-", "persistentvolumes nodes pods/log", SEE),
    Rule("apps", "deployments statefulsets replicasets daemonsets", f"{SEE} update patch"),
    Rule("apps", "deployments/scale statefulsets/scale replicasets/scale", "get update patch"),
    Rule("batch", "jobs cronjobs", f"{SEE} update patch delete"),
    Rule("autoscaling", "horizontalpodautoscalers", CHANGE),
    Rule("networking.k8s.io", "networkpolicies ingresses", CHANGE),
    Rule("policy", "poddisruptionbudgets", SEE),
    Rule("rbac.authorization.k8s.io", "roles rolebindings clusterroles clusterrolebindings", SEE),
    Rule("apiextensions.k8s.io", "customresourcedefinitions", SEE),
    Rule("storage.k8s.io", "storageclasses csidrivers volumeattachments", SEE),
    Rule("scheduling.k8s.io", "priorityclasses", SEE),
    Rule("discovery.k8s.io", "endpointslices", SEE),
    Rule("*", "*", "get list"),  # the checks compare what came back with the backup, custom resources included
)


def source_rules(spec: SourceSpec) -> tuple[Rule, ...]:
    """What the capture of one source needs of the cluster."""
    return (*_CAPTURE.get(spec.id.kind, ()), *_configuration(spec))


def kubernetes_rules(identity: str, sources: Iterable[SourceSpec]) -> tuple[Rule, ...]:
    """What an identity needs to serve these sources; prune never talks to a cluster."""
    if identity == RESTORE:
        return tuple(dict.fromkeys((*_RESTORE, *(rule for spec in sources for rule in applied_rules(spec)))))
    if identity != CAPTURE:
        return ()
    return tuple(dict.fromkeys((LEASE, *(rule for spec in sources for rule in source_rules(spec)))))


def config_resources(spec: SourceSpec) -> tuple[str, ...]:
    """Resources that a source of kind `kubernetes` captures, `plural.group`."""
    found: list[str] = []
    for option in ("kinds", "customResources"):
        value = spec.options.get(option)
        found += [str(name) for name in value] if isinstance(value, list | tuple) else []
    return tuple(dict.fromkeys(found))


def _configuration(spec: SourceSpec, verbs: str = "list watch") -> list[Rule]:
    """One rule for each API group, in the order of the strategy."""
    if spec.id.kind != "kubernetes":
        return []
    groups: dict[str, list[str]] = {}
    for name in config_resources(spec):
        plural, _, group = name.partition(".")
        groups.setdefault(group or "-", []).append(plural)
    return [Rule(group, " ".join(plurals), verbs) for group, plurals in groups.items()]


def applied_rules(spec: SourceSpec) -> list[Rule]:
    """What server-side apply of the configuration needs. A role that grants what the restorer itself lacks can be written
    only with `escalate`, and bound only with `bind`."""
    rules = _configuration(spec, APPLY)
    return [*rules, *([_ROLES] if any(rule.groups == _ROLES.groups for rule in rules) else [])]


# --- Google Cloud ----------------------------------------------------------------------------------------------------


class Where(StrEnum):
    """What a permission is granted on."""

    VAULT = "vault"
    """Each component's vault bucket."""
    CONTROL = "control"
    VELERO = "velero"
    """The bucket that Velero writes to."""
    DATABASE = "database"
    """The project of the protected databases: a restored one has another name."""
    SUBSCRIPTION = "subscription"
    SINK = "sink"
    """The project whose Logging sink sends the audit entries."""
    KEY = "key"
    """Key encryption keys of both regions."""
    EVIDENCE = "evidence"
    """The key that drill reports are signed with."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Permissions of one identity on one kind of place."""

    identity: str
    where: Where
    permissions: tuple[str, ...]


READ = ("storage.buckets.get", "storage.objects.get", "storage.objects.list")
WRITE = (*READ, "storage.objects.create")
LOCK = ("storage.objects.update", "storage.objects.setRetention")  # a lock can only be lengthened
READ_DATABASE = (
    "datastore.databases.get",
    "datastore.databases.getMetadata",
    "datastore.databases.list",
    "datastore.operations.get",
    "datastore.operations.list",
    "datastore.entities.get",
    "datastore.entities.list",
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
WRITE_DOCUMENTS = ("datastore.entities.create", "datastore.entities.update", "datastore.entities.delete")
"""One tenant's documents go back into the living database, when a person named it."""
CONSUME = ("pubsub.subscriptions.get", "pubsub.subscriptions.consume")
READ_SINK = "logging.sinks.get"
READ_ENTRIES = ("logging.logEntries.list", "logging.privateLogEntries.list")
"""Without the second, Cloud Logging leaves Data Access entries out of the answer, silently."""
READ_KEY, SEAL, UNSEAL = (
    "cloudkms.cryptoKeys.get",
    "cloudkms.cryptoKeyVersions.useToEncrypt",
    "cloudkms.cryptoKeyVersions.useToDecrypt",
)
SIGN, PUBLIC_KEY = "cloudkms.cryptoKeyVersions.useToSign", "cloudkms.cryptoKeyVersions.viewPublicKey"
GRANTS = (
    Grant(CAPTURE, Where.VAULT, (*WRITE, *LOCK)),
    Grant(CAPTURE, Where.CONTROL, (*WRITE, *LOCK)),
    Grant(CAPTURE, Where.VELERO, READ),
    Grant(CAPTURE, Where.DATABASE, (*READ_DATABASE, "datastore.databases.export")),
    Grant(CAPTURE, Where.SUBSCRIPTION, CONSUME),
    Grant(CAPTURE, Where.SINK, (READ_SINK,)),
    Grant(CAPTURE, Where.KEY, (READ_KEY, SEAL)),  # it cannot open what it sealed
    Grant(RESTORE, Where.VAULT, READ),
    Grant(RESTORE, Where.CONTROL, (*WRITE, *LOCK)),
    Grant(RESTORE, Where.VELERO, (*WRITE, "storage.objects.delete")),  # its own copies, torn down after a drill
    Grant(RESTORE, Where.DATABASE, (*READ_DATABASE, *MAKE_DATABASES, *WRITE_DOCUMENTS)),
    Grant(RESTORE, Where.SINK, (READ_SINK, *READ_ENTRIES)),  # a drill asks what there was to be archived
    Grant(RESTORE, Where.KEY, (READ_KEY, UNSEAL)),
    Grant(RESTORE, Where.EVIDENCE, (SIGN, PUBLIC_KEY)),
    Grant(PRUNE, Where.VAULT, (*READ, "storage.objects.delete")),
    Grant(PRUNE, Where.CONTROL, WRITE),
)
SPARED = ("datastore.databases.delete", "datastore.databases.update", "datastore.databases.import")
"""What restore may do to the databases that it made, and not to those that are protected."""
FORBIDDEN: Mapping[str, tuple[str, ...]] = {CAPTURE: ("storage.objects.delete",), RESTORE: ("storage.objects.delete",)}
"""What an identity must not hold on a vault: `dr check` says so when it does."""


def permissions(identity: str, where: Where, grants: Sequence[Grant] = GRANTS) -> tuple[str, ...]:
    """All that an identity needs there, each once."""
    found = [
        name for grant in grants if (grant.identity, grant.where) == (identity, where) for name in grant.permissions
    ]
    return tuple(dict.fromkeys(found))
