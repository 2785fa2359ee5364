"""Containment on a real control plane: a drill proves that it held, fails when it is broken, and leaves nothing behind, dead
or alive."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from dr.components.cluster.layout import LABEL_EXPIRES, LABEL_PLAN
from lab.kube import Kube, wait_for
from lab.stage import lab_strategy
from lab.state import Lab
from tests.cluster.test_egress import listening
from tests.cluster.test_restore_cluster import SIGKILLED, Site, is_going, name_of
from tests.lab.command import Answer, Dr

if TYPE_CHECKING:
    from google.cloud.storage import Client

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("containment")


@pytest.fixture
def site(lab: Lab, kube: Callable[[str], Kube], storage: Callable[[str], Client], home: Path) -> Site:
    """Filled and captured once for all tests here."""
    dr, admin = Dr(lab.directory, home), kube("admin")
    if not (home / "filled").exists():
        witness = str(home / "wiped.jsonl")
        assert dr.module("lab.energent", "wipe", "--lab", str(lab.directory), "--witness", witness).code == 0
        filled = dr.module("lab.energent", "fill", "--lab", str(lab.directory), "--tenants", "2", "--documents", "20")
        assert filled.code == 0, filled.err
        dr.fine("init", "--repositories")
        dr.fine("backup", "cluster")
        (home / "filled").touch()
    wait_for("the end of deleted namespaces", lambda: not any(map(is_going, admin.items("/api/v1/namespaces"))), 60)
    return Site(dr, lab, admin, storage("operator"))


def opened(home: Path, **options: object) -> Path:
    """The lab's table with other options of the cluster."""
    table = yaml.safe_load(lab_strategy(1.0))
    for row in table["objectives"]:
        if row["component"] == "cluster":
            row["sources"][0]["options"].update(options)
    file = home / "opened.yaml"
    file.write_text(yaml.safe_dump(table))
    return file


def drilled(answer: Answer) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(answer.out)["drill"]
    return found


def test_a_drill_proves_that_it_was_contained(site: Site) -> None:
    before = site.left_overs()
    report = drilled(site.dr.fine("drill", "run", "cluster", "-o", "json"))
    found = {check["name"]: check["detail"] for check in report["tripwire"] if check["passed"]}
    assert len(found) == len(report["tripwire"]) == 5
    assert found["tripwire: egress probe"].startswith("the API server not reached")
    assert "energent-ai/energent-api-keys" in found["tripwire: external credentials"]
    assert site.left_overs() == before


def test_a_copy_that_gets_out_fails_the_drill_before_anything_is_restored(site: Site, home: Path) -> None:
    before = site.left_overs()
    with listening() as production:
        place = f"127.0.0.1:{production.port}"
        broken = opened(home, allowEgress=["127.0.0.0/8"], probe={"image": "dr", "endpoints": [place]})
        answer = site.dr.with_(DR_STRATEGY=str(broken))("drill", "run", "cluster", "-o", "json")
        assert production.reached >= 1
    assert answer.code == 1, answer.err[-500:]
    (row,) = [row for row in json.loads(answer.out)["items"] if row["verdict"] == "failed"]
    assert any(f"reached {place}" in finding for finding in row["findings"])
    assert "restore" not in [step["step"] for step in row["rto"]["steps"]]
    assert site.left_overs() == before


def test_a_drill_that_was_killed_is_reaped(site: Site) -> None:
    """Before its namespaces' uids were journalled, and after everything was restored."""
    before = site.left_overs()
    for step in ("contain", "release"):
        killed = site.dr.module("tests.lab.killed_drill", "cluster", rf"drills/.*/\d+-.*\.{step}\.json")
        assert killed.code == SIGKILLED, (step, killed)
        left = site.left_overs()["namespaces"] - before["namespaces"]
        assert left
        (drill,) = {label(site.kube, name) for name in left}
        assert site.dr.fine("drill", "reap", "-o", "json").items == []
        gone = site.dr.fine("drill", "reap", drill, "-o", "json").items
        assert {f"namespaces {name}" for name in left} <= {item["what"] for item in gone}
        assert site.left_overs() == before


def label(admin: Kube, name: str) -> str:
    found = admin.get(f"/api/v1/namespaces/{name}")
    labels = found["metadata"]["labels"]  # type: ignore[index,call-overload]
    return str(labels[LABEL_PLAN])


def test_expired_labels_without_a_journal_go_and_doubtful_ones_are_named(site: Site) -> None:
    expired, doubtful = "drill-reaper-expired", "drill-reaper-doubtful"
    marks = {expired: {LABEL_PLAN: "nobody", LABEL_EXPIRES: "1"}, doubtful: {LABEL_PLAN: "nobody"}}
    for name, labels in marks.items():
        site.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    try:
        answer = site.dr("drill", "reap", "-o", "json")
        assert answer.code == 1, answer.err[-500:]
        assert {item["what"]: item["gone"] for item in answer.items} == {
            f"namespaces {expired}": True,
            f"namespaces {doubtful}": False,
        }
        standing = set(map(name_of, site.kube.items("/api/v1/namespaces")))
        assert doubtful in standing
        assert expired not in standing
    finally:
        site.kube.delete(f"/api/v1/namespaces/{doubtful}")
        path = f"/api/v1/namespaces/{doubtful}"
        wait_for("its end", lambda: site.kube.find(path) is None, 60)
