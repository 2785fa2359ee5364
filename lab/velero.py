"""Velero in the lab: its custom resources, its storage location, and the server as a process outside the cluster."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from lab.build import binary
from lab.grants import VELERO_BUCKET
from lab.kube import Kube, documents, wait_for
from lab.parts import Command, Site, answers
from lab.state import PROJECT, Lab, LabError

NAMESPACE = "velero"
LOCATION = "gcp"


def render_crds(site: Site) -> None:
    """Velero's own definitions, as `velero install` would apply them; kept in the lab's directory until applied."""
    argv = (str(binary("velero")), "install", "--crds-only", "--dry-run", "-o", "yaml")
    done = subprocess.run(
        argv, capture_output=True, env=site.environment({"HOME": str(site.data("velero"))}), check=False
    )
    if done.returncode:
        raise LabError(f"velero install --crds-only failed: {done.stderr.decode(errors='replace').strip()[-300:]}")
    (site.data("velero") / "crds.yaml").write_bytes(done.stdout)


def install(site: Site) -> None:
    """Definitions, namespace, storage location, and the Deployment without which every restore is PartiallyFailed."""
    kube = Kube(site.kubeconfig("admin"))
    definitions = list(documents((site.data("velero") / "crds.yaml").read_text()))
    kube.apply_all(definitions)
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    names = [_name(definition) for definition in definitions]
    wait_for("Kubernetes serving Velero's definitions", lambda: all(_established(kube, name) for name in names), 20)
    kube.apply(_deployment())
    wait_for("the storage location's creation", lambda: bool(kube.apply(_location())), 20)


def _name(manifest: Mapping[str, object]) -> str:
    metadata = manifest["metadata"]
    assert isinstance(metadata, Mapping)
    return str(metadata["name"])


def _established(kube: Kube, name: str) -> bool:
    status = kube.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}").get("status")
    conditions = status.get("conditions", []) if isinstance(status, Mapping) else []
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)


def _location() -> Mapping[str, object]:
    return {
        "apiVersion": "velero.io/v1",
        "kind": "BackupStorageLocation",
        "metadata": {"name": LOCATION, "namespace": NAMESPACE},
        "spec": {"provider": "velero.io/gcp", "default": True, "objectStorage": {"bucket": VELERO_BUCKET}},
    }


def _deployment() -> Mapping[str, object]:
    labels = {"component": "velero"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "velero", "image": "velero/velero"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "velero", "namespace": NAMESPACE},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod},
    }


def command(site: Site) -> Command:
    """`velero server`. It talks to the API server much more than the default 100 requests/s during a restore."""
    plugins = site.data("velero") / "plugins"
    plugins.mkdir(exist_ok=True)
    plugin = plugins / "velero-plugin-for-gcp"
    if not plugin.is_symlink():
        plugin.symlink_to(binary("velero-plugin-for-gcp"))
    argv = (
        str(binary("velero")),
        "server",
        f"--plugin-dir={plugins}",
        f"--kubeconfig={site.kubeconfig('velero')}",
        f"--namespace={NAMESPACE}",
        f"--default-backup-storage-location={LOCATION}",
        "--client-qps=500",
        "--client-burst=1000",
        "--max-concurrent-k8s-connections=50",
        f"--metrics-address={site.address('velero.metrics')}",
        f"--profiler-address={site.address('velero.profiler')}",
    )
    return Command(argv, environment(site))


def environment(site: Site) -> Mapping[str, str]:
    """What Velero's plugin needs to find the lab's storage server and to sign URLs."""
    return {
        "STORAGE_EMULATOR_HOST": site.address("storage.plain"),
        "GOOGLE_APPLICATION_CREDENTIALS": str(site.keys / "velero.json"),
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "HOME": str(site.data("velero")),
        "VELERO_NAMESPACE": NAMESPACE,
    }


def serving(site: Site) -> bool:
    return answers(f"http://{site.address('velero.metrics')}/metrics")


def await_location(site: Site) -> None:
    """Available means: Velero, its plugin and the storage server understand each other."""
    kube = Kube(site.kubeconfig("admin"))
    path = f"/apis/velero.io/v1/namespaces/{NAMESPACE}/backupstoragelocations/{LOCATION}"
    wait_for("Velero's storage location becoming Available", lambda: _phase(kube.get(path)) == "Available", 40)


def _phase(manifest: Mapping[str, object]) -> str:
    status = manifest.get("status")
    return str(status.get("phase", "")) if isinstance(status, Mapping) else ""


def cli(
    lab: Lab, *arguments: str, identity: str = "operator", timeout_s: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run the `velero` command against a lab; returns whatever its exit code is (`--wait` exits 0 on failed backups)."""
    argv = (str(binary("velero")), "--kubeconfig", str(lab.kubeconfigs[identity]), "--namespace", NAMESPACE, *arguments)
    environ = {**os.environ, "HOME": str(lab.directory / "data" / "velero")}
    return _run(argv, environ, timeout_s)


def _run(argv: Sequence[str], environ: Mapping[str, str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, env=dict(environ), timeout=timeout_s, check=False)
