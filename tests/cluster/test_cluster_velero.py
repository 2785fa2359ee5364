"""The cluster component on a real API server and a real Velero: captured, damaged, lost, restored, torn down."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache

import pytest

from dr.components.cluster.access import Velero
from dr.components.cluster.comparing import fingerprint
from dr.components.cluster.inspector import VeleroInspector
from dr.components.cluster.layout import BACKUPS, LABEL_PLAN, LOCATIONS, NOTE_SLOT, RESTORES
from dr.components.cluster.restorer import VeleroRestorer
from dr.components.cluster.source import VeleroSource
from dr.errors import BACKUP_FAILED, CONFLICT, NOT_AUTHORISED, DrError
from dr.model.ids import Slot, SourceId
from dr.model.plans import Target
from dr.model.points import Check, PointManifest
from dr.model.runs import Stamp
from dr.model.strategy import FailureDomain, Place, SourceSpec
from dr.model.timeline import parse_instant
from dr.ports import Draft, Inspection, Json, RestoreWork
from dr.stores.gcs import GcsStore
from dr.vendors.google import GoogleAccess
from dr.vendors.kubernetes import Kubernetes
from dr.vendors.kubernetes_objects import (
    CONFIG_MAPS,
    CRON_JOBS,
    DEPLOYMENTS,
    NAMESPACES,
    NETWORK_POLICIES,
    Resource,
    annotations_of,
    mapping,
    name_of,
    number,
    selects,
    text,
)
from lab.grants import CLUSTER_VAULT, VELERO_BUCKET
from lab.state import Lab

pytestmark = pytest.mark.cluster

SERVICES = Resource("", "v1", "services")
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses")
SCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers")
VOLUMES = Resource("", "v1", "persistentvolumes", namespaced=False)
CLAIMS = Resource("", "v1", "persistentvolumeclaims")


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def stamp(self) -> Stamp:
        return Stamp(self.now(), time.monotonic(), "boot")

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class Journal:
    """A run's view for its steps, in memory."""

    clock: WallClock = field(default_factory=WallClock)
    attempt: int = 1
    outcomes: dict[str, Json] = field(default_factory=dict)

    def outcome(self, step: str) -> Json:
        return self.outcomes[step]

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """Nobody watches."""


def store(lab: Lab, identity: str, bucket: str) -> GcsStore:
    access = GoogleAccess(lab.key(identity), lab.endpoints["storage"], ca_file=lab.ca, project=lab.project)
    return GcsStore(access, bucket, "")


def velero(lab: Lab, identity: str) -> Velero:
    kube = Kubernetes(lab.kubeconfigs[identity])
    return Velero(kube, cache(lambda bucket: store(lab, identity, bucket)), "velero", "gcp")


@dataclass
class Site:
    """An application with a tenant, in namespaces of this test's own, and what captures and restores it."""

    lab: Lab
    tag: str
    admin: Kubernetes
    options: dict[str, object]

    @property
    def app(self) -> str:
        return f"app-{self.tag}"

    @property
    def tenant(self) -> str:
        return f"tenant-{self.tag}"

    @property
    def spec(self) -> SourceSpec:
        return SourceSpec(SourceId("cluster", "velero", "test"), Place(), self.options)

    # --- capture

    def source(self) -> VeleroSource:
        return VeleroSource(self.spec, velero(self.lab, "capture"), WallClock())

    def capture(self, last: str = "copy", between: Callable[[str], None] = lambda step: None) -> Captured:
        taken = Captured(Slot(self.spec.id, datetime.now(UTC), f"m{secrets.token_hex(4)}"), self, Journal())
        taken.go(last, between)
        return taken

    def restorer(self) -> VeleroRestorer:
        return VeleroRestorer(velero(self.lab, "restore"), WallClock(), healthy_s=60)


@dataclass
class Captured:
    """One attempt at a point."""

    slot: Slot
    site: Site
    journal: Journal

    @property
    def vault(self) -> GcsStore:
        return store(self.site.lab, "capture", CLUSTER_VAULT)

    def go(self, last: str, between: Callable[[str], None]) -> None:
        for step in self.site.source().capture(self.slot, self.vault, self.slot.due):
            self.journal.outcomes[step.name] = json.loads(json.dumps(step.run(self.journal)))
            if step.name == last:
                return
            between(str(self.journal.outcomes.get("request", {}).get("backup", "")))

    @property
    def draft(self) -> Draft:
        return self.site.source().draft(self.journal.outcomes)

    def inspect(self) -> Inspection:
        draft = self.draft
        return VeleroInspector().inspect(self.vault, draft.artefacts, draft.details)

    def manifest(self) -> PointManifest:
        draft, found = self.draft, self.inspect()
        return PointManifest(
            self.slot, 1, "velero", draft.as_of, draft.as_of, datetime.now(UTC), found.artefacts, found.counts,
            found.checks, (FailureDomain.LOGICAL,), datetime.now(UTC), "test",
            details=json.loads(json.dumps(draft.details)),
        )  # fmt: skip


def deployment(name: str) -> Json:
    """Ready only while the database that its ConfigMap names is a restored or the live one."""
    probe = {"exec": {"command": ["sh", "-c", 'test -n "$DATABASE"']}, "periodSeconds": 1}
    key = {"configMapKeyRef": {"name": "config", "key": "DATABASE"}}
    container = {
        "name": "main",
        "image": "busybox",
        "command": ["sh", "-c", "while true; do sleep 1; done"],
        "env": [{"name": "DATABASE", "valueFrom": key}],
        "readinessProbe": probe,
    }
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
    return {"metadata": {"name": name}, "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod}}


def fill(site: Site) -> None:
    kube, app = site.admin, site.app
    kube.create(NAMESPACES, {"metadata": {"name": app}})
    kube.create(NAMESPACES, {"metadata": {"name": site.tenant, "labels": {"test-tenant": site.tag}}})
    kube.create(CONFIG_MAPS, {"metadata": {"name": "config"}, "data": {"DATABASE": "live"}}, app)
    kube.create(CONFIG_MAPS, {"metadata": {"name": "limits"}, "data": {"tier": "Basic"}}, site.tenant)
    kube.create(DEPLOYMENTS, deployment("web"), app)
    ports = [{"port": 80, "targetPort": 8080}]
    kube.create(SERVICES, {"metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "ports": ports}}, app)
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    kube.create(INGRESSES, {"metadata": {"name": "web"}, "spec": {"defaultBackend": backend}}, app)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    scaler = {"minReplicas": 2, "maxReplicas": 5, "scaleTargetRef": target}
    kube.create(SCALERS, {"metadata": {"name": "web"}, "spec": scaler}, app)
    job = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}}
    kube.create(
        CRON_JOBS, {"metadata": {"name": "night"}, "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}}}, app
    )
    everything = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}
    kube.create(NETWORK_POLICIES, {"metadata": {"name": "open"}, "spec": everything}, app)
    until(lambda: number(kube.get(DEPLOYMENTS, "web", app), "status", "readyReplicas") == 2, "the application")


def until(there: Callable[[], bool], what: str, deadline_s: float = 60) -> None:
    end = time.monotonic() + deadline_s
    while not there():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.1)


@pytest.fixture
def site(lab: Lab) -> Iterator[Site]:
    tag = secrets.token_hex(3)
    admin = Kubernetes(lab.kubeconfigs["admin"])
    cutover = {"namespace": f"app-{tag}", "configMap": "config", "key": "DATABASE", "workload": "web"}
    options = {"namespaces": [f"app-{tag}"], "namespaceSelector": {"test-tenant": tag}, "cutover": cutover}
    made = Site(lab, tag, admin, options)
    try:
        fill(made)
        yield made
    finally:
        for name in (made.app, made.tenant):
            with suppress(DrError):
                admin.delete(NAMESPACES, name)


def failed(checks: tuple[Check, ...]) -> list[str]:
    return [f"{check.name}: {check.detail}" for check in checks if not check.passed]


def run(restorer: VeleroRestorer, work: RestoreWork) -> Mapping[str, Json]:
    journal = Journal()
    for step in restorer.steps(work):
        journal.outcomes[step.name] = json.loads(json.dumps(step.run(journal)))
    return journal.outcomes


def planned(site: Site, manifest: PointManifest, target: Target, **siblings: str) -> RestoreWork:
    item = site.restorer().outline(site.spec, manifest, datetime.now(UTC), FailureDomain.LOGICAL, target)
    plain = replace(item, details=json.loads(json.dumps(item.details)))
    known = {f"appdata.{key}": value for key, value in siblings.items()}
    return RestoreWork(f"plan-{site.tag}", plain, manifest, store(site.lab, "restore", CLUSTER_VAULT), known)


def test_a_point_is_captured_restored_in_containment_and_torn_down(site: Site) -> None:
    taken = site.capture()
    assert failed(taken.inspect().checks) == []
    assert taken.inspect().counts == taken.draft.counts
    restorer, work = site.restorer(), planned(site, taken.manifest(), Target(True, "drill-"), database="restored")
    try:
        outcomes = run(restorer, work)
        assert failed(restorer.checks(work, outcomes)) == []
        assert_contained(site)
        items = {item.path: item.sha256 for item in restorer.contents(work, outcomes)}
        assert items[f"{site.app}/ConfigMap/config"] == fingerprint({"data": {"DATABASE": "live"}})
        assert items[f"{site.tenant}/ConfigMap/limits"] == fingerprint({"data": {"tier": "Basic"}})
    finally:
        checks = restorer.teardown(work, {})
    assert failed(checks) == []
    assert_nothing_left(site)


def assert_contained(site: Site) -> None:
    kube, app = site.admin, f"drill-{site.app}"
    database = text(kube.get(CONFIG_MAPS, "config", app), "data", "DATABASE")
    assert database == "restored"
    assert text(kube.get(SERVICES, "web", app), "spec", "type") == "ClusterIP"
    assert kube.get(INGRESSES, "web", app) is None
    assert kube.get(SCALERS, "web", app) is None
    assert mapping(kube.get(CRON_JOBS, "night", app), "spec")["suspend"] is True
    assert [name_of(one) for one in kube.list(NETWORK_POLICIES, app).items] == ["dr-contain"]
    assert number(kube.get(DEPLOYMENTS, "web", app), "status", "readyReplicas") == 1
    assert number(kube.get(DEPLOYMENTS, "web", site.app), "status", "readyReplicas") == 2


def assert_nothing_left(site: Site) -> None:
    labels = selects({LABEL_PLAN: f"plan-{site.tag}"})
    for resource in (BACKUPS, RESTORES, LOCATIONS, CONFIG_MAPS):
        assert site.admin.list(resource, "velero", labels=labels).items == []
    assert site.admin.list(NAMESPACES, labels=labels).items == []
    bucket = store(site.lab, "restore", VELERO_BUCKET)
    assert [info.name for info in bucket.list("restores/")] == []


def test_a_lost_namespace_comes_back_for_good(site: Site) -> None:
    manifest = site.capture().manifest()
    for name in (site.app, site.tenant):
        site.admin.delete(NAMESPACES, name)
        until(lambda gone=name: site.admin.get(NAMESPACES, gone) is None, "the end of the namespace")  # type: ignore[misc]
    restorer, work = site.restorer(), planned(site, manifest, Target(isolated=False))
    outcomes = run(restorer, work)
    assert failed(restorer.checks(work, outcomes)) == []
    assert number(site.admin.get(DEPLOYMENTS, "web", site.app), "status", "readyReplicas") == 2
    assert mapping(site.admin.get(CRON_JOBS, "night", site.app), "spec")["suspend"] is False
    assert site.admin.get(INGRESSES, "web", site.app) is not None
    assert failed(restorer.teardown(work, outcomes)) == []
    assert site.admin.get(NAMESPACES, site.app) is not None


def test_a_kill_between_request_and_journal_makes_one_backup(site: Site) -> None:
    """I3, I4."""
    taken = site.capture("request")
    first = taken.journal.outcome("request")
    request = taken.site.source().capture(taken.slot, taken.vault, taken.slot.due)[1]
    assert request.run(taken.journal) == first
    backups = site.admin.list(BACKUPS, "velero").items
    assert [annotations_of(one).get(NOTE_SLOT) for one in backups].count(taken.slot.id) == 1


@pytest.mark.parametrize("fault", ["missing", "truncated", "swapped"])
def test_completed_with_a_damaged_artefact_fails_and_names_it(site: Site, fault: str) -> None:
    """I1: the damage happens in Velero's own bucket, after Velero called the backup Completed."""
    bucket = store(site.lab, "operator", VELERO_BUCKET)
    other = site.capture()
    ended = parse_instant(str(other.journal.outcome("follow")["completed"])).timestamp()
    until(lambda: time.time() > ended + 2, "another second: an archive tells its own by the second")
    backup = ""

    def damage(name: str) -> None:
        nonlocal backup
        backup = name
        path = f"backups/{name}/{name}.tar.gz"
        info = bucket.stat(path) if name else None
        if info is None:
            return  # not uploaded yet: the steps before `copy`
        data = bucket.get(path)
        if fault == "missing":
            bucket.delete(path, generation=info.generation)
        elif fault == "truncated":
            bucket.put(path, data[:-20], if_generation=info.generation)
        else:
            old = str(other.journal.outcome("request")["backup"])
            bucket.put(path, bucket.get(f"backups/{old}/{old}.tar.gz"), if_generation=info.generation)

    if fault == "missing":
        with pytest.raises(DrError) as caught:
            site.capture(between=damage)
        assert caught.value.kind is BACKUP_FAILED
        assert f"{backup}.tar.gz is missing" in caught.value.message
    else:
        faults = failed(site.capture(between=damage).inspect().checks)
        assert f"{backup}.tar.gz" in str(faults)


def test_a_skipped_volume_fails_the_point_unless_the_strategy_excludes_it(site: Site) -> None:
    disk = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}}
    site.admin.create(VOLUMES, {"metadata": {"name": f"pv-{site.tag}"}, "spec": {**disk, "storageClassName": site.tag}})
    asked = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": site.tag,
    }
    site.admin.create(CLAIMS, {"metadata": {"name": "data"}, "spec": asked}, site.app)
    try:
        until(lambda: text(site.admin.get(CLAIMS, "data", site.app), "status", "phase") == "Bound", "the volume")
        with pytest.raises(DrError, match=f"{site.app}/data") as caught:
            site.capture()
        assert caught.value.kind is BACKUP_FAILED
        site.options["excludeVolumes"] = [f"{site.app}/*"]
        taken = site.capture()
        assert failed(taken.inspect().checks) == []
        assert f"{site.app}/data" in str(taken.draft.details["volumes"])
    finally:
        site.admin.delete(VOLUMES, f"pv-{site.tag}")


def test_check_finds_everything_in_order(site: Site) -> None:
    assert failed(site.source().check()) == []


def test_the_capture_identity_is_refused_what_it_must_not_do(site: Site) -> None:
    kube = Kubernetes(site.lab.kubeconfigs["capture"])
    with pytest.raises(DrError) as caught:
        kube.delete(NAMESPACES, site.app)
    assert caught.value.kind is NOT_AUTHORISED
    assert f"delete namespaces {site.app}" in caught.value.message


def test_names_taken_and_objects_gone_are_told_apart(site: Site) -> None:
    with pytest.raises(DrError) as caught:
        site.admin.create(NAMESPACES, {"metadata": {"name": site.app}})
    assert caught.value.kind is CONFLICT
    assert site.admin.get(CONFIG_MAPS, "none", site.app) is None
    assert site.admin.delete(CONFIG_MAPS, "none", site.app) is False


def test_a_watch_tells_what_is_there_and_then_every_change(site: Site) -> None:
    watched = site.admin.watch(CONFIG_MAPS, site.app, fields="metadata.name=config", deadline_s=30, idle_s=2)
    first = next(watched)
    assert first is not None
    assert text(first.object, "data", "DATABASE") == "live"
    assert next(watched) is None
    site.admin.patch(CONFIG_MAPS, "config", {"data": {"DATABASE": "other"}}, site.app)
    site.admin.delete(CONFIG_MAPS, "config", site.app)
    seen = [(event.type, text(event.object, "data", "DATABASE")) for event in (next(watched), next(watched)) if event]
    assert seen == [("MODIFIED", "other"), ("DELETED", "other")]


def test_a_list_in_pages_is_whole(site: Site) -> None:
    whole = site.admin.list(
        Resource("rbac.authorization.k8s.io", "v1", "clusterroles", namespaced=False), metadata_only=True
    )
    assert len({name_of(one) for one in whole.items}) == len(whole.items) > 20
