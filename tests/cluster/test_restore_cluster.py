"""The cluster through the command line: refused over what lives, killed and resumed over what is lost, drilled without a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dr.components.cluster.layout import LABEL_PLAN
from dr.model.timeline import format_instant
from lab.energent.manifests import DEPLOYMENT, NAMESPACE
from lab.grants import VELERO_BUCKET
from lab.kube import Kube, Manifest, wait_for
from lab.state import Lab
from tests.lab.command import Answer, Dr

if TYPE_CHECKING:
    from google.cloud.storage import Client

pytestmark = pytest.mark.cluster
CLUSTER = "energent-production"
VELERO = "/apis/velero.io/v1/namespaces/velero"
MADE_BY_RESTORES = {
    "namespaces": "/api/v1/namespaces",
    "locations": f"{VELERO}/backupstoragelocations",
    "backups": f"{VELERO}/backups",
    "restores": f"{VELERO}/restores",
    "modifiers": "/api/v1/namespaces/velero/configmaps",
}
KILLED_AT = ("stage", "import-backup", "restore", "release")
"""Each time its effect is there and its journal entry is not."""
SIGKILLED = -9


@dataclass(frozen=True, slots=True)
class Site:
    """A filled lab with a point of each component."""

    dr: Dr
    lab: Lab
    kube: Kube
    storage: Client

    def restore(self, *more: str) -> Answer:
        now = format_instant(datetime.now(UTC))
        return self.dr("restore", *more, "--point-in-time", now, "--component", "cluster")

    def apply_killed(self, plan: Path, step: str) -> Answer:
        names = rf"restores/.*/\d+-.*\.{step}\.json"
        return self.dr.module("tests.lab.killed_restore", str(plan), "kill-before", "0", names)

    def left_overs(self) -> dict[str, set[str]]:
        """All that a restore could leave behind."""
        found = {kind: set(map(name_of, self.kube.items(path))) for kind, path in MADE_BY_RESTORES.items()}
        copies = self.storage.list_blobs(VELERO_BUCKET, prefix="restores/")
        return {**found, "copies": {blob.name for blob in copies}, "databases": databases(self.lab)}

    def of_plan(self, kind: str, plan: str) -> list[str]:
        """Names of what carries the plan's label."""
        return list(map(name_of, self.kube.items(f"{MADE_BY_RESTORES[kind]}?labelSelector={LABEL_PLAN}%3D{plan}")))

    def available(self) -> int:
        found = self.kube.find(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{DEPLOYMENT}") or {}
        return int(inner(found, "status").get("availableReplicas", 0))


def inner(body: Manifest, name: str) -> Mapping[str, int | str]:
    value = body.get(name, {})
    assert isinstance(value, Mapping)
    return value


def name_of(body: Manifest) -> str:
    return str(inner(body, "metadata")["name"])


def is_going(body: Manifest) -> bool:
    return "deletionTimestamp" in inner(body, "metadata")


def databases(lab: Lab) -> set[str]:
    """Ids of all databases of the project."""
    from google.cloud.firestore_admin_v1 import FirestoreAdminClient
    from google.cloud.firestore_admin_v1.services.firestore_admin.transports import FirestoreAdminGrpcTransport

    from lab.energent.store import Target, channel

    target = Target(lab.endpoints["firestore"], lab.project, lab.database, lab.key("operator"), lab.ca)
    client = FirestoreAdminClient(transport=FirestoreAdminGrpcTransport(channel=channel(target)))
    listed = client.list_databases(parent=f"projects/{lab.project}")
    return {found.name.rpartition("/")[2] for found in listed.databases}


@pytest.fixture
def site(lab: Lab, kube: Callable[[str], Kube], storage: Callable[[str], Client], tmp_path: Path) -> Site:
    dr = Dr(lab.directory, tmp_path)
    # the lab is shared: another test's tenants would not be this platform's
    wiped = dr.module("lab.energent", "wipe", "--lab", str(lab.directory), "--witness", str(tmp_path / "wiped.jsonl"))
    assert wiped.code == 0, wiped.err
    filled = dr.module("lab.energent", "fill", "--lab", str(lab.directory), "--tenants", "3", "--documents", "60")
    assert filled.code == 0, filled.err
    dr.fine("init", "--repositories")
    dr.fine("backup")
    admin = kube("admin")
    # what an earlier test deleted may still be going, and would look as if a restore had removed it
    wait_for("the end of deleted namespaces", lambda: not any(map(is_going, admin.items("/api/v1/namespaces"))), 60)
    return Site(dr, lab, admin, storage("operator"))


def test_refused_over_the_living_drilled_without_a_trace_killed_and_resumed(site: Site) -> None:
    refused_over_living_namespaces(site)
    drilled_without_a_trace(site)
    killed_and_resumed(site)


def refused_over_living_namespaces(site: Site) -> None:
    """A namespace's own name does not open all of them; the cluster's does."""
    before = site.left_overs()
    for over in ((), ("--over", NAMESPACE), ("--over", "energent")):
        site.restore("--auto-approve", *over).refused(2, NAMESPACE, "is alive", f"--over {CLUSTER}")
    plan = site.restore("plan", "--over", CLUSTER)
    assert plan.code == 0, plan.err
    assert "Velero updates what is there" in plan.out
    assert site.left_overs() == before


def drilled_without_a_trace(site: Site) -> None:
    before = site.left_overs()
    drilled = site.dr.fine(
        "drill", "run", "quarterly", "--component", "cluster", "--component", "appdata", "-o", "json"
    )
    verdicts = {(row["component"], row["domain"]): row["verdict"] for row in drilled.items}
    wanted = [("appdata", "logical"), ("appdata", "source"), ("cluster", "source")]
    assert [verdicts[row] for row in wanted] == ["met"] * 3
    assert site.left_overs() == before
    assert site.available() == 1


def killed_and_resumed(site: Site) -> None:
    """One restore that dies four times: made once, and the application works."""
    struck = site.dr.module("lab", "disaster", "namespace-deleted", "--dir", str(site.lab.directory))
    assert struck.code == 0, struck.err
    assert site.available() == 0
    file = site.dr.work / "plan.json"
    plan = site.restore("plan", "--out", str(file), "--domain", "source", "-o", "name")
    assert plan.code == 0, plan.err
    for step in KILLED_AT:
        killed = site.apply_killed(file, step)
        assert killed.code == SIGKILLED, (step, killed)
    (item,) = site.dr.fine("restore", "resume", plan.out.strip(), "-o", "json").items
    assert item["state"] == "done"
    wanted = ["verify-point", "stage", "import-backup", "erase", "restore", "follow", "note", "rewire", "release"]
    assert [step["step"] for step in item["steps"]] == wanted
    assert site.available() == 1
    for kind in ("locations", "backups", "restores", "modifiers"):
        assert len(site.of_plan(kind, plan.out.strip())) == 1, kind
    tenants = site.kube.items("/api/v1/namespaces?labelSelector=energent.io/tenant%3Dtrue")
    assert len(tenants) >= 3
