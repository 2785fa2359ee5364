"""The agent: registers its Node, keeps the heartbeat, and gives each pod that is bound to it a runner."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from lab.node.api import MERGE, STRATEGIC, Api, ApiError, Manifest, Unreachable
from lab.node.confine import POLICIES
from lab.node.environment import ConfigError
from lab.node.identity import PodIdentities, refused
from lab.node.metadata import Identity, MetadataServer
from lab.node.pod import Node, PodRunner, sweep
from lab.node.status import stamp

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
LEASE_SECONDS = 40
HEARTBEAT_SECONDS = 10.0
WATCH_RETRY_SECONDS = 0.5
CAPACITY = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "250"}


@dataclass(frozen=True, slots=True)
class Registration:
    """How the node presents itself."""

    name: str
    labels: dict[str, str]
    taints: tuple[Manifest, ...]

    def manifest(self) -> Manifest:
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        labels |= {"node.kubernetes.io/instance-type": "n2-standard-4", **self.labels}
        meta = {"name": self.name, "labels": labels}
        return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": {"taints": list(self.taints)}}

    def status(self, now: datetime) -> Manifest:
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "the lab's agent is serving"}
        condition = ready | {"lastHeartbeatTime": stamp(now), "lastTransitionTime": stamp(now)}
        addresses = [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": self.name}]
        info = {"kubeletVersion": "v1.35.0-lab", "operatingSystem": "linux", "architecture": "amd64"}
        info |= {"containerRuntimeVersion": "lab://1", "kubeProxyVersion": "", "kernelVersion": os.uname().release}
        info |= {"osImage": "lab", "bootID": "", "machineID": "", "systemUUID": ""}
        status = {"capacity": CAPACITY, "allocatable": CAPACITY, "addresses": addresses, "nodeInfo": info}
        return {"status": {**status, "conditions": [condition]}}


class Addresses:
    """Pod addresses out of 127.0.0.0/8, which every Linux host answers on.

    A hash of the agent's directory picks where its range starts, so that labs side by side rarely meet.
    """

    def __init__(self, seed: str) -> None:
        self._next = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:3], "big") % (200 << 16) + (16 << 16)
        self._used: set[str] = set()

    def take(self, wanted: str = "") -> str:
        """A free address; `wanted` when that is free, because a pod keeps its address when its agent restarts."""
        address = wanted if wanted.startswith("127.") and wanted not in self._used else self._fresh()
        self._used.add(address)
        return address

    def give_back(self, address: str) -> None:
        self._used.discard(address)

    def _fresh(self) -> str:
        while True:
            self._next += 1
            last = self._next & 0xFF
            address = f"127.{self._next >> 16 & 0xFF}.{self._next >> 8 & 0xFF}.{last}"
            if 0 < last < 255 and address not in self._used:
                return address


class Agent:
    """Runs in one event loop; the watch runs in a thread and only hands events over.

    With `identities` its pods have a metadata server, without them none.
    """

    def __init__(self, node: Node, registration: Registration, identities: PodIdentities | None = None) -> None:
        self._registration, self._identities = registration, identities
        self._metadata = MetadataServer(identities.project, self._who) if identities else None
        self._node = replace(node, environment=self._metadata.environment) if self._metadata else node
        self._runners: dict[str, PodRunner] = {}
        self._addresses = Addresses(str(node.directory.resolve()))
        self._swept = False

    async def run(self, ready: Callable[[], None], stop: asyncio.Event) -> None:
        """Serves until `stop` is set; then its containers end with it and the pods stay for the next agent."""
        if self._metadata:
            await self._metadata.start()
        await self._register()
        loop = asyncio.get_running_loop()
        for watch in (self._watch, self._watch_policies):
            threading.Thread(target=self._watch_or_stop, args=(watch, loop, stop), daemon=True).start()
        heartbeat = asyncio.create_task(self._heartbeat())
        ready()
        await stop.wait()
        heartbeat.cancel()

    def _who(self, ip: str) -> Identity:
        """Called in threads: the copy of the runners is made in one step."""
        pods = [runner.pod for runner in list(self._runners.values()) if runner.ip == ip]
        if not pods or self._identities is None:
            raise refused(f"no pod of this node has the address {ip}")
        return self._identities.of(pods[-1])

    async def _register(self) -> None:
        api, manifest = self._node.api, self._registration.manifest()
        path = f"/api/v1/nodes/{self._registration.name}"
        while True:
            try:
                await asyncio.to_thread(_create_or_patch, api, "/api/v1/nodes", path, manifest)
                await self._beat()
                return
            except (Unreachable, ApiError) as error:
                print(f"cannot register the node yet: {error}", flush=True)
            await asyncio.sleep(WATCH_RETRY_SECONDS)

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await self._beat()
            except (Unreachable, ApiError) as error:
                print(f"heartbeat refused: {error}", flush=True)

    async def _beat(self) -> None:
        api, name, now = self._node.api, self._registration.name, datetime.now(UTC)
        status = self._registration.status(now)
        await asyncio.to_thread(api.patch, f"/api/v1/nodes/{name}/status", status, STRATEGIC)
        renewed = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": renewed}
        lease: Manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
        await asyncio.to_thread(_create_or_patch, api, LEASES, f"{LEASES}/{name}", lease | {"spec": spec})

    def _watch_or_stop(
        self,
        watch: Callable[[asyncio.AbstractEventLoop], None],
        loop: asyncio.AbstractEventLoop,
        stop: asyncio.Event,
    ) -> None:
        """An agent that sees nothing any more must not look alive."""
        try:
            watch(loop)
        finally:
            loop.call_soon_threadsafe(stop.set)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        api, mine = self._node.api, f"spec.nodeName={self._node.name}"
        while True:
            try:
                found = api.get("/api/v1/pods", fieldSelector=mine)
                version = found["metadata"]["resourceVersion"]
                loop.call_soon_threadsafe(self._relist, found["items"])
                while True:
                    for kind, pod in api.watch("/api/v1/pods", version, fieldSelector=mine):
                        version = pod["metadata"]["resourceVersion"]
                        loop.call_soon_threadsafe(self._observe, kind, pod)
            except (ApiError, Unreachable) as error:
                print(f"watch starts over: {error}", flush=True)
            threading.Event().wait(WATCH_RETRY_SECONDS)

    def _watch_policies(self, _loop: asyncio.AbstractEventLoop) -> None:
        """A policy that comes, changes or goes counts for the pods that run already."""
        api = self._node.api
        while True:
            try:
                found = api.get(POLICIES)
                version = found["metadata"]["resourceVersion"]
                self._confine({policy["metadata"]["namespace"] for policy in found["items"]})
                while True:
                    for kind, policy in api.watch(POLICIES, version):
                        version = policy["metadata"]["resourceVersion"]
                        if kind != "BOOKMARK":
                            self._confine({policy["metadata"]["namespace"]})
            except (ApiError, Unreachable) as error:
                print(f"watch of the policies starts over: {error}", flush=True)
            threading.Event().wait(WATCH_RETRY_SECONDS)

    def _confine(self, namespaces: set[str]) -> None:
        for runner in list(self._runners.values()):
            if runner.pod["metadata"]["namespace"] in namespaces and not runner.finished:
                try:
                    runner.confine()
                except (ConfigError, ApiError, Unreachable) as error:
                    print(f"{runner.pod['metadata']['name']}: {error}", flush=True)

    def _relist(self, found: list[Manifest]) -> None:
        present = {pod["metadata"]["uid"] for pod in found}
        for uid in set(self._runners) - present:
            self._runners[uid].vanish()
        if not self._swept:
            sweep(self._node.directory / "pods", present)
            self._swept = True
        for pod in found:
            self._observe("MODIFIED", pod)

    def _observe(self, kind: str, pod: Manifest) -> None:
        if kind == "BOOKMARK":
            return
        self._forget_finished()
        uid = pod["metadata"]["uid"]
        if kind == "DELETED":
            if uid in self._runners:
                self._runners[uid].vanish()
            return
        if uid not in self._runners:
            ip = self._addresses.take(pod.get("status", {}).get("podIP", ""))
            self._runners[uid] = PodRunner(self._node, pod, ip)
        self._runners[uid].observe(pod)

    def _forget_finished(self) -> None:
        for uid in [uid for uid, runner in self._runners.items() if runner.finished]:
            self._addresses.give_back(self._runners.pop(uid).ip)


def _create_or_patch(api: Api, collection: str, path: str, manifest: Manifest) -> None:
    try:
        api.patch(path, manifest, MERGE)
    except ApiError as error:
        if error.status != 404:
            raise
        api.create(collection, manifest)


def directory_for(directory: Path) -> Path:
    """Absolute and there: containers see it under the same path."""
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()
