"""What the config component works with, and what a strategy may say about one cluster's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from dr.components.cluster.access import Cutover, KubeApi
from dr.components.cluster.layout import LABEL_PLAN
from dr.errors import CONFIGURATION, DrError
from dr.model.strategy import SourceSpec
from dr.model.timeline import parse_duration
from dr.vendors.kubernetes_objects import KubeObject, Resource, labels_of, mapping, name_of
from dr.vendors.kubernetes_watching import Changes

LOG, PACK = "config-log", "config-pack"
SECRETS = "secrets"
NAMESPACE_KIND = "namespaces"
"""Always captured: the namespaces themselves, with their labels."""

NO_CONFIGURATION = frozenset(
    {"events", "events.events.k8s.io", "leases.coordination.k8s.io", "pods", "nodes", "endpoints",
     "endpointslices.discovery.k8s.io", "replicasets.apps", "controllerrevisions.apps", "jobs.batch",
     "persistentvolumes", "persistentvolumeclaims", "componentstatuses", "namespaces"}
)  # fmt: skip
"""Made anew by controllers, or state and no configuration, or (namespaces) captured anyway."""


class ConfigApi(KubeApi, Protocol):
    """What is needed of `dr.vendors.kubernetes.Kubernetes`."""

    def changes(self, resource: Resource, version: str, seconds: int) -> Changes: ...

    def version_now(self, resource: Resource) -> str: ...

    def served(self) -> Mapping[str, Resource]: ...

    def apply(
        self, resource: Resource, body: KubeObject, namespace: str = "", manager: str = "dr", *, dry_run: bool = False
    ) -> KubeObject: ...


@dataclass(frozen=True, slots=True)
class ConfigOptions:
    """The `options` of a source of kind `kubernetes`."""

    namespaces: tuple[str, ...]
    selector: Mapping[str, str]
    kinds: tuple[str, ...]
    custom: tuple[str, ...]
    """Kinds that the cluster must serve."""
    heartbeat: timedelta
    cutover: Cutover | None
    replace_secrets: tuple[str, ...]
    """Patterns of `namespace/name`: external credentials, which a contained copy does not get."""

    @classmethod
    def read(cls, spec: SourceSpec) -> ConfigOptions:
        """Raises DrError CONFIGURATION."""
        options = spec.options
        read = cls(
            namespaces=_names(options, "namespaces"),
            selector={key: str(value) for key, value in mapping(options, "namespaceSelector").items()},
            kinds=_names(options, "kinds"),
            custom=_names(options, "customResources"),
            heartbeat=parse_duration(str(options.get("heartbeat", "10s"))),
            cutover=Cutover.read(options),
            replace_secrets=_names(options, "replaceSecrets"),
        )
        if not read.namespaces and not read.selector:
            raise DrError(CONFIGURATION, f"{spec.id} names no namespace and no namespaceSelector to capture")
        if never := sorted(NO_CONFIGURATION.intersection(read.wanted)):
            raise DrError(CONFIGURATION, f"{spec.id}: {', '.join(never)} are no configuration; take them out of kinds")
        return read

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every kind asked for, once."""
        return tuple(dict.fromkeys((*self.kinds, *self.custom)))

    def chooses(self, namespace: KubeObject) -> bool:
        """By name, or by label. Contained copies of a drill carry the labels of what they copy, but are not meant."""
        labels = labels_of(namespace)
        if LABEL_PLAN in labels and name_of(namespace) not in self.namespaces:
            return False
        labelled = bool(self.selector) and self.selector.items() <= labels.items()
        return labelled or name_of(namespace) in self.namespaces


def _names(options: Mapping[str, object], key: str) -> tuple[str, ...]:
    found = options.get(key) or ()
    if isinstance(found, list | tuple):
        return tuple(str(name) for name in found)
    raise DrError(CONFIGURATION, f"{key} must be a list of names")
