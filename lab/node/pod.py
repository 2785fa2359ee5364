"""One pod on this node: volumes, init containers, containers, status, end."""

from __future__ import annotations

import asyncio
import os
import shutil
import traceback
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lab.node import volumes
from lab.node.api import STRATEGIC, Api, ApiError, Manifest, Unreachable, pods
from lab.node.confine import Confinement
from lab.node.container import RETRY_SECONDS, ContainerRunner, Sandbox
from lab.node.environment import ConfigError, container_env
from lab.node.images import ImageTable
from lab.node.status import ContainerState, pod_status, resume, stamp, waiting

REFRESH_SECONDS = 30.0
DEFAULT_GRACE = 30.0


@dataclass(frozen=True)
class Node:
    """What all pods of one agent share."""

    api: Api
    name: str
    directory: Path
    images: ImageTable
    backoff: float
    confinement: Confinement
    environment: Callable[[str], Mapping[str, str]] = lambda ip: {}
    """What every container of the pod at an address gets besides: how it finds its metadata server."""


class PodRunner:
    """Lives in the agent's event loop from the pod's assignment to its removal from the API."""

    def __init__(self, node: Node, pod: Manifest, ip: str) -> None:
        meta = pod["metadata"]
        self.pod, self.ip, self.uid, self._node = pod, ip, meta["uid"], node
        self._path = pods(meta["namespace"], meta["name"])
        self._policy = pod["spec"].get("restartPolicy", "Always")
        label = f"{meta['namespace']}_{meta['name']}_{self.uid}"
        self._directory, self._logs = node.directory / "pods" / label, node.directory / "logs" / label
        self._started = pod.get("status", {}).get("startTime") or stamp(datetime.now(UTC))
        self._changed, self._halt = asyncio.Event(), asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None
        self._places: Mapping[str, Path] = {}
        self._volumes = self._volume_set()
        self._init = self._runners("initContainers", "initContainerStatuses", retry=self._policy != "Never")
        self._main = self._runners("containers", "containerStatuses", retry=False)
        self._running = watched(self._run())
        self._aside = [watched(self._publish()), watched(self._refresh())]

    def observe(self, pod: Manifest) -> None:
        """The API's newer view of the pod."""
        self.pod = pod
        if pod["metadata"].get("deletionTimestamp") and self._stopping is None:
            grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
            self._stopping = watched(self._end(grace, report=True))

    def vanish(self) -> asyncio.Task[None]:
        """The pod is gone from the API: end what still runs at once."""
        if self._stopping is None:
            self._stopping = watched(self._end(0, report=False))
        return self._stopping

    @property
    def finished(self) -> bool:
        return self._stopping is not None and self._stopping.done()

    def _runners(self, kind: str, statuses: str, *, retry: bool) -> list[ContainerRunner]:
        before = {entry["name"]: entry for entry in self.pod.get("status", {}).get(statuses) or []}
        policy = ("OnFailure" if retry else "Never") if kind == "initContainers" else self._policy
        runners = []
        for spec in self.pod["spec"].get(kind, []):
            state = ContainerState(spec["name"], spec["image"])
            if kind == "initContainers":
                state.state = waiting("PodInitializing")
            resume(state, before.get(spec["name"], {}), policy, datetime.now(UTC))
            runners.append(ContainerRunner(spec, state, self._sandbox(), policy, self._node.backoff))
        return runners

    def _sandbox(self) -> Sandbox:
        return Sandbox(
            directory=self._directory,
            logs=self._logs,
            ip=self.ip,
            grace=float(self.pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE)),
            images=self._node.images,
            env=self._env,
            mounts=lambda spec: volumes.mounts(spec, self._places),
            changed=self._changed.set,
            confine=self.confine,
        )

    def confine(self) -> str:
        """Called in threads."""
        return self._node.confinement.hold(self.pod, self.ip)

    def _volume_set(self) -> volumes.VolumeSet:
        api, host = self._node.api, self._node.directory / "host"
        tokens = volumes.Tokens(api, self.pod)
        return volumes.VolumeSet(api, self.pod, self._directory / "volumes", host, self._lookup, tokens)

    def _lookup(self, kind: str, name: str) -> Manifest | None:
        plural = {"ConfigMap": "configmaps", "Secret": "secrets"}[kind]
        return self._node.api.find(f"/api/v1/namespaces/{self.pod['metadata']['namespace']}/{plural}/{name}")

    def _env(self, spec: Manifest) -> dict[str, str]:
        access, meta = self._node.api.access, self.pod["metadata"]
        base = {**self._node.images.env, "HOSTNAME": meta["name"], "HOME": "/tmp", "POD_IP": self.ip}
        base |= {"KUBERNETES_SERVICE_HOST": access.host, "KUBERNETES_SERVICE_PORT": str(access.port)}
        base |= self._node.environment(self.ip)
        return container_env(spec, self.pod, self._address(), self._lookup, base)

    def _address(self) -> Manifest:
        return {"podIP": self.ip, "hostIP": "127.0.0.1"}

    async def _run(self) -> None:
        self._changed.set()
        await self._mount()
        for runner in self._init:
            await runner.run()
            if runner.state.exit_code != 0:
                return
        await asyncio.gather(*(runner.run() for runner in self._main))

    async def _mount(self) -> None:
        while not self._halt.is_set():
            try:
                self._places = await asyncio.to_thread(self._volumes.materialise, self._address())
                return
            except (ConfigError, ApiError, Unreachable, OSError) as error:
                state = waiting("ContainerCreating", f"FailedMount: {error}")
                for runner in self._main:
                    if runner.state.state != state and not runner.state.done:
                        runner.state.state = state
                        self._changed.set()
            await asyncio.sleep(RETRY_SECONDS)

    async def _refresh(self) -> None:
        """Keeps mounted ConfigMaps and Secrets current, and tokens alive. A failure leaves what is there: next time again."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            if self._places:
                try:
                    await asyncio.to_thread(self._volumes.materialise, self._address())
                    await asyncio.to_thread(self.confine)
                except (ConfigError, ApiError, Unreachable, OSError) as error:
                    print(f"{self._path}: volumes and policies not refreshed: {error}", flush=True)

    async def _publish(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            while not await self._report():
                await asyncio.sleep(RETRY_SECONDS)

    async def _report(self) -> bool:
        """Patches the status; False when the server was not there to take it."""
        init, main = [runner.state for runner in self._init], [runner.state for runner in self._main]
        status = pod_status(self.pod, init, main, self.ip, datetime.now(UTC), self._started)
        body = {"metadata": {"uid": self.uid}, "status": status}
        try:
            await asyncio.to_thread(self._node.api.patch, f"{self._path}/status", body, STRATEGIC)
        except Unreachable:
            return False
        except ApiError as error:
            if error.status not in (404, 409):  # gone, or another pod of this name: nothing to report any more
                print(f"{self._path}: status refused: {error}", flush=True)
            return error.status < 500
        return True

    async def _end(self, grace: float, *, report: bool) -> None:
        self._halt.set()
        await asyncio.gather(*(runner.stop(grace) for runner in (*self._init, *self._main)))
        await asyncio.wait([self._running])
        for task in self._aside:
            task.cancel()
        while report and not await self._remove():
            await asyncio.sleep(RETRY_SECONDS)
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
        await asyncio.to_thread(self._node.confinement.release, self.uid)

    async def _remove(self) -> bool:
        if not await self._report():
            return False
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        try:
            await asyncio.to_thread(self._node.api.delete, self._path, body)
        except Unreachable:
            return False
        except ApiError as error:
            return error.status in (404, 409)
        return True


def watched(work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    """A task whose unforeseen end is written to the agent's log instead of being forgotten."""

    def report(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            traceback.print_exception(error)

    task = asyncio.create_task(work)
    task.add_done_callback(report)
    return task


def sweep(directory: Path, present: set[str]) -> None:
    """Removes what is left of pods that went away while no agent ran; the others keep their volumes across its restart."""
    for name in os.listdir(directory) if directory.is_dir() else []:
        if name.rpartition("_")[2] not in present:
            shutil.rmtree(directory / name, ignore_errors=True)
