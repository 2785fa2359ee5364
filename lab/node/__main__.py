"""`python -m lab.node`: the node agent."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import signal
from pathlib import Path

import click

from lab.node.agent import Agent, Registration, directory_for
from lab.node.api import Api, Manifest
from lab.node.confine import Confinement
from lab.node.identity import PodIdentities
from lab.node.images import ROOT, ImageTable
from lab.node.pod import Node

WORKLOAD_TAINT: Manifest = {"key": "workload", "value": "energent-ai", "effect": "NoSchedule"}


@click.command()
@click.option("--kubeconfig", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--name", default="lab-node-1", show_default=True)
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="Pods, logs and host volumes.")
@click.option("--images", type=click.Path(path_type=Path, exists=True), default=ROOT / "lab" / "images.yaml")
@click.option("--label", "labels", multiple=True, help="KEY=VALUE, repeatable.")
@click.option("--taint", is_flag=True, help="Taint the node workload=energent-ai:NoSchedule.")
@click.option("--backoff", default=10.0, show_default=True, help="First CrashLoopBackOff delay in seconds.")
@click.option(
    "--iam", type=click.Path(path_type=Path, exists=True), help="Directory with iam.json: pods get Google identities."
)
def main(
    kubeconfig: Path,
    name: str,
    directory: Path,
    images: Path,
    labels: tuple[str, ...],
    taint: bool,
    backoff: float,
    iam: Path | None,
) -> None:
    """Register a node and run its pods as local processes; prints READY once registered."""
    directory = directory_for(directory)
    api = Api.open(kubeconfig, connections=32)
    node = Node(api, name, directory, ImageTable.load(images), backoff, Confinement(api, directory))
    pairs = dict(label.split("=", 1) for label in labels)
    registration = Registration(name, pairs, (WORKLOAD_TAINT,) if taint else ())
    identities = PodIdentities.open(node.api, iam) if iam else None
    asyncio.run(_serve(Agent(node, registration, identities)))


async def _serve(agent: Agent) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(24))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await agent.run(lambda: print("READY " + json.dumps({"port": 0}), flush=True), stop)
    # Leaving ends the containers: the kernel kills each launcher with us. Pending API calls are not waited for.
    import os

    os._exit(0)


if __name__ == "__main__":
    main()
