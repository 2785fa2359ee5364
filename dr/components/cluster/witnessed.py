"""What a witness compares of a cluster besides ConfigMaps: of each object what no containment changes, in the copy and in the
living source alike. What a contained copy does not hold, or holds otherwise by design, is read from the backup itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dr.components.cluster.access import KubeApi
from dr.components.cluster.contents import Item, read_items
from dr.components.cluster.names import Names
from dr.errors import NOT_FOUND, DrError
from dr.model.points import PointManifest
from dr.ports import ObjectStore, RestoredItem
from dr.vendors.kubernetes_objects import (
    DEPLOYMENTS,
    NETWORK_POLICIES,
    SECRETS,
    STATEFUL_SETS,
    KubeObject,
    Resource,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    sequence,
    text,
)

_RBAC = "rbac.authorization.k8s.io"
_TOKEN = "kubernetes.io/service-account-token"
_EXCLUDED = "velero.io/exclude-from-backup"
_CONTAINER = ("name", "image", "command", "args", "env", "envFrom")
_PORT = ("name", "port", "targetPort", "protocol")
Essence = Callable[[KubeObject], object]


def _picked(entries: Sequence[object], keys: Sequence[str]) -> list[object]:
    return [{key: value for key in keys if (value := mapping(one).get(key)) is not None} for one in entries]


def _containers(body: KubeObject) -> object:
    pod = mapping(body, "spec", "template", "spec")
    return {kind: _picked(sequence(pod, kind), _CONTAINER) for kind in ("initContainers", "containers")}


def _service(body: KubeObject) -> object:
    spec = mapping(body, "spec")
    return {"selector": spec.get("selector"), "ports": _picked(sequence(spec, "ports"), _PORT)}


def _secret(body: KubeObject) -> object:
    return {"type": text(body, "type"), "data": dict(mapping(body, "data"))}


def _role(body: KubeObject) -> object:
    return sequence(body, "rules")


def _binding(body: KubeObject) -> object:
    return {"roleRef": mapping(body, "roleRef"), "subjects": sequence(body, "subjects")}


def _spec(body: KubeObject) -> object:
    return mapping(body, "spec")


ESSENCES: Mapping[Resource, tuple[str, Essence]] = {
    SECRETS: ("Secret", _secret),
    DEPLOYMENTS: ("Deployment", _containers),
    STATEFUL_SETS: ("StatefulSet", _containers),
    Resource("", "v1", "services"): ("Service", _service),
    Resource(_RBAC, "v1", "roles"): ("Role", _role),
    Resource(_RBAC, "v1", "rolebindings"): ("RoleBinding", _binding),
    NETWORK_POLICIES: ("NetworkPolicy", _spec),
}
"""Resource -> kind, and what is compared of it."""
_BY_NAME = {str(resource): resource for resource in ESSENCES}
_IN_BACKUP = frozenset({"networkpolicies.networking.k8s.io"})
"""Kept out of a contained copy, whose own of that kind are the containment."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A restored copy, and the backup that it came from. `replaced`: Secrets (`namespace/name`) that hold no credential by
    design."""

    kube: KubeApi
    names: Names
    manifest: PointManifest
    vault: ObjectStore
    replaced: frozenset[str]

    def contents(self) -> Iterator[RestoredItem]:
        """Under source-side names. What the copy lacks is not told: then the witness says so."""
        found = {resource: self._found(resource) for resource in ESSENCES}
        for item in self._items():
            resource = _BY_NAME[item.resource]
            by_design = self.names.isolated and item.resource in _IN_BACKUP
            if by_design or (resource is SECRETS and item.entry in self.replaced):
                yield told(resource, item.namespace, item.body)
            elif body := found[resource].get((self.names.namespaces[item.namespace], item.name)):
                yield told(resource, item.namespace, self._back(body))

    def _items(self) -> Iterator[Item]:
        """Of the witnessed kinds, in the namespaces that were restored."""
        archive = next(one for one in self.manifest.artefacts if one.role == "velero/contents")
        for item in read_items(self.vault.stream(archive.name, generation=archive.generation or None)):
            if item.resource in _BY_NAME and item.namespace in self.names.namespaces and not passed_over(item.body):
                yield item

    def _found(self, resource: Resource) -> dict[tuple[str, str], KubeObject]:
        listed = listed_of(self.kube, resource)
        return {(namespace_of(one), name_of(one)): one for one in listed if namespace_of(one) in self.names.targets}

    def _back(self, body: KubeObject) -> KubeObject:
        """Velero maps the namespaces of a binding's subjects too."""
        back = {target: source for source, target in self.names.namespaces.items()}
        subjects = [_mapped(one, back) for one in sequence(body, "subjects")]
        return {**body, "subjects": subjects} if subjects else body


def _mapped(subject: object, back: Mapping[str, str]) -> object:
    space = text(subject, "namespace")
    return {**mapping(subject), "namespace": back.get(space, space)} if space else subject


def passed_over(body: KubeObject) -> bool:
    """What no backup holds, or every cluster makes for itself."""
    return text(body, "type") == _TOKEN or labels_of(body).get(_EXCLUDED) == "true"


def told(resource: Resource, namespace: str, body: KubeObject) -> RestoredItem:
    """`namespace/Kind/name` with the hash of its essence."""
    kind, essence = ESSENCES[resource]
    canonical = json.dumps(essence(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return RestoredItem(f"{namespace}/{kind}/{name_of(body)}", hashlib.sha256(canonical.encode()).hexdigest())


def listed_of(kube: KubeApi, resource: Resource) -> Sequence[KubeObject]:
    """Every object of a kind; none when the cluster does not know the kind."""
    try:
        return list(kube.list(resource).items)
    except DrError as error:
        if error.kind is NOT_FOUND:
            return []
        raise
