"""What a witness compares of a cluster: what no containment changes; what it changes by design is read from the backup."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dr.components.cluster.living import LivingCluster, changed_by
from dr.components.cluster.names import Names
from dr.components.cluster.witnessed import Copy, told
from dr.model.points import Artefact, PointManifest
from dr.model.strategy import FailureDomain
from dr.ports import RestoredItem
from dr.stores.memory import MemoryStore
from dr.vendors.kubernetes_objects import NAMESPACES, Resource
from tests.unit.velero_world import START, FakeKube, Made, TickingClock, item, slot, spec, world

RBAC = "rbac.authorization.k8s.io"
SECRET = item("v1/Secret", "secrets", "app", "keys", type="Opaque", data={"a": "MQ=="})
TOKEN = item("v1/Secret", "secrets", "app", "token", type="kubernetes.io/service-account-token", data={})
WEB = item(
    "apps/v1/Deployment", "deployments", "app", "web",
    spec={"replicas": 3, "template": {"spec": {"containers": [{"name": "web", "image": "web:1", "env": []}]}}},
)  # fmt: skip
BINDING = item(
    f"{RBAC}/v1/RoleBinding", "rolebindings", "app", "may",
    roleRef={"name": "r"}, subjects=[{"kind": "ServiceAccount", "name": "s", "namespace": "app"}],
)  # fmt: skip
POLICY = item("networking.k8s.io/v1/NetworkPolicy", "networkpolicies", "app", "open", spec={"podSelector": {}})
SERVICE = item("v1/Service", "services", "app", "web", spec={"type": "LoadBalancer", "selector": {"a": "b"}})
BACKUP = (SECRET, TOKEN, WEB, BINDING, POLICY, SERVICE)
Body = dict[str, object]


def copied(*replaced: str, **instead: Body) -> dict[str, str]:
    """Path -> hash of a copy in which some objects are others, by name."""
    kube, vault = FakeKube(), MemoryStore()
    for path, body in BACKUP:
        resource, name = path.split("/")[1], str(body["metadata"]["name"])  # type: ignore[index]
        plural, _, group = resource.partition(".")
        found = {**body, **instead.get(name, {})}
        if plural != "networkpolicies":  # its own are the containment
            put(kube, Resource(group, "v1", plural), found, "drill-app")
    data = Made("b", world=BACKUP).tarball()
    vault.put("c", data)
    manifest = PointManifest(
        slot(), 1, "velero", START, START, START, (Artefact("c", "velero/contents", len(data), "", "", 0),), {}, (),
        (FailureDomain.SOURCE,), datetime(2030, 1, 1, tzinfo=UTC), "test",
    )  # fmt: skip
    names = Names("p", "n", "b", "", {"app": "drill-app"}, True)
    return paths(list(Copy(kube, names, manifest, vault, frozenset(replaced)).contents()))


def put(kube: FakeKube, resource: Resource, body: Body, namespace: str) -> None:
    metadata = {**body["metadata"], "namespace": namespace}  # type: ignore[dict-item]
    subjects = [{**one, "namespace": namespace} for one in body.get("subjects", [])]  # type: ignore[attr-defined]
    kube.objects[kube._key(resource, str(metadata["name"]), namespace)] = {
        **body, "metadata": metadata, **({"subjects": subjects} if subjects else {}),
    }  # fmt: skip


def paths(items: list[RestoredItem]) -> dict[str, str]:
    return {one.path: one.sha256 for one in items}


def living() -> dict[str, str]:
    """As the source itself would be told."""
    kube = FakeKube()
    kube.objects[kube._key(NAMESPACES, "app", "")] = {"metadata": {"name": "app"}}
    for path, body in BACKUP:
        plural, _, group = path.split("/")[1].partition(".")
        put(kube, Resource(group, "v1", plural), body, "app")
    here = world()
    witness = LivingCluster(replace(here.velero, kube=kube), TickingClock())
    return paths([one for one in witness.read(spec(), START) if "/ConfigMap/" not in one.path])


def test_an_unchanged_copy_is_what_lives() -> None:
    assert copied() == living()
    assert set(copied()) == {
        "app/Secret/keys", "app/Deployment/web", "app/RoleBinding/may", "app/NetworkPolicy/open", "app/Service/web",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "path"),
    [
        ("keys", {"data": {"a": "Mg=="}}, "app/Secret/keys"),
        ("may", {"roleRef": {"name": "admin"}}, "app/RoleBinding/may"),
        ("open", {}, ""),
    ],
)
def test_what_differs_is_told(name: str, change: Body, path: str) -> None:
    differing = {one for one, sha in copied(**{name: change}).items() if sha != living()[one]}
    assert differing == ({path} if path else set())


def test_another_image_or_variable_differs_and_the_replicas_of_a_copy_do_not() -> None:
    def with_(**container: object) -> Body:
        one = {"name": "web", "image": "web:1", "env": [], **container}
        return {"spec": {"replicas": 0, "template": {"spec": {"containers": [one]}}}}

    assert copied(web=with_())["app/Deployment/web"] == living()["app/Deployment/web"]
    for change in ({"image": "web:2"}, {"env": [{"name": "X", "value": "1"}]}, {"command": ["sh"]}):
        assert copied(web=with_(**change))["app/Deployment/web"] != living()["app/Deployment/web"]


def test_a_replaced_credential_is_read_from_the_backup() -> None:
    inert: Body = {"data": {"a": "aW5lcnQ="}}
    assert copied("app/keys", keys=inert) == living()
    assert copied(keys=inert) != living()


def test_a_change_is_as_old_as_the_end_of_its_second_and_a_status_is_no_change() -> None:
    body = {
        "metadata": {
            "managedFields": [
                {"time": "2026-01-02T03:04:05Z"},
                {"time": "2026-01-02T04:00:00Z", "subresource": "status"},
            ]
        }
    }
    assert changed_by(body) == datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)


def test_only_the_essence_is_hashed() -> None:
    service = Resource("", "v1", "services")
    inside = {**SERVICE[1], "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", "selector": {"a": "b"}}}
    assert told(service, "app", inside) == told(service, "app", SERVICE[1])
