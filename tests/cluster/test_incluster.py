"""`dr` in the cluster, on the manifests that are shipped: they build, the API server takes them, the CronJobs fire, the service
leads, and points appear, made by Pods that hold no key."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr.app.captures import capture_all, slots_now
from dr.app.core import App, open_app
from dr.app.known import all_points
from dr.model.ids import Slot
from lab.build import binary
from lab.deploy import NAMESPACE, Wanted, apply, kubectl, remove, shortened
from lab.kube import Kube, documents, wait_for
from lab.parts import ROOT
from lab.state import Lab

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(420)]

SCHEDULES = ROOT / "schedules"
OVERLAYS = ("service", "cronjobs", "both", "staging", "production")
APPLICATION = "incluster-app"
FIRES_S = 150
"""A CronJob fires each minute; the machine may be busy."""
Object = dict[str, Any]


def built(directory: Path) -> list[Object]:
    argv = (str(binary("kubectl")), "kustomize", str(directory))
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [dict(document) for document in documents(done.stdout)]


@pytest.fixture(scope="module")
def admin(lab: Lab) -> Kube:
    return Kube(lab.kubeconfigs["admin"])


@pytest.fixture(scope="module")
def app(lab: Lab, admin: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An application to protect, and repositories of this module's own: no other test sees its points."""
    home = tmp_path_factory.mktemp("incluster")
    admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": APPLICATION}})
    meta = {"name": "conf", "namespace": APPLICATION}
    admin.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"colour": "green"}})
    (home / "strategy.yaml").write_text(_strategy())
    (home / "dr.yaml").write_text(_settings(lab, f"incluster-{home.name}"))
    opened = open_app(str(home / "dr.yaml"), str(home / "strategy.yaml"), "capture", environ={})
    try:
        # so that the first prune finds something: it takes an empty vault for an error
        assert all(result.ok for result in capture_all(opened, slots_now(opened, (), "byhand")))
        yield opened
    finally:
        remove(lab)
        admin.delete(f"/api/v1/namespaces/{APPLICATION}")
        wait_for("its end", lambda: admin.find(f"/api/v1/namespaces/{APPLICATION}") is None, 60)


def _strategy() -> str:
    """Rows that take nothing from other tests: whoever pulls audit entries takes them."""
    table = yaml.safe_load(shortened("2m"))
    for row in table["objectives"]:
        row["sources"] = [one for one in row.get("sources", ()) if one["kind"] != "pubsub"]
        for source in row["sources"]:
            source["options"].pop("namespaceSelector", None)
            source["options"].pop("cutover", None)
            if source["kind"] != "firestore":
                source["options"]["namespaces"] = [APPLICATION]
    return yaml.safe_dump(table)


def _settings(lab: Lab, prefix: str) -> str:
    settings = yaml.safe_load(lab.settings.read_text())
    settings["control"] += f"/{prefix}"
    for vault in settings["vaults"].values():
        vault["url"] += f"/{prefix}"
    for name in ("credentials", "kubernetes"):
        settings[name] = {who: str(lab.directory / path) for who, path in settings[name].items()}
    return yaml.safe_dump({**settings, "caFile": str(lab.ca), "cacheDir": str(lab.directory / f"cache-{prefix}")})


def deploy(lab: Lab, app: App, overlay: str, upkeep: str = "") -> Path:
    assert app.settings.path is not None
    strategy = (app.settings.path.parent / "strategy.yaml").read_text()
    return apply(lab, Wanted(overlay, strategy, upkeep, app.settings.path))


def pods(admin: Kube, component: str) -> list[Object]:
    path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io/component%3D{component}"
    return [dict(one) for one in admin.items(path)]


def owner(pod: Object) -> str:
    """The CronJob whose Job's Pod this is."""
    return str(pod["metadata"]["ownerReferences"][0]["name"]).rpartition("-")[0]


def log(lab: Lab, pod: Object) -> str:
    meta = pod["metadata"]
    directory = lab.directory / "data" / "node" / "logs" / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
    return "\n".join(path.read_text() for path in sorted(directory.glob("*.log")))


def scheduled(app: App) -> list[Slot]:
    """Slots of the cadence that have a point, listed now; what was captured by hand carries a tag."""
    return [point.slot for point in all_points(app) if not point.slot.tag]


def ended(lab: Lab, admin: Kube, component: str) -> Callable[[], bool]:
    """Whether each CronJob of the component has had a Pod that ended well; a Pod that failed shows its log."""

    def asked() -> bool:
        found = pods(admin, component)
        for pod in found:
            assert pod["status"].get("phase") != "Failed", log(lab, pod)
        wanted = {name for name in _cronjobs(admin) if f"-{component}-" in f"{name}-"}
        return bool(wanted) and wanted <= {owner(pod) for pod in found if pod["status"].get("phase") == "Succeeded"}

    return asked


def _cronjobs(admin: Kube) -> list[str]:
    return [
        str(dict(one)["metadata"]["name"]) for one in admin.items(f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs")
    ]  # type: ignore[index]


def test_the_cronjobs_fire_and_points_appear_made_without_a_key(lab: Lab, admin: Kube, app: App) -> None:
    """Captures by their CronJobs, and what was captured is verified and pruned by theirs, each as its own identity. A firing
    whose slot is done already does nothing and ends well."""
    made = deploy(lab, app, "cronjobs", upkeep="* * * * *")
    for drill in [name for name in _cronjobs(admin) if "-drill-" in name]:
        kubectl(lab, "patch", "cronjob", drill, "-n", NAMESPACE, "-p", '{"spec": {"suspend": true}}')
    shipped = {path: (SCHEDULES / path).read_text() for path in _same_whatever_the_table()}
    assert {path: (made / "schedules" / path).read_text() for path in shipped} == shipped
    for component in ("capture", "verify", "prune"):
        wait_for(f"the end of {component}", ended(lab, admin, component), FIRES_S)
    slots = scheduled(app)
    assert {slot.source.component for slot in slots} == {"cluster", "appdata", "config"}
    assert len(set(slots)) == len(slots), "one point for each slot"


def _same_whatever_the_table() -> list[str]:
    """Files that do not depend on strategy and settings: byte for byte what is in the repository."""
    names = ("base/namespace.yaml", "base/network-policy.yaml", "components/service/deployment.yaml")
    return [*names, "components/service/service.yaml", "components/tainted-pool/kustomization.yaml"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_builds_and_the_api_server_takes_it(admin: Kube, app: App, lab: Lab, overlay: str) -> None:
    """A dry run on the server: schema, defaulting, validation and admission, Pod Security included, for Pods too."""
    admin.apply(_namespace())
    found = built(SCHEDULES / "overlays" / overlay)
    assert len(found) > 15
    for one in found:
        taken = admin.request(
            "PATCH",
            f"{admin.path_of(one)}?fieldManager=test&force=true&dryRun=All&fieldValidation=Strict",
            one,
            content_type="application/apply-patch+yaml",
        )
        assert taken["metadata"]["name"] == one["metadata"]["name"]  # type: ignore[index]
        if template := _pod_template(one):
            _admitted(admin, one, template)


def _namespace() -> Object:
    return yaml.safe_load((SCHEDULES / "base" / "namespace.yaml").read_text())  # type: ignore[no-any-return]


def _pod_template(one: Object) -> Object | None:
    spec = one.get("spec") or {}
    spec = spec.get("jobTemplate", {}).get("spec", spec) if one["kind"] == "CronJob" else spec
    return spec.get("template") if one["kind"] in ("CronJob", "Deployment") else None


def _admitted(admin: Kube, one: Object, template: Object) -> None:
    """Pod Security judges Pods, and only warns of templates."""
    # its service account need not be there: a dry run of the base made none
    spec = {**template["spec"], "serviceAccountName": "default"}
    meta = {"name": one["metadata"]["name"], "namespace": NAMESPACE}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    admin.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All&fieldValidation=Strict", pod)


def test_the_service_leads_with_one_of_two_and_serves_what_it_did(lab: Lab, admin: Kube, app: App) -> None:
    before = set(scheduled(app))
    remove(lab)
    deploy(lab, app, "service")
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/dr"
    wait_for("two ready replicas", lambda: _status(admin.get(path)).get("readyReplicas") == 2, FIRES_S)
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/dr"
    wait_for("a leader", lambda: bool(admin.find(lease)), 30)
    wait_for("a point of the service", lambda: bool(set(scheduled(app)) - before), FIRES_S)
    running = pods(admin, "service")
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in running] == [0, 0]
    assert "dr_build_info" in _metrics(running[0])
    path = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/dr"
    wait_for("the budget's count", lambda: _status(admin.get(path)).get("expectedPods") == 2, 30)


def _status(one: object) -> Object:
    assert isinstance(one, dict)
    return dict(one.get("status", {}))


def _metrics(pod: Object) -> str:
    with urllib.request.urlopen(f"http://{pod['status']['podIP']}:8080/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def test_dr_check_in_a_pod_finds_nothing_missing(lab: Lab, admin: Kube, app: App) -> None:
    """The shipped rights suffice, asked by the shipped service account itself."""
    deploy(lab, app, "cronjobs")
    job = yaml.safe_load(kubectl(lab, "get", "cronjob", "dr-capture-cluster", "-n", NAMESPACE, "-o", "yaml"))
    spec = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    spec["containers"][0]["args"] = ["check", "-o", "json"]
    name = "check-by-hand"
    meta = {"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/component": "by-hand"}}
    admin.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    look = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}"
    wait_for("its end", lambda: _status(admin.get(look)).get("phase") in ("Succeeded", "Failed"), 90)
    said = log(lab, dict(admin.get(look)))
    items = json.loads(said[said.index("{") : said.rindex("}") + 1])["items"]
    missing = [item for item in items if "missing:" in str(item) or "not allowed:" in str(item)]
    assert missing == []
    assert any("permissions" in str(item) for item in items)
