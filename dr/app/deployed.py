"""How `dr` fares in the cluster that it runs in: its Deployment, its CronJobs, the nodes under them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from dr.model.findings import Finding, good, warned
from dr.vendors.kubernetes import Listing
from dr.vendors.kubernetes_objects import (
    CRON_JOBS,
    DEPLOYMENTS,
    KubeObject,
    Resource,
    instant,
    mapping,
    name_of,
    number,
    sequence,
    text,
)

LABEL = "app.kubernetes.io/name=dr"
NODES = Resource("", "v1", "nodes", namespaced=False)
GROUP, TOPIC = "deployed", "deployed"


class Lists(Protocol):
    """What is needed of `dr.vendors.kubernetes.Kubernetes`."""

    def allowed(self, verb: str, resource: Resource, namespace: str = "") -> bool: ...

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> Listing: ...


def check_deployed(kube: Lists, namespace: str) -> Iterator[Finding]:
    """Nothing when `dr` is not deployed there, and for what this identity may not see."""
    found = {kind: _seen(kube, kind, namespace) for kind in (DEPLOYMENTS, CRON_JOBS)}
    for one in found[DEPLOYMENTS]:
        yield judge_deployment(one)
    for one in found[CRON_JOBS]:
        yield judge_cron_job(one)
    if any(found.values()):
        yield from judge_nodes(_seen(kube, NODES, ""))


def _seen(kube: Lists, resource: Resource, namespace: str) -> Sequence[KubeObject]:
    if not kube.allowed("list", resource, namespace):
        return ()
    return kube.list(resource, namespace, labels=LABEL if namespace else "").items


def judge_deployment(body: KubeObject) -> Finding:
    """Pure."""
    wanted, there = number(body, "spec", "replicas"), number(body, "status", "availableReplicas")
    return good(GROUP, f"deployment {name_of(body)}", there >= wanted, f"{there} of {wanted} replicas available", TOPIC)


def judge_cron_job(body: KubeObject) -> Finding:
    """Pure. A suspended one is a warning (somebody did it); one whose last run came to nothing has failed."""
    name = f"cronjob {name_of(body)}"
    if mapping(body, "spec").get("suspend") is True:
        return warned(GROUP, name, False, "is suspended", TOPIC)
    status = mapping(body, "status")
    last, done = instant(status, "lastScheduleTime"), instant(status, "lastSuccessfulTime")
    if last is None:
        return good(GROUP, name, True, "has not been due yet", TOPIC)
    if sequence(status, "active") or (done and done >= last):
        return good(GROUP, name, True, f"last due {text(status, 'lastScheduleTime')}", TOPIC)
    return good(GROUP, name, False, f"its run of {text(status, 'lastScheduleTime')} did not succeed", TOPIC)


def judge_nodes(nodes: Sequence[KubeObject]) -> Iterator[Finding]:
    """Pure."""
    if not nodes:
        return
    bad = [name_of(node) for node in nodes if not _ready(node)]
    words = f"not ready: {', '.join(bad)}" if bad else f"{len(nodes)} nodes are ready"
    yield warned(GROUP, "nodes", not bad, words, TOPIC)


def _ready(node: KubeObject) -> bool:
    found = {text(one, "type"): text(one, "status") for one in sequence(node, "status", "conditions")}
    return found.get("Ready") == "True"
