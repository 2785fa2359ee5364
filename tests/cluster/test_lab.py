"""The lab itself: what it leaves behind (nothing), what its identities may do, and that Velero really works on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import lifecycle, velero
from lab.children import kill_all
from lab.grants import APPDATA_VAULT, BUCKETS, CLUSTER_VAULT, CONTROL_BUCKET, VELERO_BUCKET
from lab.kube import Kube, KubeError, Manifest, wait_for
from lab.lifecycle import Wish
from lab.parts import ROOT
from lab.state import Lab, LabError, alive, processes

if TYPE_CHECKING:
    from google.cloud.storage import Client

pytestmark = pytest.mark.cluster

NO_FIRESTORE = ("firestore-emulator", "pubsub-emulator", "pubsub", "topics", "firestore", "database")
"""For labs whose life is the subject: the Java parts add nothing to it but seconds."""


def left_of(directory: Path) -> list[str]:
    """Command lines of processes that still name a lab's directory."""
    lines = (_command_line(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [line for line in lines if f"{directory}/" in line]


def _command_line(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def test_down_leaves_no_process_and_no_file_and_twice_is_fine(lab_directory: Path) -> None:
    started = lifecycle.up(Wish(lab_directory, skip=NO_FIRESTORE))
    assert len(processes(started.id)) >= 9
    assert lifecycle.down(lab_directory) == f"the lab in {lab_directory} is gone"
    assert processes(started.id) == ()
    assert left_of(lab_directory) == []
    assert list(lab_directory.parent.iterdir()) == []
    assert lifecycle.down(lab_directory) == f"no lab in {lab_directory}"


def test_a_killed_supervisor_takes_everything_with_it(lab_directory: Path) -> None:
    started = lifecycle.up(Wish(lab_directory, skip=NO_FIRESTORE))
    os.kill(started.pid, signal.SIGKILL)
    wait_for("the end of all parts", lambda: not processes(started.id) and not lab_directory.exists(), 20)
    assert left_of(lab_directory) == []


def test_what_a_lab_left_whose_guard_was_killed_too_is_cleared_by_the_next_one(lab_directory: Path) -> None:
    skip = (*NO_FIRESTORE, "node", "velero", "velero-crds", "velero-setup", "velero-location")
    started = lifecycle.up(Wish(lab_directory, skip=skip))
    assert kill_all(started.id) == ()
    with pytest.raises(LabError, match="is dead"):
        Lab.load(lab_directory)
    again = lifecycle.up(Wish(lab_directory, scope="data", skip=skip))
    assert again.id != started.id
    assert alive(again.pid, again.id)


def test_two_labs_stand_side_by_side(tmp_path: Path) -> None:
    directories = [tmp_path / "one", tmp_path / "two"]
    threads = [threading.Thread(target=lifecycle.up, args=(Wish(each, skip=NO_FIRESTORE),)) for each in directories]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        one, two = (Lab.load(each) for each in directories)
        assert not set(one.endpoints.values()) & set(two.endpoints.values())
        lifecycle.down(one.directory)
        assert Kube(two.kubeconfigs["admin"]).find("/api/v1/namespaces/velero")
    finally:
        for directory in directories:
            lifecycle.down(directory)


def test_a_data_lab_grows_into_a_full_one_and_keeps_what_it_has(lab_directory: Path) -> None:
    small = lifecycle.up(Wish(lab_directory, scope="data", skip=NO_FIRESTORE))
    assert small.kubeconfigs == {}
    grown = lifecycle.up(Wish(lab_directory, skip=NO_FIRESTORE))
    assert (grown.id, grown.pid, grown.scope) == (small.id, small.pid, "full")
    assert grown.endpoints["storage"] == small.endpoints["storage"]
    assert Kube(grown.kubeconfigs["admin"]).find("/api/v1/namespaces/velero")


def test_a_part_that_cannot_start_is_one_sentence_and_exit_code_1(lab_directory: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "lab",
        "up",
        "--dir",
        str(lab_directory),
        "--skip",
        ",".join((*NO_FIRESTORE, "storage")),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert "error: buckets: POST https://127.0.0.1:" in done.stderr
    assert "Traceback" not in done.stderr
    assert left_of(lab_directory) == []


def test_the_control_socket_kills_a_part_and_starts_it_where_it_was(lab_directory: Path) -> None:
    started = lifecycle.up(Wish(lab_directory, skip=NO_FIRESTORE))
    kube = Kube(started.kubeconfigs["admin"])
    started.ask({"op": "kill", "part": "apiserver", "signal": "KILL"})
    with pytest.raises(KubeError):
        kube.get("/version")
    started.ask({"op": "start", "part": "apiserver"})
    assert kube.find("/api/v1/namespaces/velero")


# --- the shared lab -------------------------------------------------------------------------------------------------


def test_all_parts_are_ready_and_described(lab: Lab) -> None:
    argv = [sys.executable, "-m", "lab", "status", "--dir", str(lab.directory), "-o", "json"]
    shown = json.loads(subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=True).stdout)
    assert {part["state"] for part in shown["parts"]} == {"ready"}
    assert shown["scope"] == lab.scope == "full"


def test_vaults_and_control_can_lock_single_objects(lab: Lab, storage: Callable[[str], Client]) -> None:
    listed = {bucket.name: bucket for bucket in storage("operator").list_buckets()}
    for spec in BUCKETS:
        bucket = listed[spec.name]
        assert bucket.versioning_enabled
        assert bucket.object_retention_mode == ("Enabled" if spec.object_retention else None)


WRITES, READS, DELETES = "storage.objects.create", "storage.objects.get", "storage.objects.delete"


@pytest.mark.parametrize(
    ("identity", "bucket", "expected"),
    [
        ("capture", CLUSTER_VAULT, {WRITES, READS}),
        ("capture", CONTROL_BUCKET, {WRITES, READS}),
        ("capture", VELERO_BUCKET, {READS}),
        ("restore", APPDATA_VAULT, {READS}),
        ("restore", VELERO_BUCKET, {WRITES, READS, DELETES}),
        ("prune", APPDATA_VAULT, {READS, DELETES}),
        ("app", APPDATA_VAULT, set()),
        ("app", CONTROL_BUCKET, set()),
        ("velero", CLUSTER_VAULT, set()),
    ],
)
def test_nobody_may_more_than_the_safety_rules_say(
    storage: Callable[[str], Client], identity: str, bucket: str, expected: set[str]
) -> None:
    granted = storage(identity).bucket(bucket).test_iam_permissions([WRITES, READS, DELETES])
    assert set(granted) == expected


@pytest.mark.parametrize(
    ("identity", "verb", "group", "resource", "allowed"),
    [
        ("capture", "create", "velero.io", "backups", True),
        ("capture", "delete", "velero.io", "backups", False),
        ("capture", "create", "velero.io", "restores", False),
        ("capture", "get", "", "secrets", False),
        ("restore", "create", "velero.io", "restores", True),
        ("restore", "create", "", "namespaces", True),
        ("restore", "create", "networking.k8s.io", "networkpolicies", True),
        # the configuration row brings roles back
        ("restore", "create", "rbac.authorization.k8s.io", "clusterroles", True),
        ("restore", "create", "", "nodes", False),
        ("capture", "create", "", "secrets", False),
        ("capture", "create", "rbac.authorization.k8s.io", "clusterroles", False),
        ("app", "get", "velero.io", "backups", False),
    ],
)
def test_kubernetes_identities(
    kube: Callable[[str], Kube], identity: str, verb: str, group: str, resource: str, allowed: bool
) -> None:
    attributes = {"namespace": "velero", "verb": verb, "group": group, "resource": resource}
    review: Manifest = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = kube(identity).request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    status = answer["status"]
    assert isinstance(status, dict)
    assert status["allowed"] is allowed


def _deployment(namespace: str) -> Manifest:
    labels = {"app": "web"}
    container = {"name": "web", "image": "busybox", "command": ["sh", "-c", "sleep 600"]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def _available(kube: Kube, namespace: str) -> bool:
    deployment = kube.find(f"/apis/apps/v1/namespaces/{namespace}/deployments/web") or {}
    status = deployment.get("status")
    return isinstance(status, dict) and status.get("availableReplicas") == 1


@contextmanager
def _deleted_after(kube: Kube, namespace: str) -> Iterator[None]:
    try:
        yield
    finally:
        kube.delete(f"/api/v1/namespaces/{namespace}")


def test_velero_backs_up_and_restores_into_another_namespace(
    lab: Lab, kube: Callable[[str], Kube], storage: Callable[[str], Client], namespace: str
) -> None:
    operator, restored = kube("operator"), f"{namespace}-restored"
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace}}
    operator.apply({**settings, "data": {"colour": "blue"}})
    operator.apply(_deployment(namespace))
    wait_for("the Deployment's pod", lambda: _available(operator, namespace), 30)
    made = velero.cli(lab, "backup", "create", namespace, "--include-namespaces", namespace, "--wait")
    assert "completed with status: Completed" in made.stdout, made.stdout + made.stderr
    blobs = {blob.name for blob in storage("capture").list_blobs(VELERO_BUCKET, prefix=f"backups/{namespace}/")}
    assert f"backups/{namespace}/{namespace}.tar.gz" in blobs
    with _deleted_after(operator, restored):
        mapping = ("--namespace-mappings", f"{namespace}:{restored}", "--from-backup", namespace, "--wait")
        back = velero.cli(lab, "restore", "create", f"{namespace}-r", *mapping)
        assert "completed with status: Completed" in back.stdout, back.stdout + back.stderr
        wait_for("the restored Deployment's pod", lambda: _available(operator, restored), 30)
        found = operator.get(f"/api/v1/namespaces/{restored}/configmaps/settings")
        assert found["data"] == {"colour": "blue"}
