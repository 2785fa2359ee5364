"""One container: prepared, started, probed, restarted with back-off, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lab.node import probes
from lab.node.api import ApiError, Manifest, Unreachable
from lab.node.environment import ConfigError, expand
from lab.node.images import ROOT, ImageTable, UnknownImage
from lab.node.status import ContainerState, restarts_after, stamp, terminated, waiting
from lab.state import MARKER

LAUNCHER = Path(__file__).with_name("launch.py")
RETRY_SECONDS = 0.5  # while something that the container refers to is missing
BACKOFF_LIMIT = 300.0
_LAUNCHER_ENV = {"PATH": os.defpath} | {name: os.environ[name] for name in (MARKER,) if name in os.environ}
CALM_SECONDS = 600.0  # a container that ran this long starts over with the first back-off


@dataclass(frozen=True)
class Sandbox:
    """What a pod gives to each of its containers. `env`, `mounts` and `confine` may block on the API server."""

    directory: Path
    logs: Path
    ip: str
    grace: float
    images: ImageTable
    env: Callable[[Manifest], dict[str, str]]
    mounts: Callable[[Manifest], list[dict[str, str]]]
    changed: Callable[[], None]
    confine: Callable[[], str]
    """Puts the Pod's egress policies into force; the control group to enter, or an empty text. May block."""


class ContainerRunner:
    """Runs one container until it is done or stopped. Lives in the agent's event loop."""

    def __init__(self, spec: Manifest, state: ContainerState, sandbox: Sandbox, policy: str, backoff: float) -> None:
        self.spec, self.state, self._sandbox, self._policy = spec, state, sandbox, policy
        self._first_backoff = self._backoff = backoff
        self._process: asyncio.subprocess.Process | None = None
        self._halt, self._grace = asyncio.Event(), 0.0
        self._pid_file = sandbox.directory / f"{state.name}.pid"

    async def run(self) -> None:
        """Returns when the container will not run again; its state says how it ended."""
        while not self.state.done and not self._halt.is_set():
            started = asyncio.get_running_loop().time()
            code = await self._once()
            if code is None:
                return
            if self._halt.is_set() or not restarts_after(self._policy, code):
                self.state.done = True
                self._sandbox.changed()
                return
            await self._back_off(asyncio.get_running_loop().time() - started)

    async def stop(self, grace: float) -> None:
        """SIGTERM, then after `grace` seconds SIGKILL, and no new start; `run` returns when nothing of it runs."""
        self._grace = grace
        self._halt.set()
        await self._end_process(grace)

    async def _pause(self, seconds: float) -> None:
        """Sleeps, but not through a stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._halt.wait(), seconds)

    async def _end_process(self, grace: float) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        if grace > 0:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), grace)
                return
            except TimeoutError:
                pass
        if process.returncode is None:
            process.kill()
            await process.wait()

    async def _back_off(self, ran: float) -> None:
        state = self.state
        self._backoff = self._first_backoff if ran > CALM_SECONDS else self._backoff
        # A clean end of a container that always restarts, and the first failure, are followed at once by a new start.
        delay = 0.0 if state.restarts == 0 and not state.last else self._backoff
        ended = state.state
        if delay:
            state.state = waiting("CrashLoopBackOff", f"back-off {delay:.0f}s restarting failed container={state.name}")
            self._backoff = min(self._backoff * 2, BACKOFF_LIMIT)
        state.last, state.ready, state.started = ended, False, False
        self._sandbox.changed()
        await self._pause(delay)
        state.restarts += 1

    async def _once(self) -> int | None:
        """One life of the container: its exit code, or None when it was stopped before it began."""
        if (spec := await self._prepared()) is None:
            return None
        started = stamp(datetime.now(UTC))
        self._process = process = await self._spawn(spec)
        self._set({"running": {"startedAt": started}}, ready=False, started=False)
        if self._halt.is_set():  # the stop came while the process was being made
            await self._end_process(self._grace)
        probing = asyncio.create_task(self._probe(spec))
        try:
            code = await process.wait()
        finally:
            probing.cancel()
        code = code if code >= 0 else 128 - code
        reason = {0: "Completed", 128: "StartError"}.get(code, "Error")
        message = self._last_words() if code else ""
        self._set(terminated(code, reason, started, stamp(datetime.now(UTC)), message), ready=False, started=False)
        return code

    def _set(self, state: Manifest, *, ready: bool, started: bool) -> None:
        self.state.state, self.state.ready, self.state.started = state, ready, started
        self._sandbox.changed()

    async def _prepared(self) -> Manifest | None:
        """The launcher's order; waits, saying why, for what is not there yet."""
        while not self._halt.is_set():
            try:
                return await asyncio.to_thread(self._order)
            except (ConfigError, UnknownImage, ApiError, Unreachable, OSError) as error:
                reason = "ErrImagePull" if isinstance(error, UnknownImage) else "CreateContainerConfigError"
                if self.state.state != (state := waiting(reason, str(error))):
                    self._set(state, ready=False, started=False)
            await self._pause(RETRY_SECONDS)
        return None

    def _order(self) -> Manifest:
        spec, box = self.spec, self._sandbox
        env = box.env(spec)
        command, args = ([expand(word, env) for word in spec.get(name, [])] for name in ("command", "args"))
        argv = box.images.argv(spec["image"], command, args)
        root = box.directory / f"{spec['name']}.root"
        root.mkdir(parents=True, exist_ok=True)
        return {
            "argv": argv,
            "env": env,
            "cwd": spec.get("workingDir") or "/",
            "root": str(root),
            "volumes": box.mounts(spec),
            "group": box.confine(),
            "kept": sorted({str(ROOT), sys.prefix}),
            "parent": os.getpid(),
            "pid_file": str(self._pid_file),
            "read_only": (spec.get("securityContext") or {}).get("readOnlyRootFilesystem", False),
        }

    async def _spawn(self, spec: Manifest) -> asyncio.subprocess.Process:
        self._pid_file.unlink(missing_ok=True)
        order = self._sandbox.directory / f"{self.state.name}.json"
        order.touch(mode=0o600)  # it carries the environment, secrets included
        order.write_text(json.dumps(spec))
        with self._log().open("ab") as log:
            argv = [sys.executable, "-I", "-S", str(LAUNCHER), str(order)]
            return await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=_LAUNCHER_ENV
            )

    def _log(self) -> Path:
        self._sandbox.logs.mkdir(parents=True, exist_ok=True)
        return self._sandbox.logs / f"{self.state.name}-{self.state.restarts}.log"

    def _last_words(self) -> str:
        lines = self._log().read_bytes()[-1024:].decode(errors="replace").splitlines()
        return "\n".join(lines[-3:])

    async def _probe(self, order: Manifest) -> None:
        target = probes.Target(self._sandbox.ip, _ports(self.spec), self._pid_file, order["env"], order["group"])
        if startup := self.spec.get("startupProbe"):
            await self._started_up(startup, target)
        self._set(self.state.state, ready="readinessProbe" not in self.spec, started=True)
        async with asyncio.TaskGroup() as group:
            if readiness := self.spec.get("readinessProbe"):
                group.create_task(probes.follow(readiness, target, self._readiness))
            if liveness := self.spec.get("livenessProbe"):
                group.create_task(probes.follow(liveness, target, self._liveness))

    async def _started_up(self, probe: Manifest, target: probes.Target) -> None:
        up = asyncio.Event()

        async def verdict(good: bool) -> None:
            up.set() if good else await self._liveness(good)

        following = asyncio.create_task(probes.follow(probe, target, verdict))
        try:
            await up.wait()
        finally:
            following.cancel()

    async def _readiness(self, good: bool) -> None:
        if self.state.ready != good and "running" in self.state.state:
            self._set(self.state.state, ready=good, started=True)

    async def _liveness(self, good: bool) -> None:
        if not good:
            await self._end_process(self._sandbox.grace)


def _ports(spec: Manifest) -> Mapping[str, int]:
    return {entry["name"]: int(entry["containerPort"]) for entry in spec.get("ports", []) if "name" in entry}
