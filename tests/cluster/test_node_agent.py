"""The node agent under the real control plane: what a pod says of itself is what its process did."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.energent.values import configmap_fingerprint
from lab.kube import Kube, wait_for
from lab.state import Lab
from tests.lab.command import ROOT

pytestmark = pytest.mark.cluster

Object = dict[str, Any]
DEADLINE_S = 30
TOKEN_CHECK = """
import os, ssl, urllib.request
home = "/var/run/secrets/kubernetes.io/serviceaccount/"
url = "https://%s:%s/api" % (os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"])
request = urllib.request.Request(url, headers={"Authorization": "Bearer " + open(home + "token").read()})
assert urllib.request.urlopen(request, context=ssl.create_default_context(cafile=home + "ca.crt")).status == 200
assert open(home + "namespace").read() == os.environ["NAMESPACE"]
"""


@pytest.fixture
def admin(kube: Callable[[str], Kube]) -> Kube:
    return kube("admin")


def pod(namespace: str, name: str, *containers: Object, **spec: object) -> Object:
    meta = {"name": name, "namespace": namespace}
    body = {"containers": list(containers), "terminationGracePeriodSeconds": 1, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": body}


def shell(script: str, name: str = "main", **more: object) -> Object:
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **more}


def start(admin: Kube, manifest: Object) -> Callable[[], Object]:
    """Creates the pod once its namespace can have one; returns how to look at it."""
    path = f"/api/v1/namespaces/{manifest['metadata']['namespace']}/pods/{manifest['metadata']['name']}"
    wait_for("the pod's creation", lambda: bool(admin.apply(manifest)), DEADLINE_S)
    return lambda: dict(admin.get(path))


def status(found: Object, index: int = 0) -> Object:
    statuses = found["status"].get("containerStatuses") or [{"state": {}, "restartCount": 0, "ready": False}]
    result: Object = statuses[index]
    return result


def is_ready(found: Object) -> bool:
    conditions = {entry["type"]: entry["status"] for entry in found["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


def log(lab: Lab, found: Object, container: str = "main", restart: int = 0) -> str:
    meta = found["metadata"]
    directory = lab.directory / "data" / "node" / "logs" / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
    path = directory / f"{container}-{restart}.log"
    return path.read_text() if path.exists() else ""  # a restart is reported before the new container writes


def test_a_job_sees_its_configuration_secrets_token_and_volumes(lab: Lab, admin: Kube, namespace: str) -> None:
    admin.apply(_named("ConfigMap", namespace, "conf", data={"file.txt": "hello", "other": "x"}))
    admin.apply(_named("Secret", namespace, "sec", stringData={"pw": "s3cret"}))
    checks = [
        '[ "$(cat /etc/conf/file.txt)" = hello ]',
        "[ ! -e /etc/conf/other ]",
        '[ "$(cat /etc/all/pw)-$(cat /etc/all/label)" = s3cret-job ]',
        '[ "$OTHER-$pw-$MY_IP" = "x-s3cret-$POD_IP" ]',
        '[ "$(cat /work-dir/from-init)" = "1 2" ]',
        "! touch /etc/conf/new 2>/dev/null",
        'python3 -c "$TOKEN_CHECK"',
        "[ $$$$ = 1 ]",
    ]
    volumes = [
        {"name": "conf", "configMap": {"name": "conf", "items": [{"key": "file.txt", "path": "file.txt"}]}},
        {"name": "work", "emptyDir": {}},
        {"name": "all", "projected": {"sources": [{"secret": {"name": "sec"}}, _own_label("label")]}},
    ]
    work = {"name": "work", "mountPath": "/work-dir"}
    init = [
        shell("sleep 0.2; printf 1 > /work-dir/from-init", "one", volumeMounts=[work]),
        shell("printf ' 2' >> /work-dir/from-init", "two", volumeMounts=[work]),
    ]
    env = [
        {"name": "OTHER", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "other"}}},
        {"name": "MY_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "TOKEN_CHECK", "value": TOKEN_CHECK},
    ]
    mounts = [
        work,
        {"name": "conf", "mountPath": "/etc/conf", "readOnly": True},
        {"name": "all", "mountPath": "/etc/all"},
    ]
    main = shell(
        "set -ex; " + "; ".join(checks), env=env, envFrom=[{"secretRef": {"name": "sec"}}], volumeMounts=mounts
    )
    spec = {"restartPolicy": "Never", "initContainers": init, "containers": [main], "volumes": volumes}
    labels = {"metadata": {"labels": {"of": "job"}}, "spec": spec}
    job = _named("Job", namespace, "job", spec={"backoffLimit": 0, "template": labels})
    admin.apply(job | {"apiVersion": "batch/v1"})
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/job"
    wait_for("the job's end", lambda: _over(_status(admin, path)), DEADLINE_S)
    found = admin.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector=of%3Djob")[0]
    assert _status(admin, path).get("succeeded") == 1, log(lab, dict(found))


def _named(kind: str, namespace: str, name: str, **body: object) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, **body}


def _own_label(path: str) -> Object:
    return {"downwardAPI": {"items": [{"path": path, "fieldRef": {"fieldPath": "metadata.labels['of']"}}]}}


def _over(found: Object) -> bool:
    return any(entry["type"] in ("Complete", "Failed") for entry in found.get("conditions", []))


def _status(admin: Kube, path: str) -> Object:
    found: Object = dict(admin.get(path))["status"]
    return found


class Switch:
    """An HTTP server that answers as it is told."""

    def __init__(self) -> None:
        switch = self
        self.answer = 503

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(switch.answer)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def probe(self) -> Object:
        action = {"host": "127.0.0.1", "port": self.server.server_address[1], "path": "/"}
        return {"httpGet": action, "periodSeconds": 1, "failureThreshold": 1}


@pytest.fixture
def switch() -> Iterator[Switch]:
    made = Switch()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_ready_follows_the_pods_own_probe_both_ways(admin: Kube, namespace: str, switch: Switch) -> None:
    look = start(admin, pod(namespace, "p", shell("sleep 1000", readinessProbe=switch.probe)))
    wait_for("the container's start", lambda: "running" in status(look())["state"], DEADLINE_S)
    assert not is_ready(look())
    switch.answer = 200
    wait_for("readiness", lambda: is_ready(look()), DEADLINE_S)
    switch.answer = 503
    wait_for("its loss", lambda: not is_ready(look()), DEADLINE_S)
    assert status(look())["restartCount"] == 0


def test_a_failing_liveness_probe_restarts_the_container(admin: Kube, namespace: str) -> None:
    probe = {"exec": {"command": ["sh", "-c", "[ -e /nowhere ]"]}, "periodSeconds": 1}
    look = start(admin, pod(namespace, "p", shell("sleep 1000", livenessProbe=probe | {"failureThreshold": 1})))
    wait_for("a restart", lambda: status(look())["restartCount"] >= 1, DEADLINE_S)


def test_an_exec_probe_runs_inside_the_container(admin: Kube, namespace: str) -> None:
    mounts = [{"name": "v", "mountPath": "/only/here"}]
    probe = {"exec": {"command": ["cat", "/only/here/flag"]}, "periodSeconds": 1}
    container = shell("sleep 0.3; touch /only/here/flag; sleep 1000", volumeMounts=mounts, readinessProbe=probe)
    look = start(admin, pod(namespace, "p", container, volumes=[{"name": "v", "emptyDir": {}}]))
    wait_for("readiness", lambda: is_ready(look()), DEADLINE_S)


def test_a_crash_loop_says_so_with_its_exit_code_and_last_words(lab: Lab, admin: Kube, namespace: str) -> None:
    look = start(admin, pod(namespace, "p", shell("echo out of cheese; exit 3")))
    wait_for(
        "the back-off", lambda: _waits(look(), "CrashLoopBackOff") and status(look())["restartCount"] >= 1, DEADLINE_S
    )
    last = status(look())["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"], last["message"]) == (3, "Error", "out of cheese")
    assert log(lab, look(), restart=1) == "out of cheese\n"


def _waits(found: Object, reason: str) -> bool:
    return status(found)["state"].get("waiting", {}).get("reason") == reason


def test_what_cannot_start_waits_and_says_why(admin: Kube, namespace: str) -> None:
    unknown = start(admin, pod(namespace, "unknown", {"name": "main", "image": "nginx:1"}))
    missing = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "late", "key": "k"}}}
    late = start(admin, pod(namespace, "late", shell("sleep 1000", env=[missing])))
    wait_for("the image's refusal", lambda: _waits(unknown(), "ErrImagePull"), DEADLINE_S)
    wait_for("the missing secret", lambda: _waits(late(), "CreateContainerConfigError"), DEADLINE_S)
    assert 'secret "late" not found' in status(late())["state"]["waiting"]["message"]
    admin.apply(_named("Secret", namespace, "late", stringData={"k": "v"}))
    wait_for("its start", lambda: is_ready(late()), DEADLINE_S)


def test_a_claim_is_a_directory_of_the_node_and_outlives_the_pod(lab: Lab, admin: Kube, namespace: str) -> None:
    spec: Object = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "manual"}
    claim = {"namespace": namespace, "name": "data", "apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    spec |= {"hostPath": {"path": f"/var/lib/test/{namespace}"}, "claimRef": claim}
    admin.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace}, "spec": spec})
    wanted = {"accessModes": ["ReadWriteOnce"], "storageClassName": "manual", "volumeName": namespace}
    body = wanted | {"resources": {"requests": {"storage": "1Gi"}}}
    admin.apply(_named("PersistentVolumeClaim", namespace, "data", spec=body))
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    mounts = [{"name": "d", "mountPath": "/data"}]
    container = shell("echo kept > /data/file", volumeMounts=mounts)
    look = start(admin, pod(namespace, "p", container, volumes=volumes, restartPolicy="Never"))
    wait_for("the pod's success", lambda: look()["status"].get("phase") == "Succeeded", DEADLINE_S)
    remove(admin, namespace, "p")
    kept = lab.directory / "data" / "node" / "host" / "var" / "lib" / "test" / namespace / "file"
    assert kept.read_text() == "kept\n"
    assert not Path(f"/var/lib/test/{namespace}").exists()
    admin.delete(f"/api/v1/persistentvolumes/{namespace}")


def remove(admin: Kube, namespace: str, name: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods/{name}"
    admin.delete(path)
    wait_for("the pod's removal", lambda: admin.find(path) is None, DEADLINE_S)


def test_a_read_only_root_leaves_nothing_to_write_but_the_volumes(lab: Lab, admin: Kube, namespace: str) -> None:
    script = "set -ex; touch /tmp/a /dev/shm/a; ! touch /a; ! touch /etc/a; ! touch /var/tmp/a; echo x > /dev/null; ls /proc/self"
    mount, limits = {"name": "tmp", "mountPath": "/tmp"}, {"readOnlyRootFilesystem": True}
    container = shell(script, volumeMounts=[mount], securityContext=limits)
    volumes = [{"name": "tmp", "emptyDir": {}}]
    see = start(admin, pod(namespace, "sealed", container, restartPolicy="Never", volumes=volumes))
    wait_for("its end", lambda: "terminated" in status(see())["state"], DEADLINE_S)
    assert status(see())["state"]["terminated"]["exitCode"] == 0, log(lab, see())


def test_a_volume_over_the_clone_leaves_the_images_their_commands(lab: Lab, admin: Kube, namespace: str) -> None:
    """A clone may lie below the folder that Pods mount over: the temporary one, say."""
    above = {"name": "above", "mountPath": str(ROOT.parent)}
    container = shell(f"touch {ROOT.parent}/mine && python -m lab --help && ! touch {ROOT}/mine", volumeMounts=[above])
    volumes = [{"name": "above", "emptyDir": {}}]
    see = start(admin, pod(namespace, "covered", container, restartPolicy="Never", volumes=volumes))
    wait_for("its end", lambda: "terminated" in status(see())["state"], DEADLINE_S)
    assert status(see())["state"]["terminated"]["exitCode"] == 0, log(lab, see())
    assert not (ROOT.parent / "mine").exists()


def test_deletion_ends_every_process_even_those_that_will_not_listen(admin: Kube, namespace: str) -> None:
    marker = f"sleep-{namespace}"
    script = f"trap '' TERM; (exec -a {marker} sleep 1000) & while :; do sleep 0.1; done"
    container = shell(script) | {"command": ["bash", "-c", script]}
    start(admin, pod(namespace, "p", container))
    wait_for("the grandchild", lambda: _running(marker), DEADLINE_S)
    remove(admin, namespace, "p")
    assert not _running(marker)


def _running(marker: str) -> bool:
    return any(_first_word(entry) == marker for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _first_word(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
    except OSError:
        return ""


def test_a_killed_agent_takes_its_containers_along_and_its_successor_starts_them_again(
    lab: Lab, admin: Kube, namespace: str
) -> None:
    marker = f"sleep-{namespace}"
    keep = [{"name": "v", "mountPath": "/keep"}]
    script = f"test -e /keep/x && echo was here; touch /keep/x; exec -a {marker} sleep 1000"
    container = shell("", volumeMounts=keep) | {"command": ["bash", "-c", script]}
    look = start(admin, pod(namespace, "p", container, volumes=[{"name": "v", "emptyDir": {}}]))
    done = start(admin, pod(namespace, "done", shell("exit 0"), restartPolicy="Never"))
    wait_for("both pods", lambda: is_ready(look()) and done()["status"].get("phase") == "Succeeded", DEADLINE_S)
    address = look()["status"]["podIP"]
    lab.ask({"op": "kill", "part": "node", "signal": "KILL"})
    wait_for("the container's end", lambda: not _running(marker), DEADLINE_S)
    lab.ask({"op": "start", "part": "node"})
    wait_for("the container's return", lambda: is_ready(look()) and status(look())["restartCount"] == 1, DEADLINE_S)
    assert look()["status"]["podIP"] == address
    assert status(look())["lastState"]["terminated"]["exitCode"] == 137
    wait_for("its volume's", lambda: "was here" in log(lab, look(), restart=1), DEADLINE_S)
    assert (done()["status"]["phase"], status(done())["restartCount"]) == ("Succeeded", 0)


def test_the_hash_of_a_configmap_is_that_of_what_the_cluster_holds(admin: Kube, namespace: str) -> None:
    written = _named("ConfigMap", namespace, "c", data={"a": "ü", "b": "2"}, binaryData={"x": "AAE="})
    admin.apply(written)
    stored = dict(admin.get(f"/api/v1/namespaces/{namespace}/configmaps/c"))
    assert configmap_fingerprint(stored) == configmap_fingerprint(written)
    assert json.dumps(stored["data"], sort_keys=True) == json.dumps(written["data"], sort_keys=True)
