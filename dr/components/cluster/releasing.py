"""Cut-over and release: the application learns of its restored database, then runs, and says itself whether it works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dr.components.cluster.access import Cutover, KubeApi
from dr.components.cluster.fencing import NOTE
from dr.components.cluster.names import Names
from dr.errors import NOT_FOUND, TIMED_OUT, DrError
from dr.ports import Json, StepContext
from dr.vendors.kubernetes_objects import (
    CONFIG_MAPS,
    CRON_JOBS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    KubeObject,
    Resource,
    mapping,
    name_of,
    number,
    selects,
    sequence,
    text,
)

_PODS = Resource("", "v1", "pods")
_RESOURCES: Mapping[str, Resource] = {str(resource): resource for resource in (DEPLOYMENTS, STATEFUL_SETS, CRON_JOBS)}


@dataclass(frozen=True, slots=True)
class Releasing:
    """The last steps of one restore. `database`: the restored one's id, or empty when the plan restores none."""

    kube: KubeApi
    names: Names
    cutover: Cutover | None
    database: str
    healthy_s: float
    """How long the application may take until it is healthy, seconds."""

    # --- rewire

    def note(self, context: StepContext) -> Json:
        """Journals which database the copy names, before `rewire` writes over it: after a kill in between nobody else knows."""
        return {"was": self._named(*self._settings())} if self.cutover and self.database else {}

    def rewire(self, context: StepContext) -> Json:
        """Point the application at the restored database. Asks first: it may be done already."""
        if self.cutover is None or not self.database:
            return {"rewired": False}
        namespace, cutover = self._settings()
        if self._named(namespace, cutover) != self.database:
            self.kube.patch(CONFIG_MAPS, cutover.config_map, {"data": {cutover.key: self.database}}, namespace)
        return {"rewired": True, "namespace": namespace, "configMap": cutover.config_map, "key": cutover.key,
                "was": text(context.outcome("note"), "was"), "now": self.database}  # fmt: skip

    def _settings(self) -> tuple[str, Cutover]:
        """Where the copy's ConfigMap that names the database is."""
        assert self.cutover is not None
        return self._target(self.cutover), self.cutover

    def _named(self, namespace: str, cutover: Cutover) -> str:
        found = self.kube.get(CONFIG_MAPS, cutover.config_map, namespace)
        if found is None:
            raise DrError(
                NOT_FOUND, f"ConfigMap {namespace}/{cutover.config_map} that names the database was not restored"
            )
        return text(found, "data", cutover.key)

    def _target(self, cutover: Cutover) -> str:
        found = self.names.namespaces.get(cutover.namespace)
        if found is None:
            raise DrError(
                NOT_FOUND, f"namespace {cutover.namespace} of the cut-over is not in backup {self.names.backup}"
            )
        return found

    # --- release

    def release(self, context: StepContext) -> Json:
        """Scale up and wait for the application's own readiness; a contained copy gets one replica of it, nothing else."""
        workloads = sequence(context.outcome("stage"), "workloads")
        declared = self._declared(workloads)
        chosen = [declared] if self.names.isolated and declared else [] if self.names.isolated else workloads
        for workload in chosen:
            self._wake(workload)
        # what did not run when it was captured need not run now; the declared workload must
        waited = [one for one in chosen if one is declared or mapping(one).get("ran") is True]
        for workload in sorted(waited, key=lambda one: one is not declared):
            self._await(workload, context)
        return {"released": [_title(workload) for workload in chosen], "healthy": [_title(one) for one in waited]}

    def _declared(self, workloads: Sequence[object]) -> object:
        """The workload that the strategy declares, as the backup had it."""
        cutover = self.cutover
        if cutover is None:
            return None
        for workload in workloads:
            here = (text(workload, "namespace"), text(workload, "name")) == (cutover.namespace, cutover.workload)
            if here and text(workload, "resource") != str(CRON_JOBS):
                return workload
        raise DrError(
            NOT_FOUND, f"workload {cutover.namespace}/{cutover.workload} is not in backup {self.names.backup}"
        )

    def _replicas(self, workload: object) -> int:
        return 1 if self.names.isolated else number(workload, "replicas")

    def _wake(self, workload: object) -> None:
        resource = _RESOURCES[text(workload, "resource")]
        namespace = self.names.namespaces[text(workload, "namespace")]
        if resource is CRON_JOBS:
            spec: dict[str, object] = {"suspend": mapping(workload).get("suspended") is True}
        else:
            spec = {"replicas": self._replicas(workload)}
        # a backup that was taken behind a fence carries its note
        woken: dict[str, object] = {"metadata": {"annotations": {NOTE: None}}, "spec": spec}
        self.kube.patch(resource, text(workload, "name"), woken, namespace)

    def _await(self, workload: object, context: StepContext) -> None:
        resource, name = _RESOURCES[text(workload, "resource")], text(workload, "name")
        if resource is CRON_JOBS:
            return
        namespace = self.names.namespaces[text(workload, "namespace")]
        wanted = self._replicas(workload)
        seen: KubeObject = {}
        watched = self.kube.watch(
            resource, namespace, fields=f"metadata.name={name}", deadline_s=self.healthy_s, idle_s=5
        )
        for event in watched:
            seen = event.object if event else seen
            context.progress(number(seen, "status", "readyReplicas"), wanted, "replicas")
            if healthy(seen, min(1, wanted)):
                return
        why = unready(self.kube, seen, namespace)
        raise DrError(TIMED_OUT, f"{_title(workload)} is not healthy after {self.healthy_s:.0f} s: {why}")

    def health(self) -> tuple[bool, str]:
        """Whether the declared workload is healthy now, and in what words."""
        cutover = self.cutover
        if cutover is None:
            return True, "the strategy declares no workload"
        namespace = self._target(cutover)
        for resource in (DEPLOYMENTS, STATEFUL_SETS):
            found = self.kube.get(resource, cutover.workload, namespace)
            if found is not None:
                ready = number(found, "status", "readyReplicas")
                good = healthy(found, 1)
                said = f"{namespace}/{cutover.workload}: {ready} of {number(found, 'spec', 'replicas')} replicas ready"
                return good, said if good else f"{said}; {unready(self.kube, found, namespace)}"
        return False, f"workload {namespace}/{cutover.workload} does not exist"


def healthy(workload: KubeObject, least: int) -> bool:
    """All replicas of the newest generation are ready, by their own probes, and there are at least `least`: an autoscaler
    may have asked for more."""
    status, wanted = mapping(workload, "status"), number(workload, "spec", "replicas")
    current = number(status, "observedGeneration") >= number(workload, "metadata", "generation") > 0
    counted = [number(status, key) for key in ("updatedReplicas", "readyReplicas", "availableReplicas")]
    return current and wanted >= least and min(counted) >= wanted


def unready(kube: KubeApi, workload: KubeObject, namespace: str) -> str:
    """What the workload's Pods say of themselves, in one sentence."""
    labels = {key: str(value) for key, value in mapping(workload, "spec", "selector", "matchLabels").items()}
    pods = kube.list(_PODS, namespace, labels=selects(labels)).items if labels else []
    said = [f"{name_of(pod)}: {_complaint(pod)}" for pod in pods]
    conditions = sequence(workload, "status", "conditions")
    said += [text(one, "message") for one in conditions if text(one, "status") == "False" and text(one, "message")]
    return "; ".join(said[:5]) or "no Pod was created"


def _complaint(pod: KubeObject) -> str:
    for container in sequence(pod, "status", "containerStatuses"):
        for state in ("waiting", "terminated"):
            reason = text(container, "state", state, "reason")
            if reason:
                return f"{reason} {text(container, 'state', state, 'message')}".strip()
    bad = [one for one in sequence(pod, "status", "conditions") if text(one, "status") == "False"]
    messages = [text(one, "message") for one in bad if text(one, "message")]
    return messages[0] if messages else text(pod, "status", "phase") or "unknown"


def _title(workload: object) -> str:
    return f"{text(workload, 'resource')} {text(workload, 'namespace')}/{text(workload, 'name')}"
