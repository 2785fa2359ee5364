"""A hand-made API server that lists and watches as the real one does, and a log of its configuration in memory."""

from __future__ import annotations

import copy
import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dr.changelog.seal import Sealer
from dr.components.config.following import ConfigFollower
from dr.errors import CONFLICT, NOT_AUTHORISED, NOT_FOUND, UNREACHABLE, DrError
from dr.model.ids import SourceId
from dr.model.strategy import Place, SourceSpec
from dr.ports import Notice
from dr.stores.memory import MemoryStore
from dr.vendors.kubernetes import Event, Listing
from dr.vendors.kubernetes_objects import KubeObject, Resource, labels_of, mapping, name_of, namespace_of, uid_of
from dr.vendors.kubernetes_transport import Gone
from tests.unit.fakes import FakeClock

RBAC = "rbac.authorization.k8s.io"
SERVED = {
    str(resource): resource
    for resource in (
        Resource("", "v1", "namespaces", False, "Namespace"),
        Resource("", "v1", "configmaps", True, "ConfigMap"),
        Resource("", "v1", "secrets", True, "Secret"),
        Resource("", "v1", "serviceaccounts", True, "ServiceAccount"),
        Resource("", "v1", "services", True, "Service"),
        Resource("", "v1", "pods", True, "Pod"),
        Resource("apps", "v1", "deployments", True, "Deployment"),
        Resource("networking.k8s.io", "v1", "networkpolicies", True, "NetworkPolicy"),
        Resource(RBAC, "v1", "rolebindings", True, "RoleBinding"),
        Resource(RBAC, "v1", "clusterroles", False, "ClusterRole"),
        Resource("kustomize.toolkit.fluxcd.io", "v1", "kustomizations", True, "Kustomization"),
    )
}
KINDS = ("configmaps", "secrets", "serviceaccounts", "services", "deployments.apps", f"rolebindings.{RBAC}",
         f"clusterroles.{RBAC}", "kustomizations.kustomize.toolkit.fluxcd.io")  # fmt: skip
SOURCE = SourceId("config", "kubernetes", "prod")
Body = dict[str, Any]


def spec(**options: object) -> SourceSpec:
    chosen = {"namespaces": ["app"], "namespaceSelector": {"tenant": "true"}, "kinds": list(KINDS), "heartbeat": "3s"}
    return SourceSpec(SOURCE, Place(), {**chosen, **options})


class Stream:
    """What a watch call gives; ends when closed, or when the server has nothing more and `endless` is off."""

    def __init__(self, api: FakeApi, resource: Resource, version: int) -> None:
        self._api, self._resource, self._version = api, resource, version
        self._closed, self._cuts = False, api.cuts

    def __iter__(self) -> Iterator[Event]:
        api = self._api
        while True:
            with api.changed:
                if self._closed or self._cuts != api.cuts:
                    break
                found = [one for one in api.events if one[0] > self._version and one[1] == str(self._resource)]
                if not found:
                    if self._version < api.at:
                        self._version = api.at
                        found = [(api.at, "", "BOOKMARK", {"metadata": {"resourceVersion": str(api.at)}})]
                    else:
                        api.changed.wait(5)
                        continue
            for version, _, kind, body in found:
                self._version = version
                yield Event(kind, body)
        if not self._closed:
            raise DrError(UNREACHABLE, "a watch was cut")

    def close(self) -> None:
        with self._api.changed:
            self._closed = True
            self._api.changed.notify_all()


class FakeApi:
    """Objects by (resource, namespace, name), numbered (`at`) in the order of their changes. `down`: nothing answers; `forgotten`:
    versions below it are compacted; `listed` may bend a listing."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Body] = {}
        self.events: list[tuple[int, str, str, Body]] = []
        self.at, self.forgotten = 100, 0
        self.down = False
        self.cuts = 0
        self.forbids = False
        self.changed = threading.Condition()
        self.listed: Callable[[Resource, Listing], Listing] = lambda _, listing: listing
        self.served_kinds = dict(SERVED)
        self.refuses: Callable[[KubeObject], str] = lambda _: ""
        self.applied: list[str] = []
        self.put("namespaces", {"metadata": {"name": "kube-system"}})

    # --- setting up

    def put(self, kind: str, body: Mapping[str, object]) -> Body:
        """Create or replace."""
        resource = SERVED[kind]
        with self.changed:
            self.at += 1
            key = (kind, namespace_of(body) if resource.namespaced else "", name_of(body))
            before = self.objects.get(key)
            metadata = {**mapping(body, "metadata"), "resourceVersion": str(self.at)}
            metadata["uid"] = uid_of(before) if before else str(uuid.uuid4())
            made: Body = {"apiVersion": resource.group_version, "kind": resource.kind, **copy.deepcopy(dict(body))}
            made["metadata"] = metadata
            self.objects[key] = made
            self._tell(kind, "MODIFIED" if before else "ADDED", made)
            return made

    def drop(self, kind: str, name: str, namespace: str = "") -> None:
        with self.changed:
            self.at += 1
            gone = self.objects.pop((kind, namespace, name))
            self._tell(kind, "DELETED", {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.at)}})

    def _tell(self, kind: str, what: str, body: Body) -> None:
        self.events.append((self.at, kind, what, copy.deepcopy(body)))
        self.changed.notify_all()

    def shut(self, down: bool) -> None:
        with self.changed:
            self.down = down
            self.cuts += down
            self.changed.notify_all()

    # --- as the real one

    def _up(self) -> None:
        if self.down:
            raise DrError(UNREACHABLE, "the API server does not answer")
        if self.forbids:
            raise DrError(NOT_AUTHORISED, "not allowed to do anything")

    def get(self, resource: Resource, name: str, namespace: str = "") -> KubeObject | None:
        self._up()
        return self.objects.get((str(resource), namespace if resource.namespaced else "", name))

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> Listing:
        """Without the type of each item, as a real list; somewhere else something changes all the time."""
        self._up()
        self.at += 1
        if str(resource) not in self.served_kinds:
            raise DrError(NOT_FOUND, f"the server does not know {resource}")
        wanted = dict(pair.split("=", 1) for pair in labels.split(",") if pair)
        with self.changed:
            items = [
                {key: value for key, value in copy.deepcopy(body).items() if key not in ("apiVersion", "kind")}
                for (kind, space, _), body in sorted(self.objects.items())
                if kind == str(resource) and namespace in ("", space) and wanted.items() <= labels_of(body).items()
            ]
            if fields:
                return Listing([one for one in items if f"metadata.name={name_of(one)}" == fields], str(self.at))
            return self.listed(resource, Listing(items, str(self.at)))

    def changes(self, resource: Resource, version: str, seconds: int) -> Stream:
        self._up()
        if int(version) < self.forgotten:
            raise Gone("too old")
        return Stream(self, resource, int(version))

    def version_now(self, resource: Resource) -> str:
        self._up()
        return str(self.at)

    def served(self) -> Mapping[str, Resource]:
        self._up()
        return self.served_kinds

    def watch(self, *_: object, **__: object) -> Iterator[Event | None]:
        raise AssertionError("not used here")

    def create(self, resource: Resource, body: KubeObject, namespace: str = "") -> KubeObject:
        if self.get(resource, name_of(body), namespace) is not None:
            raise DrError(CONFLICT, f"{name_of(body)} exists")
        whole = {**body, "metadata": {**mapping(body, "metadata"), **({"namespace": namespace} if namespace else {})}}
        return self.put(str(resource), whole)

    def patch(self, resource: Resource, name: str, body: KubeObject, namespace: str = "") -> KubeObject:
        found = self.get(resource, name, namespace)
        assert found is not None
        return self.put(str(resource), merged(found, body))

    def apply(
        self, resource: Resource, body: KubeObject, namespace: str = "", manager: str = "dr", *, dry_run: bool = False
    ) -> KubeObject:
        """Maps are merged and nothing is removed, as when other managers own the rest."""
        self._up()
        if why := self.refuses(body):
            raise DrError(CONFLICT if why == "conflict" else NOT_FOUND, why)
        found = self.get(resource, name_of(body), namespace)
        whole = merged(found or {}, json.loads(json.dumps(body)))
        if dry_run:
            return whole
        self.applied.append(f"{namespace}/{resource}/{name_of(body)}")
        return self.put(str(resource), whole)

    def delete(self, resource: Resource, name: str, namespace: str = "", *, uid: str = "") -> bool:
        found = self.get(resource, name, namespace)
        if found is None:
            return False
        if uid and uid_of(found) != uid:
            raise DrError(CONFLICT, f"{name} has another uid")
        for kind, space, other in [*self.objects]:
            if str(resource) == "namespaces" and space == name:
                self.drop(kind, other, space)
        self.drop(str(resource), name, namespace if resource.namespaced else "")
        return True

    def allowed(self, verb: str, resource: Resource, namespace: str = "") -> bool:
        return True

    def version(self) -> str:
        return "v1.35.0"


def merged(found: Mapping[str, object], patch: Mapping[str, object]) -> Body:
    """RFC 7386."""
    result: Body = dict(found)
    for key, value in patch.items():
        old = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = merged(old if isinstance(old, Mapping) else {}, value)
        else:
            result[key] = value
    return result


class PlainKey:
    """Wraps by marking; enough to see who may open. `opens` off: an identity that may only encrypt."""

    name = "file:///key"

    def __init__(self, opens: bool = True) -> None:
        self.opens = opens

    def wrap(self, key: bytes, context: bytes) -> bytes:
        return bytes(byte ^ 0x5A for byte in key)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        if not self.opens:
            raise DrError(NOT_AUTHORISED, "may not decrypt")
        return bytes(byte ^ 0x5A for byte in wrapped)


@dataclass
class World:
    """A cluster with a chosen namespace, and its vault."""

    api: FakeApi = field(default_factory=FakeApi)
    clock: FakeClock = field(default_factory=lambda: FakeClock(datetime.now(UTC)))
    told: list[Notice] = field(default_factory=list)
    vault: MemoryStore = field(init=False)
    sealer: Sealer | None = field(default_factory=lambda: Sealer((PlainKey(),)))

    def __post_init__(self) -> None:
        self.vault = MemoryStore("vault", now=self.clock.now)
        self.api.put("namespaces", {"metadata": {"name": "app", "labels": {"team": "core"}}})
        self.api.put("namespaces", {"metadata": {"name": "tenant-1", "labels": {"tenant": "true"}}})
        self.api.put("namespaces", {"metadata": {"name": "other"}})
        self.api.put("configmaps", config_map("app", "settings", level="info"))
        self.api.put("configmaps", config_map("other", "not-ours"))
        self.api.put("secrets", secret("app", "keys", token="aHVudGVyMg=="))

    def follower(self, **options: object) -> ConfigFollower:
        return ConfigFollower(self.api, spec(**options), self.clock, self.sealer)

    def catch_up(self, **options: object) -> datetime:
        self.clock.advance(60)
        return self.follower(**options).catch_up(self.vault, lambda: False)


def config_map(namespace: str, name: str, **data: str) -> Body:
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


def secret(namespace: str, name: str, **data: str) -> Body:
    note = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(data)}
    return {"metadata": {"name": name, "namespace": namespace, "annotations": note}, "type": "Opaque", "data": data}
