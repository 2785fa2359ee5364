"""`python -m lab deploy`: the manifests that are shipped, applied to the lab as a user would apply them.

Rendered by `dr schedules render` from the lab's own table and settings, with an overlay on top that only says where the lab is:
identities of its project, where its cloud and its API server answer, and when the upkeep fires. Nothing in it changes a Pod.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import yaml

from lab.build import binary
from lab.kube import Kube, wait_for
from lab.parts import ROOT
from lab.stage import GRANULARITY_S, lab_strategy
from lab.state import Lab, LabError

NAMESPACE = "dr-system"
CLOUD = "127.0.0.1/32"
"""What the NetworkPolicy marks with CHANGE: all that the lab has for Google's APIs, for the API server and for who is told."""
OVERLAYS = ("service", "cronjobs", "both")
GONE_S = 120


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to deploy."""

    overlay: str
    strategy: str
    upkeep: str = ""
    """When prune, verify, reap and drills fire, as cron says it; empty: as shipped."""
    settings: Path | None = None
    """Default: the lab's."""


def shortened(rpo: str, pack_every: str = "1m") -> str:
    """The lab's table with every RPO that is not 0 made `rpo`, so that each CronJob fires while somebody looks."""
    table = yaml.safe_load(lab_strategy(GRANULARITY_S))
    for row in table["objectives"]:
        if row["rpo"]:
            row["rpo"] = rpo
        for source in row.get("sources", ()):
            if source["kind"] in ("kubernetes", "pubsub"):
                source["options"]["packEvery"] = pack_every
    return yaml.safe_dump(table, sort_keys=False)


def apply(lab: Lab, wanted: Wanted) -> Path:
    """Render, lay the lab's overlay on top, apply; the directory that `kubectl -k` took. LabError says what refused."""
    directory = lab.directory / "deploy"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    (directory / "strategy.yaml").write_text(wanted.strategy)
    _render(lab, directory, wanted.settings or lab.settings)
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(_overlay(wanted), sort_keys=False))
    kubectl(lab, "apply", "--server-side", "--force-conflicts", "-k", str(directory))
    return directory


def remove(lab: Lab) -> None:
    """Everything that `apply` made is gone when this returns."""
    directory = lab.directory / "deploy"
    if directory.exists():
        kubectl(lab, "delete", "--ignore-not-found", "--wait=false", "-k", str(directory))
    admin = Kube(lab.kubeconfigs["admin"])
    admin.delete(f"/api/v1/namespaces/{NAMESPACE}")
    wait_for(f"the end of {NAMESPACE}", lambda: admin.find(f"/api/v1/namespaces/{NAMESPACE}") is None, GONE_S)
    shutil.rmtree(directory, ignore_errors=True)


def _render(lab: Lab, directory: Path, settings: Path) -> None:
    argv = [sys.executable, "-m", "dr", "--config", str(settings), "--strategy", str(directory / "strategy.yaml")]
    argv += ["schedules", "render", "--out", str(directory / "schedules"), "--project", lab.project]
    _run(argv, dict(os.environ))


def _overlay(wanted: Wanted) -> dict[str, object]:
    kustomization: dict[str, object] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"schedules/overlays/{wanted.overlay}"],
        "components": ["schedules/components/tainted-pool"],
    }
    reach = {"to": [{"ipBlock": {"cidr": CLOUD}}], "ports": [{"protocol": "TCP"}]}
    opened = [{"op": "add", "path": "/spec/egress/-", "value": reach}]
    patches: list[dict[str, object]] = [
        {"target": {"kind": "NetworkPolicy", "name": "dr"}, "patch": yaml.safe_dump(opened)}
    ]
    if wanted.upkeep:
        fires = [
            {"op": "replace", "path": "/spec/schedule", "value": wanted.upkeep},
            {"op": "replace", "path": "/spec/suspend", "value": False},
        ]
        upkeep = "dr-(prune|verify|reap|drill-.*)"
        target = {"kind": "CronJob", "name": upkeep}
        patches.append({"target": target, "patch": yaml.safe_dump(fires)})
    return {**kustomization, "patches": patches}


def kubectl(lab: Lab, *arguments: str, identity: str = "admin") -> str:
    """What kubectl printed. LabError with its last words when it fails."""
    argv = [str(binary("kubectl")), "--kubeconfig", str(lab.kubeconfigs[identity]), *arguments]
    return _run(argv, {**os.environ, "HOME": str(lab.directory)})


def _run(argv: Sequence[str], environ: dict[str, str]) -> str:
    done = subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise LabError(f"{Path(argv[0]).name} {argv[-1]} failed: {done.stderr.strip()[-600:]}")
    return done.stdout


@click.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), default=Path(".lab"))
@click.option("--overlay", type=click.Choice(OVERLAYS), default="service", show_default=True)
@click.option("--rpo", default="2m", show_default=True, help="Every RPO of the table that is not 0.")
@click.option("--upkeep", default="", help="When prune, verify, reap and drills fire (cron); default: as shipped.")
@click.option("--remove", "away", is_flag=True, help="Take away what was deployed.")
def deploy(directory: Path, overlay: str, rpo: str, upkeep: str, away: bool) -> None:
    """Run dr in the lab's cluster on the shipped manifests."""
    lab = Lab.load(directory.absolute())
    if away:
        remove(lab)
        click.echo(f"{NAMESPACE} is gone")
        return
    made = apply(lab, Wanted(overlay, shortened(rpo), upkeep))
    click.echo(f"{overlay} runs in {NAMESPACE}; applied from {made}")
