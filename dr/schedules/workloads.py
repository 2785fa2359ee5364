"""The CronJobs and the service as Kubernetes writes them."""

from __future__ import annotations

from dr.errors import Exit
from dr.plan.permissions import CAPTURE
from dr.schedules.jobs import Job
from dr.schedules.pods import PORT, Cluster, Manifest, labels, pod_spec

REPLICAS = 2
BUSY = int(Exit.LOCKED)
"""Another process works on it: no failure, asked again later."""
HOPELESS = (int(Exit.USAGE), int(Exit.NOT_AUTHORISED))
"""A repetition mends neither settings nor rights."""
GRACE_S = 120
"""SIGTERM to SIGKILL: the running step is finished or parked, and what followers had taken is made durable."""


def cron_job(cluster: Cluster, job: Job) -> Manifest:
    """One CronJob; its Jobs never overlap, and a missed one is started late or left to the next."""
    marks = labels(job.name.split("-")[1])
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": job.name, "namespace": cluster.namespace, "labels": marks},
        "spec": {
            "schedule": job.schedule,
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "suspend": job.suspended,
            "startingDeadlineSeconds": int(job.late.total_seconds()),
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"metadata": {"labels": marks}, "spec": _job_spec(cluster, job, marks)},
        },
    }


def _when(action: str, *codes: int) -> Manifest:
    return {"action": action, "onExitCodes": {"containerName": "dr", "operator": "In", "values": list(codes)}}


def _job_spec(cluster: Cluster, job: Job, marks: dict[str, str]) -> Manifest:
    pod = pod_spec(cluster, job.identity, job.args, memory="1Gi")
    return {
        "backoffLimit": job.retries,
        "activeDeadlineSeconds": int(job.deadline.total_seconds()),
        "ttlSecondsAfterFinished": 86_400,
        "podFailurePolicy": {"rules": [_when("Ignore", BUSY), _when("FailJob", *HOPELESS)]},
        "template": {
            "metadata": {"labels": marks},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": GRACE_S, **pod},
        },
    }


def deployment(cluster: Cluster) -> Manifest:
    """`dr run`. The holder of the Lease works, the other replica waits for it."""
    marks = labels("service")
    pod = pod_spec(
        cluster,
        CAPTURE,
        ("run",),
        memory="512Mi",
        env=(
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "DR_SERVE_ADDRESS", "value": f"$(POD_IP):{PORT}"},
        ),
        ports=[{"name": "http", "containerPort": PORT}],
        startupProbe=_probe("/healthz", periodSeconds=2, failureThreshold=30),
        livenessProbe=_probe("/healthz", periodSeconds=10, timeoutSeconds=5, failureThreshold=6),
        readinessProbe=_probe("/readyz", periodSeconds=10, timeoutSeconds=5),
    )
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "dr", "namespace": cluster.namespace, "labels": marks},
        "spec": {
            "replicas": REPLICAS,
            "revisionHistoryLimit": 3,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": marks},
            "template": {
                "metadata": {"labels": marks},
                "spec": {"terminationGracePeriodSeconds": GRACE_S, "topologySpreadConstraints": _spread(marks), **pod},
            },
        },
    }


def _probe(path: str, **more: int) -> Manifest:
    return {"httpGet": {"path": path, "port": "http"}, **more}


def _spread(marks: dict[str, str]) -> list[Manifest]:
    """Over zones and nodes where there are several; one node must do for both in a small cluster."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": marks},
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


def beside_the_service(cluster: Cluster) -> tuple[Manifest, ...]:
    """One replica stays when nodes are drained; metrics and the status page have an address."""
    marks = labels("service")
    meta: Manifest = {"name": "dr", "namespace": cluster.namespace, "labels": marks}
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": marks}}
    ports = [{"name": "http", "port": PORT, "targetPort": "http"}]
    return (
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": budget},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": marks, "ports": ports}},
    )
