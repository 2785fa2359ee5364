"""A cluster backup including verification and vault copy, against `velero backup create --wait` of the same 5,000 objects.

Goals: <= 1.05x from a running service, <= 1.5x from a cold command line. The two take turns, pair by pair.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import paired, report, run_once, spread
from benchmarks.stack import DataLab, data_lab
from dr.app.captures import capture, slots_now
from dr.app.core import App, open_app
from lab.build import binary
from lab.node.api import Api

OBJECTS = 5_000
RUNS = 5
NAMESPACE = "energent-ai"


def fill(lab: DataLab) -> None:
    """ConfigMaps of about a kilobyte, 5,000 of them."""
    from concurrent.futures import ThreadPoolExecutor

    api = Api.open(lab.state.kubeconfigs["admin"])
    api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})

    def put(number: int) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"bulk-{number:05d}", "namespace": NAMESPACE},
            "data": {"content": f"{number:05d}" * 200},
        }
        api.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps", body)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(OBJECTS)))


def by_velero(lab: DataLab, velero: Path) -> float:
    name = f"bench-{secrets.token_hex(4)}"
    argv = [
        str(velero),
        "backup",
        "create",
        name,
        "--wait",
        "--include-namespaces",
        NAMESPACE,
        "--storage-location",
        "gcp",
    ]
    return run_once([*argv, "--kubeconfig", str(lab.state.kubeconfigs["admin"]), "--namespace", "velero"])


def by_service(app: App) -> float:
    """As `dr run` does it: everything imported, connections open."""
    (slot,) = slots_now(app, ("cluster",), f"m{secrets.token_hex(4)}")
    began = time.perf_counter()
    result = capture(app, slot)
    took = time.perf_counter() - began
    if not result.ok:
        raise RuntimeError(f"the capture failed: {result.error}")
    return took


def by_command(lab: DataLab) -> float:
    return run_once([sys.executable, "-m", "dr", "backup", "cluster"], lab.environment())


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, data_lab(Path(folder) / "lab", "--pitr-window", "240") as lab:
        fill(lab)
        run_once([sys.executable, "-m", "dr", "init", "--repositories"], lab.environment())
        velero = binary("velero")
        environment = lab.environment()
        app = open_app(environment["DR_CONFIG"], environment["DR_STRATEGY"], "capture")
        by_velero(lab, velero), by_service(app), by_command(lab)
        rounds = [(by_velero(lab, velero), by_service(app), by_command(lab)) for _ in range(RUNS)]
    theirs, service, command = (list(column) for column in zip(*rounds, strict=True))
    report(
        "cluster_backup",
        {
            "objects": OBJECTS,
            "velero_s": spread(theirs),
            "service_s": spread(service),
            "command_s": spread(command),
            "service_ratio": paired(service, theirs),
            "service_goal": 1.05,
            "command_ratio": paired(command, theirs),
            "command_goal": 1.5,
        },
    )


if __name__ == "__main__":
    main()
