"""What the node reports of a pod. Pure: the states of its containers in, the pod's status out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lab.node.api import Manifest


def stamp(now: datetime) -> str:
    """RFC 3339 in whole seconds, as Kubernetes writes times."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def waiting(reason: str, message: str = "") -> Manifest:
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def terminated(code: int, reason: str, started: str, finished: str, message: str = "") -> Manifest:
    body: Manifest = {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": finished}
    return {"terminated": body | ({"message": message} if message else {})}


@dataclass
class ContainerState:
    """One container's present; its runner changes it, everybody else reads it."""

    name: str
    image: str
    state: Manifest = field(default_factory=lambda: waiting("ContainerCreating"))
    last: Manifest = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    started: bool = False
    done: bool = False  # will not run again

    @property
    def exit_code(self) -> int | None:
        ended = self.state.get("terminated")
        return None if ended is None else int(ended["exitCode"])

    def report(self, container_id: str) -> Manifest:
        """The containerStatus."""
        body: Manifest = {"name": self.name, "image": self.image, "imageID": f"lab://{self.image}"}
        body |= {"state": self.state, "lastState": self.last, "ready": self.ready, "started": self.started}
        return body | {"restartCount": self.restarts, "containerID": f"lab://{container_id}"}


def restarts_after(policy: str, code: int) -> bool:
    """Whether a container that ended with `code` is started again."""
    return policy == "Always" or (policy == "OnFailure" and code != 0)


def phase(init: Sequence[ContainerState], main: Sequence[ContainerState]) -> str:
    """Pending, Running, Succeeded or Failed."""
    if any(state.done and state.exit_code for state in init):
        return "Failed"
    if not all(state.done for state in init):
        return "Pending"
    if all(state.done for state in main):
        return "Failed" if any(state.exit_code for state in main) else "Succeeded"
    begun = any("waiting" not in state.state or state.restarts or state.done for state in main)
    return "Running" if begun else "Pending"


def pod_status(
    pod: Manifest, init: Sequence[ContainerState], main: Sequence[ContainerState], ip: str, now: datetime, started: str
) -> Manifest:
    """The status to patch. Conditions keep the time of their last change from `pod`'s own status."""
    uid, name_of_phase = pod["metadata"]["uid"], phase(init, main)
    initialised = all(state.done and state.exit_code == 0 for state in init)
    ready = name_of_phase == "Running" and all(state.ready for state in main)
    reason = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(name_of_phase, "ContainersNotReady")
    old = {entry["type"]: entry for entry in pod.get("status", {}).get("conditions", [])}
    conditions = [
        _condition("Initialized", initialised, "ContainersNotInitialized", old, now),
        _condition("ContainersReady", ready, reason, old, now),
        _condition("Ready", ready, reason, old, now),
    ]
    status: Manifest = {"phase": name_of_phase, "hostIP": "127.0.0.1", "podIP": ip, "podIPs": [{"ip": ip}]}
    status |= {"startTime": started, "conditions": conditions}
    status["containerStatuses"] = [state.report(f"{uid}/{state.name}") for state in main]
    if init:
        status["initContainerStatuses"] = [state.report(f"{uid}/{state.name}") for state in init]
    return status


def _condition(kind: str, holds: bool, reason: str, old: dict[str, Manifest], now: datetime) -> Manifest:
    value, before = str(holds), old.get(kind, {})
    changed = before.get("lastTransitionTime") if before.get("status") == value else stamp(now)
    body: Manifest = {"type": kind, "status": value, "lastTransitionTime": changed or stamp(now)}
    # A strategic patch merges conditions by type, so a reason that no longer holds must be cleared by name.
    return body | {"reason": None if holds else reason}


def resume(state: ContainerState, before: Manifest, policy: str, now: datetime) -> None:
    """Takes over what an earlier agent reported: ended containers stay ended, running ones died with that agent."""
    state.restarts, state.last = int(before.get("restartCount", 0)), before.get("lastState") or {}
    found = before.get("state") or {}
    if running := found.get("running"):
        message = "the node agent ended, and its containers with it"
        found = terminated(137, "Error", running.get("startedAt", stamp(now)), stamp(now), message)
    if "terminated" not in found:
        return
    if restarts_after(policy, found["terminated"]["exitCode"]):
        state.last, state.restarts = found, state.restarts + 1
    else:
        state.state, state.done = found, True
