"""A Pod inside the contained namespace that tries to get out, before anything is restored into it.

NetworkPolicies are only words where nothing enforces them, and no API tells. The probe dials what every Pod of an open
cluster reaches: the API server, or the addresses that the strategy names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dr.components.cluster.access import KubeApi
from dr.components.cluster.containing import ensure
from dr.components.cluster.names import Names
from dr.errors import NOT_CONTAINED, RESTORE_FAILED, TIMED_OUT, DrError
from dr.ports import Json, StepContext
from dr.vendors.kubernetes_objects import PODS, SERVICE_ACCOUNTS, KubeObject, mapping, sequence, text, uid_of

NAME = "dr-egress-probe"
_DEADLINE_S = 300.0
"""A node may have to be made for it first, and its image pulled."""
_ACCOUNT_S, _AGAIN_S = 60.0, 0.5
_REACHED = 3
SCRIPT = """
import os, socket, sys
def reached(place):
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 3).close()
        return True
    except OSError:
        return False
own = os.environ.get("KUBERNETES_SERVICE_HOST", "") + ":" + os.environ.get("KUBERNETES_SERVICE_PORT", "")
found = [place for place in sys.argv[1:] or [own] if reached(place)]
print("reached " + ", ".join(found) if found else "nothing was reached")
sys.exit(3 if found else 0)
"""
_LOCKED_DOWN: Mapping[str, object] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True, slots=True)
class Probing:
    """`image` holds a Python; `endpoints` are `host:port`, none: the API server."""

    kube: KubeApi
    names: Names
    image: str
    endpoints: Sequence[str]

    def run(self, context: StepContext) -> Json:
        """Raises DrError NOT_CONTAINED naming what was reached; RESTORE_FAILED, TIMED_OUT when the probe could not run."""
        namespace = next(iter(self.names.namespaces.values()))
        self._await_account(namespace, context)
        labels = self.names.expiring(context.clock.now())
        made = ensure(self.kube, PODS, self._pod(labels), self.names.labels, namespace)
        ended = self._ended(namespace, uid_of(made), context)
        self.kube.delete(PODS, NAME, namespace, uid=uid_of(made))
        said = _said(ended)
        if text(ended, "status", "phase") == "Succeeded":
            return {"namespace": namespace, "tried": list(self.endpoints) or ["the API server"]}
        if _code(ended) == _REACHED:
            raise DrError(NOT_CONTAINED, f"a Pod in {namespace} {said}, though default-deny egress stands there")
        raise DrError(RESTORE_FAILED, f"the egress probe in {namespace} did not run: {said or 'no reason was given'}")

    def _await_account(self, namespace: str, context: StepContext) -> None:
        """A namespace gets its account from a controller, and no Pod before."""
        began = context.clock.stamp()
        while self.kube.get(SERVICE_ACCOUNTS, "default", namespace) is None:
            if context.clock.stamp().seconds_since(began) > _ACCOUNT_S:
                raise DrError(
                    TIMED_OUT, f"namespace {namespace} has no default ServiceAccount after {_ACCOUNT_S:.0f} s"
                )
            context.clock.sleep(_AGAIN_S)

    def _pod(self, labels: Mapping[str, str]) -> KubeObject:
        container = {
            "name": "probe",
            "image": self.image,
            "command": ["python", "-c", SCRIPT],
            "args": list(self.endpoints),
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": dict(_LOCKED_DOWN),
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}},
        }
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "activeDeadlineSeconds": int(_DEADLINE_S),
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
        }
        return {"metadata": {"name": NAME, "labels": dict(labels)}, "spec": spec}

    def _ended(self, namespace: str, uid: str, context: StepContext) -> KubeObject:
        seen: KubeObject = {}
        watched = self.kube.watch(PODS, namespace, fields=f"metadata.name={NAME}", deadline_s=_DEADLINE_S, idle_s=5)
        for event in watched:
            context.progress(0, None, "probes")
            seen = event.object if event and uid_of(event.object) == uid else seen
            if text(seen, "status", "phase") in ("Succeeded", "Failed"):
                return seen
        phase = text(seen, "status", "phase") or "not scheduled"
        raise DrError(
            TIMED_OUT, f"the egress probe in {namespace} is still {phase} after {_DEADLINE_S:.0f} s: {_said(seen)}"
        )


def _terminated(pod: KubeObject) -> KubeObject:
    statuses = sequence(pod, "status", "containerStatuses")
    return mapping(statuses[0], "state", "terminated") if statuses else {}


def _code(pod: KubeObject) -> int:
    found = _terminated(pod).get("exitCode")
    return found if isinstance(found, int) else -1


def _said(pod: KubeObject) -> str:
    statuses = sequence(pod, "status", "containerStatuses")
    waiting = text(statuses[0], "state", "waiting", "message") if statuses else ""
    return text(_terminated(pod), "message").strip() or waiting or text(pod, "status", "message")
