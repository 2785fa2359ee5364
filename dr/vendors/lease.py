"""A Lease of coordination.k8s.io/v1, as replicas compete for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dr.ports import LeaseRecord
from dr.vendors.kubernetes import Kubernetes
from dr.vendors.kubernetes_objects import KubeObject, Resource, instant, mapping, number, text

LEASES = Resource("coordination.k8s.io", "v1", "leases")
_DEFAULT_S = 15


@dataclass(frozen=True, slots=True)
class KubernetesLease:
    """`ports.LeaseStore` over one Lease object; `kube` should be impatient."""

    kube: Kubernetes
    namespace: str
    name: str

    def read(self) -> LeaseRecord | None:
        found = self.kube.get(LEASES, self.name, self.namespace)
        return None if found is None else _record(found)

    def write(self, lease: LeaseRecord) -> LeaseRecord:
        """Whoever wrote since `lease.version` was read wins: the API server compares."""
        spec = _spec(lease)
        if not lease.version:
            metadata: dict[str, object] = {"name": self.name, "namespace": self.namespace}
            body = {"apiVersion": LEASES.group_version, "kind": "Lease", "metadata": metadata, "spec": spec}
            return _record(self.kube.create(LEASES, body, self.namespace))
        body = {"metadata": {"resourceVersion": lease.version}, "spec": spec}
        return _record(self.kube.patch(LEASES, self.name, body, self.namespace))


def _spec(lease: LeaseRecord) -> KubeObject:
    moment = (lease.renewed or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "holderIdentity": lease.holder,
        # whole seconds, at least one: the API has no others
        "leaseDurationSeconds": max(1, round(lease.duration.total_seconds())),
        "renewTime": moment,
        "leaseTransitions": lease.transitions,
    }


def _record(found: KubeObject) -> LeaseRecord:
    spec = mapping(found, "spec")
    return LeaseRecord(
        holder=text(spec, "holderIdentity"),
        duration=timedelta(seconds=number(spec, "leaseDurationSeconds") or _DEFAULT_S),
        renewed=instant(spec, "renewTime"),
        transitions=number(spec, "leaseTransitions"),
        version=text(found, "metadata", "resourceVersion"),
    )
