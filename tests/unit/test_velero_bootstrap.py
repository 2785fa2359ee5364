"""Velero for a cluster that has none: what the points remember, what is applied, and what is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dr.components.cluster.bootstrap import (
    IMAGE,
    MADE_BY,
    PLUGIN_IMAGE,
    WORKLOAD_IDENTITY,
    Install,
    install,
    manifests,
    remembered,
    shipped,
)
from dr.components.cluster.layout import LOCATIONS
from dr.errors import TARGET_EXISTS, TIMED_OUT, DrError
from dr.vendors.kubernetes_objects import (
    CUSTOM_RESOURCES,
    DEPLOYMENTS,
    KubeObject,
    Resource,
    annotations_of,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    sequence,
    text,
)
from tests.unit.test_velero_capture import Run
from tests.unit.velero_world import FakeKube, TickingClock, world

STORAGE = {
    "provider": "velero.io/gcp",
    "objectStorage": {"bucket": "b", "prefix": "p"},
    "config": {"serviceAccount": "a@x"},
}
DETAILS = {"velero": {"location": STORAGE, "image": "eu.gcr.io/mirror/velero:v1.18.1", "plugins": ["mirror/gcp:v1"]}}


class NewCluster(FakeKube):
    """Takes what is applied; definitions are served, and `phase` is what becomes of the location."""

    def __init__(self, phase: str = "Available") -> None:
        super().__init__()
        self.phase = phase
        self.applied: list[str] = []

    def apply(self, resource: Resource, body: KubeObject, namespace: str = "", manager: str = "dr") -> KubeObject:
        assert body["apiVersion"] == resource.group_version
        assert namespace == namespace_of(body)
        self.applied.append(f"{body['kind']}/{name_of(body)}")
        whole = dict(body)
        if resource == CUSTOM_RESOURCES:
            whole["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        if resource == LOCATIONS:
            whole["status"] = {"phase": self.phase, "message": "no such bucket"}
        self.put(f"{resource.group_version}/{resource.plural}", namespace, whole)
        return whole


def by_kind(wanted: Install) -> dict[str, KubeObject]:
    return {str(one["kind"]): one for one in manifests(wanted)}


def test_a_point_remembers_the_velero_that_made_it() -> None:
    here = world()
    pod = {"spec": {"containers": [{"image": "velero/velero:v1.17.0"}], "initContainers": [{"image": PLUGIN_IMAGE}]}}
    here.kube.put("apps/v1/deployments", "velero", {"metadata": {"name": "velero"}, "spec": {"template": pod}})
    run = Run(here).until()
    found = remembered(run.source.draft(run.context.outcomes).details, "velero", "gcp", "", "")
    assert (found.bucket, found.image, found.plugins) == ("velero", "velero/velero:v1.17.0", (PLUGIN_IMAGE,))


def test_names_given_by_a_person_win_and_images_without_a_version_do_not() -> None:
    found = remembered(DETAILS, "velero", "gcp", "other", "new@x")
    assert (found.bucket, found.account) == ("other", "new@x")
    assert mapping(found.storage, "objectStorage")["prefix"] == "p"
    assert found.image == "eu.gcr.io/mirror/velero:v1.18.1"
    loose = {"velero": {"location": STORAGE, "image": "registry:5000/velero/velero", "plugins": []}}
    assert remembered(loose, "velero", "gcp", "", "").image == IMAGE
    with pytest.raises(ValueError, match="which bucket"):
        remembered({}, "velero", "gcp", "", "")


def test_everything_is_fitted_to_the_names_of_the_settings() -> None:
    found = by_kind(remembered(DETAILS, "backup", "primary", "", ""))
    assert name_of(found["Namespace"]) == "backup"
    assert {namespace_of(one) for one in found.values()} == {"", "backup"}
    assert sequence(found["ClusterRoleBinding"], "subjects")[0] == {
        "kind": "ServiceAccount",
        "name": "velero",
        "namespace": "backup",
    }
    assert annotations_of(found["ServiceAccount"]) == {WORKLOAD_IDENTITY: "a@x"}
    assert mapping(found["BackupStorageLocation"], "spec") == {**STORAGE, "default": True}
    assert name_of(found["BackupStorageLocation"]) == "primary"
    pod = mapping(found["Deployment"], "spec", "template", "spec")
    (server,) = sequence(pod, "containers")
    assert text(server, "image") == "eu.gcr.io/mirror/velero:v1.18.1"
    assert "--default-backup-storage-location=primary" in sequence(server, "args")
    assert [text(one, "image") for one in sequence(pod, "initContainers")] == ["mirror/gcp:v1"]
    assert all(MADE_BY.items() <= labels_of(one).items() for one in found.values())


def test_the_node_agent_comes_only_where_volumes_were_moved() -> None:
    moved = {**DETAILS, "volumes": [{"claim": "a/b", "method": "CSISnapshot"}]}
    assert "DaemonSet" not in by_kind(remembered(DETAILS, "velero", "gcp", "", ""))
    assert "DaemonSet" in by_kind(remembered(moved, "velero", "gcp", "", ""))


def test_definitions_come_first_and_the_location_is_waited_for() -> None:
    kube, clock = NewCluster(), TickingClock()
    told = list(install(kube, remembered(DETAILS, "velero", "gcp", "", ""), clock))
    kinds = [entry.split("/")[0] for entry in kube.applied]
    assert kinds[:13] == ["CustomResourceDefinition"] * 13
    assert kinds[13:] == [
        "Namespace", "ServiceAccount", "ClusterRoleBinding", "BackupStorageLocation", "VolumeSnapshotLocation", "Deployment",
    ]  # fmt: skip
    assert told[-1] == "storage location gcp is Available: gs://b"
    before = dict(kube.objects)
    assert list(install(kube, remembered(DETAILS, "velero", "gcp", "", ""), clock)) == told, "repeatable"
    assert kube.objects.keys() == before.keys()


def test_a_location_that_never_becomes_available_says_what_velero_says() -> None:
    kube, clock = NewCluster("Unavailable"), TickingClock()
    with pytest.raises(DrError, match="no such bucket") as caught:
        list(install(kube, remembered(DETAILS, "velero", "gcp", "", ""), clock))
    assert caught.value.kind is TIMED_OUT
    assert timedelta(seconds=clock.passed) < timedelta(minutes=6)


def test_i9_a_velero_that_somebody_else_set_up_is_not_touched() -> None:
    kube = NewCluster()
    kube.put(f"{DEPLOYMENTS.group_version}/deployments", "velero", {"metadata": {"name": "velero"}})
    with pytest.raises(DrError, match="has a Velero") as caught:
        list(install(kube, remembered(DETAILS, "velero", "gcp", "", ""), TickingClock()))
    assert caught.value.kind is TARGET_EXISTS
    assert kube.applied == []


def test_what_is_shipped_loads_and_names_only_known_kinds() -> None:
    kinds = [one["kind"] for one in shipped()]
    assert len(kinds) == 20
    assert kinds.count("CustomResourceDefinition") == 13
