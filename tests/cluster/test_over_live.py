"""Over what lives, on the whole lab: cut over and back by the application's own health, one tenant's namespace, and undone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from dr.model.timeline import format_instant
from dr.vendors.kubernetes_objects import mapping
from lab.energent.manifests import CONFIG_MAP, DEPLOYMENT, NAMESPACE
from lab.kube import Kube, Manifest, wait_for
from lab.stage import lab_strategy
from lab.state import Lab
from tests.lab.command import Answer, Dr

pytestmark = pytest.mark.cluster
CLUSTER, DATABASE = "energent-production", "energent-metadata-production"
TENANT, SPACE, OTHERS = "t-001", "tenant-001", ("tenant-002", "tenant-003", NAMESPACE)
SETTINGS = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{CONFIG_MAP}"
KINDS = ("configmaps", "secrets", "serviceaccounts", "resourcequotas")


@dataclass(frozen=True, slots=True)
class Site:
    """A filled lab with points, whose application must be healthy on its database within seconds."""

    dr: Dr
    lab: Lab
    kube: Kube

    def restore(self, at: str, *more: str) -> Answer:
        return self.dr("restore", "--point-in-time", at, *more, "--auto-approve", "-o", "json")

    def undo(self, restored: Answer) -> None:
        self.dr.fine("restore", "undo", json.loads(restored.out)["id"], "--auto-approve")

    def named(self) -> str:
        """The database that the application is told to use."""
        return str(mapping(self.kube.find(SETTINGS) or {}, "data")["FIRESTORE_DATABASE"])

    def available(self) -> bool:
        found = self.kube.find(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{DEPLOYMENT}") or {}
        return bool(mapping(found, "status").get("availableReplicas"))

    def hashed(self, space: str) -> Mapping[str, str]:
        """What is in a namespace, object by object, with uid and version: the same only if nobody wrote."""
        found = [item for kind in KINDS for item in self.kube.items(f"/api/v1/namespaces/{space}/{kind}")]
        return {f"{space}/{name_of(item)}/{item['metadata']['uid']}": digest(item) for item in found}  # type: ignore[index]

    def levels(self, space: str) -> dict[str, object]:
        """ConfigMap -> its log level."""
        found = self.kube.items(f"/api/v1/namespaces/{space}/configmaps")
        return {
            name_of(item): mapping(item, "data").get("level") for item in found if name_of(item) in self.settings(space)
        }

    def settings(self, space: str) -> set[str]:
        return set(map(name_of, self.kube.items(f"/api/v1/namespaces/{space}/configmaps"))) - {"kube-root-ca.crt"}


def name_of(item: Manifest) -> str:
    return str(mapping(item, "metadata")["name"])


def digest(item: Manifest) -> str:
    return hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()


def impatient(text: str) -> str:
    """The lab's table, with an application that is given up soon."""
    table = yaml.safe_load(text)
    for row in table["objectives"]:
        for source in row["sources"]:
            if source["kind"] == "firestore":
                source["options"]["cutover"]["healthyWithin"] = "15s"
    return yaml.safe_dump(table)


@pytest.fixture
def site(lab: Lab, kube: Callable[[str], Kube], tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "strategy.yaml").write_text(impatient(lab_strategy(1.0)))
    dr, admin = Dr(lab.directory, tmp_path), kube("admin")
    wiped = dr.module("lab.energent", "wipe", "--lab", str(lab.directory), "--witness", str(tmp_path / "wiped.jsonl"))
    assert wiped.code == 0, wiped.err
    here = Site(dr, lab, admin)
    filled = dr.module("lab.energent", "fill", "--lab", str(lab.directory), "--tenants", "3", "--documents", "60")
    assert filled.code == 0, filled.err
    dr.fine("init", "--repositories")
    wait_for("the application", here.available, 60)
    for left in here.settings(SPACE) - {"tenant-settings"}:  # of other tests' writers
        admin.delete(f"/api/v1/namespaces/{SPACE}/configmaps/{left}")
    yield here
    admin.patch(SETTINGS, {"data": {"FIRESTORE_DATABASE": DATABASE}})


def now() -> str:
    """The whole second that has just begun: after all that was done before."""
    before = datetime.now(UTC).replace(microsecond=0)
    wait_for("the next second", lambda: datetime.now(UTC).replace(microsecond=0) > before, 5)
    return format_instant(before + timedelta(seconds=1))


@pytest.mark.timeout(600)  # a dozen commands, one after the other
def test_over_living_data_and_back(site: Site) -> None:
    cut_over_and_undone(site)
    backed_out_of_a_database_that_the_application_does_not_work_on(site)
    one_tenants_namespace_and_undone(site)
    configuration_and_undone(site)


def cut_over_and_undone(site: Site) -> None:
    at = now()
    restored = site.restore(at, "--component", "appdata", "--over", DATABASE)
    assert restored.code == 0, restored.err
    assert site.named().startswith(f"{DATABASE}-restored-")
    assert site.available()
    site.undo(restored)
    assert site.named() == DATABASE
    assert site.available()


def backed_out_of_a_database_that_the_application_does_not_work_on(site: Site) -> None:
    struck = site.dr.module("lab", "disaster", "bad-deploy", "--dir", str(site.lab.directory), "--tenants", "1")
    assert struck.code == 0, struck.err
    bad = now()
    # mended by its owner since; a restore to the bad instant must not stay
    filled = site.dr.module(
        "lab.energent", "fill", "--lab", str(site.lab.directory), "--tenants", "3", "--documents", "60"
    )
    assert filled.code == 0, filled.err
    wait_for("the application", site.available, 60)
    failed = site.restore(bad, "--component", "appdata", "--over", DATABASE)
    failed.refused(1, "go on with")
    (item,) = failed.items
    assert "is not healthy on" in item["error"]
    assert f"pointed back at {DATABASE} and is healthy there" in item["error"]
    assert site.named() == DATABASE
    assert site.available()


def one_tenants_namespace_and_undone(site: Site) -> None:
    site.dr.fine("backup", "cluster")
    at = now()
    site.kube.delete(f"/api/v1/namespaces/{SPACE}/configmaps/tenant-settings")
    site.kube.apply(config_map("made-later"))
    before = [site.hashed(space) for space in OTHERS]
    restored = site.restore(at, "--component", "cluster", "--tenant", TENANT, "--over", CLUSTER)
    assert restored.code == 0, restored.err
    assert site.settings(SPACE) == {"tenant-settings", "made-later"}
    assert [site.hashed(space) for space in OTHERS] == before
    site.undo(restored)
    assert site.settings(SPACE) == {"made-later"}, "what the restore made is gone, what stood before it is there"
    assert [site.hashed(space) for space in OTHERS] == before
    site.kube.delete(f"/api/v1/namespaces/{SPACE}/configmaps/made-later")


def configuration_and_undone(site: Site) -> None:
    """A wrong release goes back, and forward again: what was changed, what was made, and what was deleted."""
    settings = f"/api/v1/namespaces/{SPACE}/configmaps"
    for name in ("tenant-settings", "changed-later"):
        site.kube.apply(config_map(name, level="info"))
    site.dr.fine("backup", "config")
    at = now()
    site.dr.fine("backup", "config")  # the log reaches beyond the instant
    site.kube.delete(f"{settings}/tenant-settings")
    site.kube.apply(config_map("changed-later", level="debug"))
    site.kube.apply(config_map("made-later", level="debug"))
    before = [site.hashed(space) for space in OTHERS]
    scope = ("--namespace", SPACE, "--over", CLUSTER)
    restored = site.restore(at, "--component", "config", *scope, "--delete-newer")
    assert restored.code == 0, restored.err
    assert site.levels(SPACE) == {"tenant-settings": "info", "changed-later": "info"}
    site.undo(restored)
    assert site.levels(SPACE) == {"changed-later": "debug", "made-later": "debug"}
    assert [site.hashed(space) for space in OTHERS] == before
    for name in ("changed-later", "made-later"):
        site.kube.delete(f"{settings}/{name}")


def config_map(name: str, **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": SPACE}, "data": data}
