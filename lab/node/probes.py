"""Readiness, liveness and startup probes: the only ground on which the lab calls a container ready."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.node.api import Manifest


@dataclass(frozen=True, slots=True)
class Target:
    """Where a container is reached: its address, its named ports, and the process inside its namespaces."""

    ip: str
    ports: Mapping[str, int]
    pid_file: Path
    env: Mapping[str, str]
    group: str = ""
    """The control group of the pod's processes, which a probe's command is one of."""

    def port(self, value: int | str) -> int:
        return self.ports[value] if isinstance(value, str) and not value.isdigit() else int(value)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Seconds and counts of a probe, with Kubernetes' defaults."""

    initial: float
    period: float
    timeout: float
    successes: int
    failures: int

    @classmethod
    def of(cls, probe: Manifest) -> Schedule:
        return cls(
            float(probe.get("initialDelaySeconds", 0)),
            float(probe.get("periodSeconds", 10)),
            float(probe.get("timeoutSeconds", 1)),
            int(probe.get("successThreshold", 1)),
            int(probe.get("failureThreshold", 3)),
        )


async def follow(probe: Manifest, target: Target, verdict: Callable[[bool], Awaitable[None]]) -> None:
    """Probes until cancelled; calls `verdict` each time enough answers in a row agree."""
    schedule, run = Schedule.of(probe), 0
    await asyncio.sleep(schedule.initial)
    while True:
        good = await attempt(probe, target, schedule.timeout)
        run = (max(run, 0) + 1) if good else (min(run, 0) - 1)
        if run >= schedule.successes or -run >= schedule.failures:
            await verdict(good)
        await asyncio.sleep(schedule.period)


async def attempt(probe: Manifest, target: Target, timeout: float) -> bool:
    """One probe; any refusal, error or lateness is a no."""
    try:
        return await asyncio.wait_for(_once(probe, target), timeout)
    except (OSError, ValueError, KeyError, EOFError, TimeoutError):
        return False


async def _once(probe: Manifest, target: Target) -> bool:
    if "exec" in probe:
        return await _exec(probe["exec"]["command"], target)
    if "tcpSocket" in probe:
        action = probe["tcpSocket"]
        _, writer = await asyncio.open_connection(action.get("host") or target.ip, target.port(action["port"]))
        writer.close()
        return True
    return await _http(probe["httpGet"], target)


async def _http(action: Manifest, target: Target) -> bool:
    host, port = action.get("host") or target.ip, target.port(action["port"])
    tls = ssl._create_unverified_context() if action.get("scheme", "HTTP").upper() == "HTTPS" else None
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        headers = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/lab", "Connection": "close"}
        headers |= {entry["name"]: entry["value"] for entry in action.get("httpHeaders", [])}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"GET {action.get('path', '/')} HTTP/1.1\r\n{lines}\r\n".encode())
        await writer.drain()
        status = (await reader.readuntil(b"\r\n")).split()[1]
        return 200 <= int(status) < 400
    except IndexError:
        return False
    finally:
        writer.close()


async def _exec(command: list[str], target: Target) -> bool:
    """Runs the command inside the container's namespaces and root, as its environment has it."""
    pid = target.pid_file.read_text()
    user = ["--user", "--preserve-credentials"] if os.geteuid() else []
    join = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', target.group] if target.group else []
    inside = [*join, "nsenter", "--target", pid, *user, "--mount", "--pid", "--root", "--wdns=/", "--", *command]
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*inside, stdout=quiet, stderr=quiet, stdin=quiet, env=target.env)
    try:
        return await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
