"""What a strategy file may say, field by field. The shipped JSON Schema is generated from these models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from dr.model.strategy import FailureDomain, Frequency
from dr.model.timeline import parse_duration
from dr.strategy.sizes import ByteSize

DURATION_PATTERN = r"^(0|(\d+(\.\d+)?(ms|s|m|h|d|w|y)\s*)+)$"
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"


def _duration(value: object) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{value!r} is not a duration; write for example 15m, 24h, 90d or 7y")
    if isinstance(value, int) and value:
        raise ValueError(f"{value} has no unit; write for example {value}m or {value}h")
    try:
        return parse_duration(str(value))
    except OverflowError:
        raise ValueError(f"{value!r} is too long a duration") from None


def _duration_text(value: object) -> str:
    _duration(value)
    return str(value)


_DURATION_SCHEMA: dict[str, object] = {
    "anyOf": [{"type": "string", "pattern": DURATION_PATTERN}, {"const": 0}],
    "examples": ["15m", "24h", "90d", "7y"],
}
Duration = Annotated[timedelta, BeforeValidator(_duration), WithJsonSchema(_DURATION_SCHEMA)]
DurationText = Annotated[str, BeforeValidator(_duration_text), WithJsonSchema(_DURATION_SCHEMA)]


def _cidr(value: object) -> str:
    try:
        return str(ip_network(str(value)))
    except ValueError:
        raise ValueError(f"{value!r} is not a network; write for example 10.0.0.0/8") from None


def _egress(value: object) -> str:
    with_port = re.fullmatch(r"(.+/\d+):(\d{1,5})", str(value))
    if with_port is None:
        return _cidr(value)
    if not 0 < int(with_port[2]) < 65536:
        raise ValueError(f"{value!r} has no valid port; write for example 10.1.2.3/32:443")
    return f"{_cidr(with_port[1])}:{with_port[2]}"


Egress = Annotated[str, BeforeValidator(_egress)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Text = Annotated[str, Field(min_length=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, strict=False)


class PlaceEntry(_Entry):
    """Where something lives; decides which losses a copy of it survives."""

    project: str = ""
    location: str = ""


class Cutover(_Entry):
    """The ConfigMap key that names the database in use, and the workload that reads it."""

    namespace: Name
    config_map: Text = Field(alias="configMap")
    key: Text
    workload: Name
    healthy_within: DurationText | None = Field(default=None, alias="healthyWithin")
    """An application that is not healthy on the restored database by then is pointed back; 15 minutes."""


class ProbeEntry(_Entry):
    """A Pod that tries to get out of a contained copy, before anything is restored into it."""

    image: Text
    """With a Python in it: that of `dr`."""
    endpoints: list[Annotated[str, Field(pattern=r"^.+:\d+$")]] = Field(default_factory=list)
    """What it tries to reach, `host:port`: production's own. None: the API server."""


class VeleroOptions(_Entry):
    """A cluster's state, captured by Velero."""

    namespaces: list[Name] = Field(default_factory=list)
    namespace_selector: dict[str, str] = Field(default_factory=dict, alias="namespaceSelector")
    """Labels; every namespace that carries all of them is captured too."""
    tenant_label: str = Field(default="", alias="tenantLabel")
    """The label of a namespace whose value says which tenant's it is, for `dr restore --tenant`."""
    exclude_volumes: list[Text] = Field(default_factory=list, alias="excludeVolumes")
    """Patterns `namespace/claim` of volumes whose data is not wanted; any other that Velero skips fails the point."""
    snapshot_volumes: bool = Field(default=True, alias="snapshotVolumes")
    snapshot_move_data: bool = Field(default=False, alias="snapshotMoveData")
    cluster_scoped_resources: list[Text] = Field(default_factory=list, alias="clusterScopedResources")
    """Kinds outside namespaces that come too; empty: what namespaced objects need (docs/velero.md)."""
    exclude_resources: list[Text] = Field(default_factory=list, alias="excludeResources")
    deadline: DurationText | None = None
    """A backup that is not final by then is given up."""
    velero_ttl: Annotated[str, Field(pattern=r"^(\d+h)?(\d+m)?(\d+s)?$", min_length=2)] | None = Field(
        default=None, alias="veleroTtl"
    )
    """How long Velero keeps its own copy, as Velero writes it; the vault's copy is kept for the row's retention."""
    allow_egress: list[Egress] = Field(default_factory=list, alias="allowEgress")
    """What a contained copy may reach: networks, with a TCP port where one is meant."""
    replace_secrets: list[Text] = Field(default_factory=list, alias="replaceSecrets")
    """Patterns `namespace/name` of external credentials: a contained copy gets inert values instead."""
    probe: ProbeEntry | None = None
    cutover: Cutover | None = None


class FirestoreOptions(_Entry):
    """A Firestore database, captured by point-in-time recovery and exports."""

    project: str = ""
    """Default: that of the place."""
    database: Text
    location: str = ""
    """Default: that of the place."""
    snapshot_granularity: DurationText | None = Field(default=None, alias="snapshotGranularity")
    """Firestore's own is one minute."""
    staging: Annotated[str, Field(pattern=r"^gs://.+")] | None = None
    """Bucket that exports go through when the vault is not on Cloud Storage."""
    deadline: DurationText | None = None
    delete_protection: bool = Field(default=True, alias="deleteProtection")
    """Of a database that a real restore creates."""
    tenant_documents: Text = Field(default="tenants/{tenant}", alias="tenantDocuments")
    """The document under which everything of a tenant is; `{tenant}` stands for its id."""
    cutover: Cutover | None = None


CONFIG_KINDS = (
    "configmaps", "secrets", "serviceaccounts", "services", "resourcequotas", "limitranges",
    "deployments.apps", "statefulsets.apps", "daemonsets.apps", "cronjobs.batch",
    "horizontalpodautoscalers.autoscaling", "poddisruptionbudgets.policy",
    "networkpolicies.networking.k8s.io", "ingresses.networking.k8s.io",
    "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io",
    "gitrepositories.source.toolkit.fluxcd.io", "helmrepositories.source.toolkit.fluxcd.io",
    "kustomizations.kustomize.toolkit.fluxcd.io", "helmreleases.helm.toolkit.fluxcd.io",
)  # fmt: skip
"""Kinds of configuration by resource name, plural first. One whose API the cluster does not serve is skipped, and said."""


class KubernetesOptions(_Entry):
    """Configuration objects of a cluster, captured by watch."""

    namespaces: list[Name] = Field(default_factory=list)
    namespace_selector: dict[str, str] = Field(default_factory=dict, alias="namespaceSelector")
    """Labels; every namespace that carries all of them is captured too."""
    tenant_label: str = Field(default="", alias="tenantLabel")
    """The label of a namespace whose value says which tenant's it is, for `dr restore --tenant`."""
    kinds: list[Text] = Field(default_factory=lambda: list(CONFIG_KINDS))
    """Resources, `plural.group`."""
    custom_resources: list[Text] = Field(default_factory=list, alias="customResources")
    """More resources, `plural.group`; one that the cluster does not serve is a failed check."""
    mode: Literal["watch"] = "watch"
    """What is promised: `watch` follows each write, so an RPO of 0 is kept but not guaranteed."""
    heartbeat: DurationText = "10s"
    """An idle log says this often that nothing happened."""
    pack_every: DurationText = Field(default="1d", alias="packEvery")
    """Segments of the change log are rolled into one recovery point this often."""
    replace_secrets: list[Text] = Field(default_factory=list, alias="replaceSecrets")
    """Patterns `namespace/name` of external credentials: a contained copy gets inert values instead."""
    cutover: Cutover | None = None
    """Restored beside a database, that key names the restored one, not the one of the log."""


class PubsubOptions(_Entry):
    """Log entries that a sink puts on a Pub/Sub topic, pulled from a subscription."""

    project: str = ""
    """Default: that of the place."""
    topic: Text
    subscription: Text
    sink: str = ""
    """Of Cloud Logging, for `dr check`, and for drills: what it had to send is read from Cloud Logging itself."""
    mode: Literal["pull"] = "pull"
    """What is promised: `pull` acknowledges an entry only when it is durable, so what reached Pub/Sub is not lost."""
    heartbeat: DurationText = "10s"
    pack_every: DurationText = Field(default="1d", alias="packEvery")
    sink_delay: DurationText = Field(default="1m", alias="sinkDelay")
    """So long an entry may be on its way through the sink: a drill without a writer's record judges only older ones."""


class SizeEntry(_Entry):
    """How large production is; what is not said is not projected to."""

    bytes: ByteSize | None = None
    """Of one recovery point, as `dr points list` shows it."""
    objects: Annotated[int, Field(ge=1)] | None = None
    """Documents or objects in it."""


class _Source(_Entry):
    name: Name
    place: PlaceEntry | None = None
    declared_size: SizeEntry | None = Field(default=None, alias="declaredSize")


class VeleroSource(_Source):
    kind: Literal["velero"]
    options: VeleroOptions

    def plain_options(self, place: PlaceEntry) -> Mapping[str, object]:
        """As SourceSpec carries them, under the file's own names; what was not written and has no default is absent."""
        return self.options.model_dump(by_alias=True, exclude_none=True)


class FirestoreSource(_Source):
    kind: Literal["firestore"]
    options: FirestoreOptions

    def plain_options(self, place: PlaceEntry) -> Mapping[str, object]:
        """As SourceSpec carries them, with project and location from the place where they are not written."""
        plain = self.options.model_dump(by_alias=True, exclude_none=True)
        return {
            **plain,
            "project": self.options.project or place.project,
            "location": self.options.location or place.location,
        }


class KubernetesSource(_Source):
    kind: Literal["kubernetes"]
    options: KubernetesOptions

    def plain_options(self, place: PlaceEntry) -> Mapping[str, object]:
        """As SourceSpec carries them, under the file's own names."""
        return self.options.model_dump(by_alias=True, exclude_none=True)


class PubsubSource(_Source):
    kind: Literal["pubsub"]
    options: PubsubOptions

    def plain_options(self, place: PlaceEntry) -> Mapping[str, object]:
        """As SourceSpec carries them, with the project from the place where it is not written."""
        return {**self.options.model_dump(by_alias=True), "project": self.options.project or place.project}


SourceEntry = Annotated[VeleroSource | FirestoreSource | KubernetesSource | PubsubSource, Field(discriminator="kind")]
KIND_COMPONENT = {"velero": "cluster", "firestore": "appdata", "kubernetes": "config", "pubsub": "audit"}
"""Which row a kind of source belongs to."""


class KeepEntry(_Entry):
    """Points kept beyond the retention: the newest of each of so many last days, weeks, months and years."""

    daily: Annotated[int, Field(ge=0, le=10_000)] = 0
    weekly: Annotated[int, Field(ge=0, le=10_000)] = 0
    monthly: Annotated[int, Field(ge=0, le=10_000)] = 0
    yearly: Annotated[int, Field(ge=0, le=1000)] = 0


class ObjectiveEntry(_Entry):
    """One row of the table."""

    component: Literal["cluster", "appdata", "config", "audit"]
    frequency: Frequency
    retention: Duration
    rto: Duration
    """Strict: recovered in exactly this time is a miss."""
    rpo: Duration
    """Strict as well; 0 means that nothing acknowledged may be lost."""
    domains: list[FailureDomain] = Field(default_factory=lambda: list(FailureDomain), min_length=1)
    sources: list[SourceEntry] = Field(default_factory=list)
    retain: KeepEntry = KeepEntry()
    """Only ever longer than `retention`."""
    approved_by: str = Field(default="", alias="approvedBy")
    """Who approved this row's targets; else the table's."""
    declared_size: SizeEntry | None = Field(default=None, alias="declaredSize")
    """Of the row's one source; with several, each says its own."""


class CreditEntry(_Entry):
    """A recovery that takes so long or longer gives that share of the month's fee back."""

    rto_at_least: Duration = Field(alias="rtoAtLeast")
    percent: Annotated[float, Field(gt=0, le=100)]


class StrategyFile(_Entry):
    """The backup strategy table."""

    api_version: Literal["dr/v1"] = Field(alias="apiVersion")
    kind: Literal["Strategy"]
    name: Name
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the RPO kept free when a cadence is derived."""
    approved_by: str = Field(default="", alias="approvedBy")
    """Who approved the targets, and when: `Jane Doe, CTO, 2026-01-15`. Stands in every drill's evidence."""
    place: PlaceEntry = PlaceEntry()
    """Where sources live that do not say otherwise."""
    prices: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """US dollars that replace list prices, by name."""
    credits: list[CreditEntry] = Field(
        default_factory=lambda: [CreditEntry(rtoAtLeast="4h", percent=25)]  # type: ignore[arg-type]
    )
    """Of the service level agreement; `[]`: there is none."""
    objectives: list[ObjectiveEntry] = Field(min_length=1)


def json_schema() -> dict[str, object]:
    """The JSON Schema of a strategy file, as shipped in `dr/schemas/strategy.json`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **StrategyFile.model_json_schema()}
