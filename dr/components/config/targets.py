"""What an object becomes on its way into the target: its name there, and in a contained copy nothing that could act. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dr.components.cluster.access import Cutover
from dr.components.cluster.inert import WORKLOAD_IDENTITY, inert, is_external
from dr.components.cluster.names import Names, mapped
from dr.components.config.normal import Plain
from dr.components.config.ordering import is_known
from dr.components.config.state import ObjectKey
from dr.model.plans import Target
from dr.ports import RestoreWork
from dr.vendors.kubernetes_objects import KubeObject, mapping, sequence, text

_OWN = "c-"
"""Of the namespaces of a contained configuration: those of a contained cluster stand beside them."""
_HELD_BACK = {
    "namespaces": "the contained namespace stands, its labels would draw others' rules to it",
    "daemonsets.apps": "would run at once on every node",
    "ingresses.networking.k8s.io": "would take traffic",
    "networkpolicies.networking.k8s.io": "policies add up, so any of the source's would open the containment",
}
_CLUSTER_WIDE = "belongs to the whole cluster"
_FOREIGN = "its operator might act on it"
_INSIDE = ("loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges", "allocateLoadBalancerNodePorts",
           "externalTrafficPolicy", "externalIPs")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """How one restore writes objects. `database`: id of the database restored beside it, or empty."""

    names: Names
    cutover: Cutover | None = None
    database: str = ""
    external: tuple[str, ...] = ()
    """Patterns of Secrets whose values a contained copy does not get."""

    @classmethod
    def of(cls, work: RestoreWork) -> Form:
        details = work.item.details
        spaces = {name: str(there) for name, there in mapping(details, "namespaces").items()}
        names = Names(work.plan_id, "", "", "", spaces, work.item.target.isolated)
        external = tuple(str(name) for name in sequence(details, "replaceSecrets"))
        return cls(names, Cutover.read(details), work.siblings.get("appdata.database", ""), external)

    def held_back(self, key: ObjectKey) -> str:
        """Why a contained copy does not get an object itself, only its dry run; empty: it gets it."""
        if not self.names.isolated:
            return ""
        if key.kind in _HELD_BACK:
            return _HELD_BACK[key.kind]
        if not key.namespace:
            return _CLUSTER_WIDE
        return "" if is_known(key.kind) else _FOREIGN

    def place(self, key: ObjectKey) -> ObjectKey:
        """Under which name the target has it."""
        spaces = self.names.namespaces
        if key.namespace:
            return replace(key, namespace=spaces.get(key.namespace, key.namespace))
        if key.kind == "namespaces":
            return replace(key, name=spaces.get(key.name, key.name))
        return replace(key, name=f"{_dry_prefix(self.names)}{key.name}") if self.names.isolated else key

    def body(self, key: ObjectKey, wanted: KubeObject) -> Plain:
        """The object as the target shall have it."""
        there = self.place(key)
        metadata = {**mapping(wanted, "metadata"), "name": there.name}
        body: Plain = {
            **wanted,
            "metadata": {**metadata, **({"namespace": there.namespace} if there.namespace else {})},
        }
        body = self._cut_over(key, body)
        return self._contained(key, wanted, body) if self.names.isolated else body

    def _cut_over(self, key: ObjectKey, body: Plain) -> Plain:
        """The database that is restored beside it stays the one that the application is pointed at."""
        cut = self.cutover
        if (
            not cut
            or not self.database
            or (key.namespace, key.kind, key.name) != (cut.namespace, "configmaps", cut.config_map)
        ):
            return body
        return {**body, "data": {**mapping(body, "data"), cut.key: self.database}}

    def _contained(self, key: ObjectKey, wanted: KubeObject, body: Plain) -> Plain:
        spec = dict(mapping(body, "spec"))
        if key.kind in ("deployments.apps", "statefulsets.apps"):
            return {**body, "spec": {**spec, "replicas": 0}}
        if key.kind == "cronjobs.batch" or key.kind.endswith(".toolkit.fluxcd.io"):
            return {**body, "spec": {**spec, "suspend": True}}
        if key.kind == "secrets" and is_external(wanted, self.external):
            return {**body, "data": dict(inert(mapping(body, "data")))}
        if key.kind == "serviceaccounts":
            return _without_identity(body)
        if key.kind == "services":
            return {**body, "spec": _inside(spec)}
        if "subjects" in body:
            return {**body, "subjects": [self._subject(one) for one in sequence(body, "subjects")]}
        return body

    def _subject(self, subject: object) -> KubeObject:
        """Rights in the copy are for accounts of the copy, never for those of the source."""
        space = text(subject, "namespace")
        there = self.names.namespaces.get(space, space)
        return {**mapping(subject), **({"namespace": there} if there else {})}


def _without_identity(account: Plain) -> Plain:
    metadata = dict(mapping(account, "metadata"))
    annotations = {key: value for key, value in mapping(metadata, "annotations").items() if key != WORKLOAD_IDENTITY}
    kept = {key: value for key, value in metadata.items() if key != "annotations"}
    return {**account, "metadata": {**kept, **({"annotations": annotations} if annotations else {})}}


def _inside(spec: Mapping[str, object]) -> Plain:
    if spec.get("type") not in ("LoadBalancer", "NodePort"):
        return {key: value for key, value in spec.items() if key != "externalIPs"}
    ports = [
        {key: value for key, value in mapping(port).items() if key != "nodePort"} for port in sequence(spec, "ports")
    ]
    kept = {key: value for key, value in spec.items() if key not in _INSIDE}
    return {**kept, "type": "ClusterIP", "ports": ports}


def _dry_prefix(names: Names) -> str:
    """For the dry run of what has no namespace: never the living one's name."""
    first = next(iter(names.namespaces.items()), ("", ""))
    prefix = first[1].removesuffix(first[0])
    return prefix if prefix and prefix != first[1] else "dr-dry-run-"


def spaces_for(target: Target, namespaces: tuple[str, ...]) -> Mapping[str, str]:
    """Target side of each namespace."""
    return mapped(replace(target, prefix=f"{target.prefix}{_OWN}") if target.isolated else target, namespaces)
