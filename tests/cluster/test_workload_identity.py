"""Pods get Google and Kubernetes credentials as on GKE: no key file anywhere, and no more rights than their identity's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from dr.app.keys import open_keys
from dr.changelog.seal import Sealer
from dr.settings import load_settings
from dr.vendors.google import GoogleAccess
from lab.grants import CLUSTER_VAULT
from lab.kms.names import CONFIG_KEYS
from lab.kube import Kube, wait_for
from lab.state import Lab
from lab.workloads import ANNOTATION, Workloads

if TYPE_CHECKING:
    from google.cloud.storage import Client

pytestmark = pytest.mark.cluster

Object = dict[str, Any]
DEADLINE_S = 60

GOOGLE = """
import json, os, sys
import google.auth, google.cloud.storage
from google.auth.transport.requests import AuthorizedSession
assert not any(name.startswith("GOOGLE_") for name in os.environ)
credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
session = AuthorizedSession(credentials)
session.verify = os.environ["CA"]
def status(method, path, **more):
    return session.request(method, os.environ["STORAGE"] + path, timeout=20, **more).status_code
put = {"params": {"uploadType": "media", "name": os.environ["POD"]}, "data": b"x"}
print(json.dumps({
    "project": project,
    "list vault": status("GET", "/storage/v1/b/energent-vault-cluster/o"),
    "write vault": status("POST", "/upload/storage/v1/b/energent-vault-cluster/o", **put),
    "delete": status("DELETE", "/storage/v1/b/energent-vault-cluster/o/" + os.environ["POD"]),
    "application's bucket": status("GET", "/storage/v1/b/energent-production-storage-lab/o"),
    "email": credentials.service_account_email,  # known once a token was fetched
}))
"""
BOTH = """
import json, os
from pathlib import Path
from dr.app.keys import open_keys
from dr.changelog.seal import Sealer
from dr.errors import DrError
from dr.settings import KeySettings
from dr.vendors.google import GoogleAccess
from dr.vendors.kubernetes import Kubernetes
from dr.vendors.kubernetes_objects import Resource
cluster, found = Kubernetes(), {}
for namespace in (os.environ["NAMESPACE"], "default"):
    try:
        listed = cluster.list(Resource("", "v1", "configmaps"), namespace).items
        found[namespace] = sorted(item["metadata"]["name"] for item in listed)
    except DrError as error:
        found[namespace] = error.kind.code
access = GoogleAccess(ca_file=Path(os.environ["CA"]), kms_endpoint=os.environ["KMS"])
reply = access.session().get(os.environ["STORAGE"] + "/storage/v1/b/energent-dr-control/o")
keys = open_keys(KeySettings(*os.environ["KEYS"].split()), access)
sealed = Sealer(keys).seal(b"password", b"Secret/a/b")
try:
    Sealer(keys).open(sealed, b"Secret/a/b")
except DrError as error:
    opens = error.kind.code
print(json.dumps({"kubernetes": found, "google": reply.status_code, "sealed": sealed, "opens": opens}))
"""
REFUSED = """
import google.auth
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
credentials, _ = google.auth.default()
try:
    credentials.refresh(Request())
    print("HAS A TOKEN")
except RefreshError as error:
    print(error)
"""


@pytest.fixture
def admin(kube: Callable[[str], Kube]) -> Kube:
    return kube("admin")


@pytest.fixture
def bound(lab: Lab, admin: Kube, namespace: str) -> Iterator[str]:
    """A ServiceAccount of this test that may act as capture; its name."""
    email = f"dr-capture@{lab.project}.iam.gserviceaccount.com"
    admin.apply(account(namespace, "worker", {ANNOTATION: email}))
    workloads = Workloads(lab.directory)
    workloads.bind("capture", f"{namespace}/worker")
    yield "worker"
    workloads.unbind("capture", f"{namespace}/worker")


def account(namespace: str, name: str, annotations: dict[str, str]) -> Object:
    meta = {"name": name, "namespace": namespace, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}


def outcome(lab: Lab, admin: Kube, namespace: str, name: str, script: str, service_account: str) -> str:
    """Run the script to its end in a pod; what it printed."""
    values = {"CA": str(lab.ca), "STORAGE": lab.endpoints["storage"], "KMS": lab.endpoints["kms"]}
    values |= {"NAMESPACE": namespace, "POD": namespace, "KEYS": " ".join(f"gcp-kms://{key}" for key in CONFIG_KEYS)}
    env = [{"name": key, "value": value} for key, value in values.items()]
    container = {"name": "main", "image": "python", "args": ["-c", script], "env": env}
    spec = {"containers": [container], "serviceAccountName": service_account, "restartPolicy": "Never"}
    meta = {"name": name, "namespace": namespace}
    admin.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    path = f"/api/v1/namespaces/{namespace}/pods/{name}"
    wait_for(f"the end of pod {name}", lambda: phase(admin, path) in ("Succeeded", "Failed"), DEADLINE_S)
    uid = admin.get(path)["metadata"]["uid"]
    log = lab.directory / "data" / "node" / "logs" / f"{namespace}_{name}_{uid}" / "main-0.log"
    text = log.read_text()
    assert phase(admin, path) == "Succeeded", text
    return text


def phase(admin: Kube, path: str) -> str:
    return str(admin.get(path)["status"].get("phase", ""))


def test_a_pod_has_its_identitys_rights_and_no_others(
    lab: Lab, admin: Kube, namespace: str, bound: str, storage: Callable[[str], Client]
) -> None:
    """Plain Application Default Credentials; the store judges. Capture never deletes (safety rule)."""
    found = json.loads(outcome(lab, admin, namespace, "google", GOOGLE, bound).splitlines()[-1])
    assert found == {
        "project": lab.project,
        "email": f"dr-capture@{lab.project}.iam.gserviceaccount.com",
        "list vault": 200,
        "write vault": 200,
        "delete": 403,
        "application's bucket": 403,
    }
    storage("operator").bucket(CLUSTER_VAULT).blob(namespace).delete()


def test_dr_in_a_pod_reaches_its_cluster_and_google_without_any_file(
    lab: Lab, admin: Kube, namespace: str, bound: str
) -> None:
    """In-cluster configuration: only what the pod's own Role allows. What it seals it cannot open."""
    api = "rbac.authorization.k8s.io"
    meta = {"name": "reader", "namespace": namespace}
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    reference = {"apiGroup": api, "kind": "Role", "name": "reader"}
    subjects = [{"kind": "ServiceAccount", "name": bound, "namespace": namespace}]
    admin.apply({"apiVersion": f"{api}/v1", "kind": "Role", "metadata": meta, "rules": rules})
    binding = {"roleRef": reference, "subjects": subjects}
    admin.apply({"apiVersion": f"{api}/v1", "kind": "RoleBinding", "metadata": meta, **binding})
    admin.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "seen", "namespace": namespace}})
    found = json.loads(outcome(lab, admin, namespace, "both", BOTH, bound).splitlines()[-1])
    assert "seen" in found["kubernetes"].pop(namespace)
    sealed = found.pop("sealed")
    assert found == {"kubernetes": {"default": "not-authorised"}, "google": 200, "opens": "not-authorised"}
    settings = load_settings(lab.settings, {})  # a lab's settings name the same keys; who restores opens
    access = GoogleAccess(lab.key("restore"), kms_endpoint=settings.endpoints.kms, ca_file=settings.ca_file)
    assert Sealer(open_keys(settings.keys, access)).open(sealed, b"Secret/a/b") == b"password"


def test_a_pod_without_annotation_or_binding_has_no_identity(lab: Lab, admin: Kube, namespace: str) -> None:
    email = f"dr-prune@{lab.project}.iam.gserviceaccount.com"
    admin.apply(account(namespace, "thief", {ANNOTATION: email}))
    said = outcome(lab, admin, namespace, "thief", REFUSED, "thief")
    assert "403" in said
    assert f"{namespace}/thief" in said
    assert ANNOTATION in outcome(lab, admin, namespace, "bare", REFUSED, "default")
