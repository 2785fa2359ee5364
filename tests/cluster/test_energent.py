"""The platform on the whole lab: filled and written to by its own command line, ready only while its database lets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.energent.manifests import DEPLOYMENT, NAMESPACE
from lab.energent.store import Store, Target
from lab.energent.values import configmap_fingerprint, fingerprint
from lab.iam import Iam
from lab.kube import Kube, Manifest, wait_for
from lab.state import Lab

pytestmark = pytest.mark.cluster

SOURCES = {
    "appdata/firestore/energent-metadata-production",
    "cluster/velero/energent-production",
    "config/kubernetes/energent-production",
}
DEADLINE_S = 30


def energent(lab: Lab, *words: str) -> list[str]:
    return [sys.executable, "-m", "lab.energent", words[0], "--lab", str(lab.directory), *words[1:]]


@pytest.fixture(scope="module")
def witness(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a fill and of some seconds of writers."""
    path = tmp_path_factory.mktemp("witness") / "w.jsonl"
    subprocess.run(energent(lab, "fill", "--documents", "400", "--witness", str(path)), check=True)
    rates = ("--rate", "100", "--configmap-rate", "50")
    command = energent(lab, "write", "--out", str(path), *rates, "--until-signal")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writers:
        assert writers.stdout is not None
        try:
            assert writers.stdout.readline().startswith("READY ")
            before = path.read_bytes().count(b"\n")
            wait_for("more writes", lambda: path.read_bytes().count(b"\n") > before + 150, DEADLINE_S)
        finally:
            writers.send_signal(signal.SIGTERM)
        done = json.loads(writers.stdout.read())
    assert writers.returncode == 0
    assert done["errors"] == 0
    return path


def last_words(path: Path, source: str) -> dict[str, str]:
    """Path -> hash that the witness saw last of one source."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["source"] for line in lines} == SOURCES
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    return {line["path"]: line["sha256"] for line in lines if line["source"].startswith(source)}


@pytest.fixture
def store(lab: Lab) -> Iterator[Store]:
    made = Store(Target(lab.endpoints["firestore"], lab.project, lab.database, lab.key("operator"), lab.ca))
    yield made
    made.close()


def test_acknowledged_documents_are_what_the_database_holds(witness: Path, store: Store) -> None:
    stored = {path: fingerprint(fields) for path, fields in store.walk()}
    seen = last_words(witness, "appdata/")
    assert {path: stored.get(path, "") for path in seen} == seen
    assert len(seen) > 400


def test_acknowledged_configmaps_are_what_the_cluster_holds(witness: Path, kube: Callable[[str], Kube]) -> None:
    stored = {}
    for found in map(dict, kube("admin").items("/api/v1/configmaps")):
        path = f"{found['metadata']['namespace']}/ConfigMap/{found['metadata']['name']}"
        stored[path] = configmap_fingerprint(found)
    seen = last_words(witness, "cluster/")
    assert {path: stored.get(path, "") for path in seen} == seen
    assert f"{NAMESPACE}/ConfigMap/energent-platform-config" in seen


@pytest.mark.usefixtures("witness")
def test_the_platform_is_ready_only_while_it_may_read_its_database(lab: Lab, kube: Callable[[str], Kube]) -> None:
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{DEPLOYMENT}"

    def available() -> int:
        status = dict(kube("admin").get(path))["status"]
        return int(status.get("availableReplicas", 0))

    wait_for("readiness", lambda: available() == 1, DEADLINE_S)
    iam, project = Iam.open(lab.directory), f"projects/{lab.project}"
    iam.revoke("app", "datastore.entities.get", project)
    try:
        wait_for("its loss", lambda: available() == 0, DEADLINE_S)
    finally:
        iam.grant("app", ["datastore.entities.get"], project)
    wait_for("its return", lambda: available() == 1, DEADLINE_S)


def phase_of(manifest: Manifest) -> str:
    status = manifest["status"]
    assert isinstance(status, dict)
    return str(status["phase"])


@pytest.mark.usefixtures("witness")
def test_the_claims_are_bound_and_nothing_of_them_lies_outside_the_lab(kube: Callable[[str], Kube]) -> None:
    claims = kube("admin").items(f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims")
    assert {phase_of(claim) for claim in claims} == {"Bound"}
    assert not os.path.exists("/var/lib/energent")
